"""An application's own routes where the stack has its endpoints."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from sightglass.asgi import health as health_module
from sightglass.asgi.health import Health
from sightglass.asgi.instrument import instrument
from sightglass.settings import Settings

Handler = Callable[[Request], Awaitable[Response]]


def answering(make: Callable[[], Response]) -> Handler:
    async def handler(request: Request) -> Response:
        assert request.method == "GET"
        assert await request.body() == b""
        return make()

    return handler


async def raising(request: Request) -> Response:
    raise LookupError("private text")


async def hanging(request: Request) -> Response:
    await asyncio.sleep(3600)
    raise AssertionError


async def working_on(request: Request) -> Response:
    return PlainTextResponse("well", background=BackgroundTask(asyncio.sleep, 3600))


def client(routes: dict[str, Handler], health: Health | None = None) -> TestClient:
    app = Starlette(routes=[Route(path, handler) for path, handler in routes.items()])
    return TestClient(instrument(app, settings=Settings(), health=health or Health("1")))


VERDICTS: dict[str, tuple[Handler, str | None]] = {
    "well": (answering(lambda: PlainTextResponse("well")), None),
    "no content": (answering(lambda: Response(status_code=204)), None),
    "moved": (answering(lambda: RedirectResponse("/login")), None),
    "wants a login": (answering(lambda: Response(status_code=401)), None),
    "busy after its answer": (working_on, None),
    "streams": (answering(lambda: StreamingResponse(iter(["we", "ll"]))), None),
    "not well": (answering(lambda: JSONResponse({"db": "gone"}, 503)), "503"),
    "fails": (answering(lambda: Response(status_code=500)), "500"),
    "not well, in a stream": (answering(lambda: StreamingResponse(iter("no"), 507)), "507"),
    "raises": (raising, "500"),
    "hangs": (hanging, "no answer within 0.2 s"),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize(("path", "other"), [("/health", "/ready"), ("/ready", "/health")])
def test_verdict_of_the_application_counts(
    path: str, other: str, verdict: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, reason = VERDICTS[verdict]
    if verdict == "hangs":  # nobody else is hurried
        monkeypatch.setattr(health_module, "CHECK_SECONDS", 0.2)
    with client({path: handler}) as served:
        assert served.get(other).status_code == 200
        answer = served.request(method, path)
        assert answer.status_code == (503 if reason else 200)
        if method == "GET":
            assert answer.json().get("reasons", []) == ([f"application: {reason}"] if reason else [])
            assert ("version" in answer.json()) == (path == "/health")
        text = served.get("/metrics").text
        status = answer.status_code
        assert f'http_requests_total{{method="{method}",route="{path}",status="{status}",worker="0"}} ' in text
        assert "http_requests_in_progress{" in text


def test_reasons_of_both_are_told() -> None:
    health = Health("1")
    health.add_check("database", lambda: "gone")
    with client({"/ready": VERDICTS["not well"][0]}, health) as served:
        assert served.get("/ready").json()["reasons"] == ["database: gone", "application: 503"]


def test_application_is_asked_with_the_state_of_its_lifespan() -> None:
    async def handler(request: Request) -> Response:
        return Response(status_code=request.state.status)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, int]]:
        yield {"status": 204}

    app = Starlette(routes=[Route("/ready", handler)], lifespan=lifespan)
    with TestClient(instrument(app, settings=Settings(), health=Health("1"))) as served:
        assert served.get("/ready").status_code == 200


def test_what_is_shadowed_is_named_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    well = VERDICTS["well"][0]
    with client({"/ready": well, "/healthz": well, "/metrics": well}):
        pass
    said = [record.getMessage() for record in caplog.records if record.name == "sightglass.asgi.shadowed"]
    assert said == [
        "the application's own /ready: asked, and a status of 500 or more fails ours",
        "the application's own /metrics: not served, ours is",
    ]
    assert {record.levelno for record in caplog.records if record.name.startswith("sightglass")} == {logging.WARNING}


def test_mounted_metrics_are_named_too(caplog: pytest.LogCaptureFixture) -> None:
    app = Starlette(routes=[Mount("/metrics", Starlette())])
    with TestClient(instrument(app, settings=Settings(), health=Health("1"))):
        pass
    said = [record.getMessage() for record in caplog.records if record.name.startswith("sightglass")]
    assert said == ["the application's own /metrics: not served, ours is"]


def test_nothing_is_said_of_an_application_without(caplog: pytest.LogCaptureFixture) -> None:
    with client({"/healthz": VERDICTS["not well"][0]}) as served:
        assert served.get("/health").json()["status"] == "healthy"
        assert "reasons" not in served.get("/health").json()
    assert [record for record in caplog.records if record.name.startswith("sightglass")] == []


def test_exception_of_the_applications_check_is_said_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    with client({"/ready": raising}) as served:
        assert served.get("/ready").status_code == 503
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.getMessage() == "the application's own /ready failed"
