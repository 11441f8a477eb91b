"""Who reads `/metrics` on the application's port: not the public of a container platform."""

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from sightglass.asgi.instrument import instrument
from sightglass.environment import SettingsError, read_settings
from sightglass.settings import Settings

TOKEN = "correct-horse-battery"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError(f"asked for {scope['path']}")


def status(token: str | None = None, method: str = "GET", **headers: str) -> int:
    with TestClient(instrument(application, settings=Settings(metrics_token=token))) as client:
        answer = client.request(method, "/metrics", headers=headers)
        assert answer.status_code in (200, 404)
        assert answer.status_code == 200 or answer.content == b""
        return int(answer.status_code)


@pytest.fixture(autouse=True)
def _no_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "SIGHTGLASS_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_behind_a_proxy_of_ours_anybody_who_gets_there() -> None:
    assert status() == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_on_a_platforms_port_nobody(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setenv("PORT", "8080")
    assert status(method=method) == 404


def test_a_port_of_ours_is_no_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8080")
    monkeypatch.setenv("SIGHTGLASS_PORT", "8000")
    assert status() == 200


@pytest.mark.parametrize("port", ["", "8080"])
@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (f"Bearer {TOKEN}", 200),
        (None, 404),
        ("", 404),
        (TOKEN, 404),
        (f"Basic {TOKEN}", 404),
        (f"Bearer {TOKEN}x", 404),
        (f"Bearer {TOKEN[:-1]}", 404),
        (f"Bearer  {TOKEN}", 404),
    ],
)
def test_with_a_token_whoever_has_it(
    monkeypatch: pytest.MonkeyPatch, port: str, authorization: str | None, expected: int
) -> None:
    monkeypatch.setenv("PORT", port)
    headers = {} if authorization is None else {"authorization": authorization}
    assert status(TOKEN, **headers) == expected


@pytest.mark.parametrize("token", ["short", "with space in the middle", "ü" * 20, "x" * 513])
def test_a_token_that_cannot_be_one_stops_the_start(token: str) -> None:
    with pytest.raises(SettingsError, match=r"^METRICS_TOKEN=…: not allowed") as error:
        read_settings(Settings, {"SIGHTGLASS_METRICS_TOKEN": token})
    assert token not in str(error.value)
