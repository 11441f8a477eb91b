"""The one call an app makes."""

import sys
from dataclasses import replace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from api.settings import Settings
from sightglass import Health, instrument
from sightglass.environment import SettingsError

SETTINGS = Settings(app_version="1.2.3", app_revision="abc", environment="staging")


def make_app() -> FastAPI:
    app = FastAPI()

    @app.get("/instrumented/{thing}")
    async def read(thing: str) -> str:
        return thing

    return app


def test_an_app_needs_nothing_else() -> None:
    with TestClient(instrument(make_app(), settings=SETTINGS, health=Health())) as client:
        assert client.get("/instrumented/1").headers["x-request-id"]
        text = client.get("/metrics").text
        assert client.get("/health").json()["status"] == "healthy"
        assert client.get("/ready").json() == {"ready": True}
    labels = 'method="GET",route="/instrumented/{thing}",status="200",worker="0"'
    assert f"http_requests_total{{{labels}}} 1\n" in text
    assert 'app_info{version="1.2.3",revision="abc",environment="staging",worker="0"} 1\n' in text
    assert 'process_start_time_seconds{worker="0"}' in text


def test_the_app_stays_reachable_and_unchanged() -> None:
    app = make_app()
    routes = len(app.routes)
    assert instrument(app, settings=SETTINGS).app is app  # type: ignore[attr-defined]
    assert len(app.routes) == routes


def test_instrumenting_twice_does_nothing_more() -> None:
    once = instrument(make_app(), settings=SETTINGS)
    assert instrument(once, settings=SETTINGS) is once


def test_any_asgi_app_will_do() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"plain"})

    health = Health("1")
    health.add_check("database", lambda: "gone")
    with TestClient(instrument(app, settings=SETTINGS, health=health)) as client:
        assert client.get("/any").text == "plain"
        assert client.get("/ready").status_code == 503


def test_tracing_without_its_packages_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("sightglass.tracing.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    traced = replace(SETTINGS, tracing_enabled=True)
    with pytest.raises(SettingsError) as refused:
        instrument(make_app(), settings=traced)
    assert str(refused.value).startswith("TRACING_ENABLED=true: not allowed; expected false, or the packages of")
