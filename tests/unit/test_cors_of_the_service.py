"""Pages of `CORS_ORIGINS` may use the service; no other may."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.privacy.jobs.routes import PATH as JOBS
from api.privacy.predict import PATH as PREDICT
from api.settings import Settings
from sightglass.environment import SettingsError, read_settings
from tests.support.service import StubModel, serving

UI, OTHER = "https://ui.example.org", "https://evil.example.org"
PREFIX = "access-control-"


def cors(headers: object) -> dict[str, list[str]]:
    return {
        name.removeprefix(PREFIX): headers.get_list(name)  # type: ignore[attr-defined]
        for name in headers  # type: ignore[attr-defined]
        if name.startswith(PREFIX)
    }


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with serving(lambda _: StubModel(), runs_dir=tmp_path, cors_origins=(UI, "http://localhost:5173")) as client:
        yield client


@pytest.mark.parametrize("origin", [UI, "http://localhost:5173", OTHER, "null", f"{UI}.evil.example", f"{UI}:8443"])
def test_an_answer_is_for_pages_of_the_origins_alone(client: TestClient, origin: str) -> None:
    allowed = origin in (UI, "http://localhost:5173")
    for answer in (
        client.post(PREDICT, json={"text": "a"}, headers={"Origin": origin}),
        client.post(PREDICT, content=b"{", headers={"Origin": origin}),  # a problem is readable too
        client.get(f"{JOBS}/{'0' * 32}", headers={"Origin": origin}),
    ):
        expected = {
            "allow-credentials": ["true"],
            "expose-headers": ["Content-Disposition, Location, Retry-After, X-Request-ID, X-Trace-ID"],
        }
        assert cors(answer.headers) == expected | ({"allow-origin": [origin]} if allowed else {})


@pytest.mark.parametrize(("origin", "status"), [(UI, 200), (OTHER, 400)])
def test_a_preflight_is_answered(client: TestClient, origin: str, status: int) -> None:
    answer = client.options(
        JOBS,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        },
    )
    assert answer.status_code == status
    assert cors(answer.headers).get("allow-origin") == ([UI] if status == 200 else None)


def test_any_origin_gets_no_credentials(tmp_path: Path) -> None:
    with serving(lambda _: StubModel(), runs_dir=tmp_path, cors_origins=("*",)) as client:
        answer = client.post(PREDICT, json={"text": "a"}, headers={"Origin": OTHER})
    assert cors(answer.headers)["allow-origin"] == ["*"]
    assert "allow-credentials" not in cors(answer.headers)


def test_without_origins_there_is_not_a_word_of_it(tmp_path: Path) -> None:
    with serving(lambda _: StubModel(), runs_dir=tmp_path) as client:
        assert cors(client.post(PREDICT, json={"text": "a"}, headers={"Origin": UI}).headers) == {}


@pytest.mark.parametrize("value", [UI, "*", "http://localhost:5173 https://[::1]:8443", "capacitor://localhost"])
def test_origins_are_taken(value: str) -> None:
    assert read_settings(Settings, {"SIGHTGLASS_CORS_ORIGINS": value}).cors_origins == tuple(value.split())


@pytest.mark.parametrize(
    "value", ["ui.example.org", f"{UI}/", "https://UI.example.org", f"{UI} *", f"{UI},{OTHER}", "https://"]
)
def test_what_is_no_origin_is_refused_in_one_line(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^CORS_ORIGINS=.*expected") as refused:
        read_settings(Settings, {"SIGHTGLASS_CORS_ORIGINS": value})
    assert "\n" not in str(refused.value)
