"""Spans, from a request to a collector that speaks real OTLP."""

import asyncio
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import fastapi
import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.util.http import parse_excluded_urls
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sightglass.asgi.health import Health
from sightglass.asgi.middleware import Middleware
from sightglass.context import current_request
from sightglass.environment import read_settings
from sightglass.metrics.process import ProcessMetrics
from sightglass.routes import RouteTemplates
from sightglass.settings import Settings
from sightglass.tracing.asgi import TracedApp
from tests.support.otlp_receiver import OtlpReceiver, values

SECRET = "private4711"
PARENT_TRACE, PARENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
UNSAMPLED_PARENT = f"00-{PARENT_TRACE}-{PARENT_SPAN}-00"
SAMPLED_PARENT = f"00-{PARENT_TRACE}-{PARENT_SPAN}-01"


def sample_app() -> FastAPI:
    app = FastAPI()
    inner = FastAPI()
    router = APIRouter(prefix="/items")

    @router.get("/{item_id}")
    async def item(item_id: str) -> dict[str, object]:
        context = current_request.get()
        assert context is not None
        return {"item": item_id, "trace": context.trace_id, "span": context.span_id, "sampled": context.sampled}

    @app.get("/own-span")
    async def own_span() -> None:
        with trace.get_tracer("app", tracer_provider=Traced.provider).start_as_current_span("own"):
            pass

    @app.get("/fail")
    async def fail(text: str) -> None:
        with trace.get_tracer("app", tracer_provider=Traced.provider).start_as_current_span("own"):
            raise ValueError(f"cannot use {text}\n  really: {text}")

    @app.get("/broken-stream")
    async def broken_stream(text: str) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            raise ValueError(f"cannot use {text}")

        return StreamingResponse(body())

    @inner.get("/users/{user_id}")
    async def user(user_id: int) -> int:
        return user_id

    @app.websocket("/ws/{room}")
    async def room(socket: WebSocket, room: str) -> None:
        await socket.accept()
        await socket.send_text(room)
        await socket.close()

    app.include_router(router, prefix="/api")
    app.mount("/inner", inner)
    return app


def calling_app() -> FastAPI:
    """Return an app that tells what a service which it calls would be told."""
    app = sample_app()

    @app.get("/calls")
    async def calls() -> dict[str, str]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier

    return app


class Traced:
    """An instrumented app and a client for it."""

    provider: Any = None

    def __init__(self, app: Middleware, tracing: TracedApp) -> None:
        self.app = app
        self.tracing = tracing
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app, raise_app_exceptions=False), base_url="http://test"
        )

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)


@pytest.fixture(autouse=True)
def _no_exporter_is_left() -> Iterator[None]:
    """One that tries again and again would write into whatever comes after."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("OtelBatch")] == []


@pytest.fixture
def receiver() -> Any:
    with OtlpReceiver() as receiver:
        yield receiver


@asynccontextmanager
async def traced(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, app: ASGIApp | None = None, **settings: Any
) -> AsyncIterator[Traced]:
    """Serve the app with tracing between start and shutdown; leaving sends the spans. No request is slow."""
    settings = {"tracing_slow_seconds": 3600.0} | settings
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    exporters: list[OTLPSpanExporter] = []

    def exporter() -> OTLPSpanExporter:
        exporters.append(OTLPSpanExporter())
        return exporters[-1]

    monkeypatch.setattr("sightglass.tracing.provider.OTLPSpanExporter", exporter)
    app = app or sample_app()
    route_of = RouteTemplates(app).find
    tracing = TracedApp(app, replace(read_settings(Settings), tracing_enabled=True, **settings), route_of)
    middleware = Middleware(app, process=ProcessMetrics(), health=Health("1"), route_of=route_of, tracing=tracing)
    tracing.start()
    Traced.provider = tracing.provider
    try:
        yield Traced(middleware, tracing)
    finally:
        await asyncio.to_thread(tracing.shutdown)
        await asyncio.to_thread(_end, exporters)


def _end(exporters: list[OTLPSpanExporter]) -> None:
    """End what the shutdown has left to the end of the process."""
    for exporter in exporters:
        exporter.shutdown()  # type: ignore[no-untyped-call]
    for thread in threading.enumerate():
        if thread.name == "tracing-shutdown":
            thread.join(30)


def by_name(receiver: OtlpReceiver) -> dict[str, Span]:
    return {span.name: span for span in receiver.spans}


async def test_request_gives_one_span_named_by_its_route(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    async with traced(monkeypatch, receiver.endpoint, app_name="shop", app_version="1.2.3") as served:
        answer = (await served.get(f"/api/items/7?text={SECRET}", **{"user-agent": SECRET, "referer": SECRET})).json()
    (span,) = receiver.spans
    assert span.name == "GET /api/items/{item_id}"
    assert span.kind == Span.SPAN_KIND_SERVER
    assert span.trace_id.hex() == answer["trace"]
    assert span.span_id.hex() == answer["span"]
    assert answer["sampled"] is True
    attributes = values(span.attributes)
    assert attributes["http.route"] == "/api/items/{item_id}"
    assert attributes["http.request.method"] == "GET"
    assert attributes["http.response.status_code"] == 200
    assert attributes["url.path"] == "/api/items/7"
    assert not set(attributes) & {"url.query", "user_agent.original", "client.address", "http.url", "http.target"}
    assert SECRET not in receiver.text
    assert receiver.resource["service.name"] == "shop"
    assert receiver.resource["service.version"] == "1.2.3"


async def test_spans_of_mounts_unknown_paths_odd_methods_and_websockets(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    async with traced(monkeypatch, receiver.endpoint) as served:
        await served.get("/inner/users/3")
        await served.get("/nowhere/else")
        await served.client.request("BREW4711", "/nowhere")
        await served.get("/\ud800".encode("utf-8", "surrogatepass").decode("latin-1"))
        sent: list[Any] = []
        incoming = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect"}])

        async def receive() -> Any:
            return next(incoming)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/ws/a", "headers": [], "query_string": b"text=private4711"}
        await served.app(scope | {"subprotocols": [], "scheme": "ws", "root_path": ""}, receive, send)
    names = sorted(span.name for span in receiver.spans)
    assert names == [
        "GET (unmatched)",
        "GET (unmatched)",
        "GET /inner/users/{user_id}",
        "GET /ws/{room}",
        "HTTP (unmatched)",
    ]
    assert "4711" not in receiver.text


async def test_probes_make_no_spans(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    async with traced(monkeypatch, receiver.endpoint) as served:
        for path in ("/health", "/ready", "/metrics"):
            assert (await served.get(path)).status_code == 200
        await served.get("/api/items/1")
    assert len(receiver.spans) == 1


class Derived(FastAPI):
    pass


def _derived() -> FastAPI:
    app = Derived()
    app.mount("/", sample_app())
    return app


class Plugin(Starlette):
    def __init__(self, app: FastAPI) -> None:
        super().__init__()
        self.app = app


def _with_a_plugin() -> FastAPI:
    app = sample_app()
    app.mount("/plugin", Plugin(app))
    return app


@pytest.mark.parametrize(
    "app", [sample_app, lambda: GZipMiddleware(sample_app()), _derived, _with_a_plugin], ids=lambda make: make.__name__
)
async def test_the_fastapi_instrumentation_makes_the_spans_of_a_fastapi_app(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, app: Callable[[], ASGIApp]
) -> None:
    async with traced(monkeypatch, receiver.endpoint, app()) as served:
        assert (await served.get("/api/items/1")).status_code == 200
        await served.get("/inner/users/3")
        await served.get("/nowhere")
    assert receiver.scopes == ["opentelemetry.instrumentation.fastapi"] * 3


async def _raw(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"plain"})


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def _starlette() -> Starlette:
    app = Starlette(routes=[Route("/hello/{name}", _hello)])
    app.state.secret = SECRET
    return app


def _starlette_instrumented() -> Starlette:
    app = _starlette()
    app.add_middleware(OpenTelemetryMiddleware)
    return app


@pytest.mark.parametrize(
    ("app", "name"),
    [
        (lambda: _raw, "GET (unmatched)"),
        (_starlette, "GET /hello/{name}"),
        (_starlette_instrumented, "GET /hello/{name}"),
        (lambda: GZipMiddleware(_starlette()), "GET /hello/{name}"),
    ],
)
async def test_the_asgi_instrumentation_makes_the_spans_of_other_apps(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, app: Callable[[], ASGIApp], name: str
) -> None:
    async with traced(monkeypatch, receiver.endpoint, app()) as served:
        await served.get(f"/hello/ada?text={SECRET}", **{"user-agent": SECRET})
    assert receiver.scopes == ["opentelemetry.instrumentation.asgi"]
    assert [span.name for span in receiver.spans] == [name]
    assert values(receiver.spans[0].attributes)["http.request.method"] == "GET"
    assert SECRET not in receiver.text


def _provider(endpoint: str) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    return provider


def _instrument_app(provider: TracerProvider) -> ASGIApp:
    app = sample_app()
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


def _instrument_app_and_wrap(provider: TracerProvider) -> ASGIApp:
    return GZipMiddleware(_instrument_app(provider))


def _instrument_mounted(provider: TracerProvider) -> ASGIApp:
    app = FastAPI()
    app.mount("/api", Starlette(routes=[Mount("/", _instrument_app(provider))]))
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


def _instrument_globally(provider: TracerProvider) -> ASGIApp:
    FastAPIInstrumentor().instrument(tracer_provider=provider)
    try:
        app = fastapi.FastAPI()
        assert type(app) is not FastAPI

        @app.get("/api/items/{item_id}")
        async def item(item_id: str) -> str:
            return item_id

        return app
    finally:
        fastapi.FastAPI = FastAPI  # type: ignore[misc]
        FastAPIInstrumentor()._is_instrumented_by_opentelemetry = False


def _add_middleware(provider: TracerProvider) -> ASGIApp:
    app = sample_app()
    app.add_middleware(OpenTelemetryMiddleware, tracer_provider=provider)
    return app


def _wrap(provider: TracerProvider) -> ASGIApp:
    wrapped: ASGIApp = OpenTelemetryMiddleware(sample_app(), tracer_provider=provider)
    return wrapped


def _native(provider: TracerProvider) -> FastAPI:
    app = FastAPI(telemetry={"tracer_provider": provider})

    @app.get("/api/items/{item_id}")
    async def item(item_id: str) -> str:
        return item_id

    assert app._native_telemetry.enabled()
    return app


def _native_and_mounted(provider: TracerProvider) -> ASGIApp:
    app = _native(provider)
    app.mount("/api", _native(provider))
    return app


def _native_and_instrument_app(provider: TracerProvider) -> ASGIApp:
    app = _native(provider)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


@pytest.mark.parametrize("share", [1.0, 0.0])
@pytest.mark.parametrize(
    "instrumented",
    [
        _instrument_app,
        _instrument_app_and_wrap,
        _instrument_mounted,
        _instrument_globally,
        _add_middleware,
        _wrap,
        _native,
        _native_and_mounted,
        _native_and_instrument_app,
    ],
)
async def test_an_app_that_traces_itself_gets_one_span_a_request(
    monkeypatch: pytest.MonkeyPatch,
    receiver: OtlpReceiver,
    instrumented: Callable[[TracerProvider], ASGIApp],
    share: float,
) -> None:
    provider = _provider(receiver.endpoint)
    settings: dict[str, Any] = {"otel_traces_sampler": "traceidratio", "otel_traces_sampler_arg": share}
    async with traced(monkeypatch, receiver.endpoint, instrumented(provider), **settings) as served:
        for path in ("/api/items/1", "/api/api/items/1"):
            await served.get(path)
    provider.shutdown()
    assert receiver.scopes == ["opentelemetry.instrumentation.fastapi"] * round(2 * share)
    assert all(span.kind == Span.SPAN_KIND_SERVER for span in receiver.spans)


@pytest.mark.parametrize("share", [1.0, 0.0])
async def test_spans_of_an_apps_own_provider_belong_to_the_request(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, share: float
) -> None:
    provider = _provider(receiver.endpoint)
    app = FastAPI()

    @app.get("/")
    async def root() -> None:
        with provider.get_tracer("app").start_as_current_span("own"):
            pass

    settings: dict[str, Any] = {"otel_traces_sampler": "traceidratio", "otel_traces_sampler_arg": share}
    async with traced(monkeypatch, receiver.endpoint, app, **settings) as served:
        await served.get("/")
    provider.shutdown()
    spans = by_name(receiver)
    assert sorted(spans) == ["GET /", "own"][: round(2 * share)]
    if spans:
        assert spans["own"].parent_span_id == spans["GET /"].span_id
        assert spans["own"].trace_id == spans["GET /"].trace_id


async def test_an_app_that_traces_itself_has_its_exceptions_once(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    app = _instrument_app(_provider(receiver.endpoint))
    async with traced(monkeypatch, receiver.endpoint, app) as served:
        await served.get(f"/fail?text={SECRET}")
    server = by_name(receiver)["GET /fail"]
    assert [values(event.attributes)["exception.type"] for event in server.events] == ["ValueError"]


async def test_the_request_hook_of_an_app_that_traces_itself_gets_our_span(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    app = sample_app()

    def hook(span: trace.Span, scope: dict[str, Any]) -> None:
        span.set_attribute("tenant", dict(scope["headers"])[b"x-tenant"].decode())

    FastAPIInstrumentor.instrument_app(app, server_request_hook=hook)
    async with traced(monkeypatch, receiver.endpoint, app) as served:
        await served.get("/api/items/1", **{"x-tenant": "blue"})
        assert (await served.get("/api/items/1")).status_code == 200  # one that fails fails no request
    assert [values(span.attributes).get("tenant") for span in receiver.spans] == ["blue", None]


async def test_a_background_task_has_a_span_in_the_requests_trace(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    app = FastAPI()

    def tidy_up() -> None:
        pass

    @app.get("/")
    async def root(tasks: BackgroundTasks) -> None:
        tasks.add_task(tidy_up)

    async with traced(monkeypatch, receiver.endpoint, app) as served:
        await served.get("/")
    spans = by_name(receiver)
    assert sorted(spans) == ["BackgroundTask tidy_up", "GET /"]
    assert spans["BackgroundTask tidy_up"].parent_span_id == spans["GET /"].span_id
    assert not hasattr(BackgroundTask, "_otel_original_call")  # as it was


@pytest.mark.parametrize("path", ["/", "/late"])
async def test_an_exception_that_nothing_answers_is_a_problem_traced_or_not(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, path: str
) -> None:
    class Failing:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            raise ValueError(SECRET)

    answers = []
    for sampler in ("always_on", "always_off"):
        app = Failing(sample_app())
        async with traced(monkeypatch, receiver.endpoint, app, otel_traces_sampler=sampler) as served:
            answer = await served.get(path)
        answers.append((answer.status_code, answer.headers["content-type"], answer.json()["title"]))
    assert answers == [(500, "application/problem+json", "Internal Server Error")] * 2
    (span,) = receiver.spans
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert [values(event.attributes)["exception.type"] for event in span.events] == ["ValueError"]
    assert SECRET not in receiver.text


@pytest.mark.parametrize("tracing", ["false", "true"])
def test_opentelemetrys_sdk_is_imported_only_to_trace(tracing: str) -> None:
    code = """
import sys
from fastapi import FastAPI
import sightglass
sightglass.instrument(FastAPI())
print("opentelemetry.sdk.trace" in sys.modules, "opentelemetry.instrumentation.asgi" in sys.modules)
"""
    environment = {"PATH": os.environ["PATH"], "SIGHTGLASS_TRACING_ENABLED": tracing}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [tracing.title()] * 2


async def test_callers_trace_is_continued(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    async with traced(monkeypatch, receiver.endpoint) as served:
        answer = (await served.get("/api/items/1", traceparent=UNSAMPLED_PARENT, tracestate=f"a={SECRET}")).json()
    (span,) = receiver.spans
    assert span.trace_id.hex() == answer["trace"] == PARENT_TRACE
    assert span.parent_span_id.hex() == PARENT_SPAN
    assert SECRET not in receiver.text


@pytest.mark.parametrize("sampler", ["always_on", "traceidratio", "always_off"])
async def test_a_traced_app_in_a_traced_app_makes_no_spans_of_its_own(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, sampler: str
) -> None:
    inner, outer = sample_app(), FastAPI()
    settings = replace(read_settings(Settings), tracing_enabled=True)
    route_of = RouteTemplates(inner).find
    tracing = TracedApp(inner, settings, route_of)
    outer.mount(
        "/sub",
        Middleware(inner, process=ProcessMetrics(), health=Health("1"), route_of=route_of, tracing=tracing),
    )
    share: dict[str, Any] = {"otel_traces_sampler": sampler, "otel_traces_sampler_arg": 0.0}
    async with traced(monkeypatch, receiver.endpoint, outer, **share) as served:
        answer = await served.get("/sub/api/items/1")
        await served.get("/sub/own-span")
        await served.get("/sub/own-span", traceparent=UNSAMPLED_PARENT)
    assert answer.json()["trace"] == answer.headers["x-trace-id"]
    own = [span for span in receiver.spans if span.name == "own"]
    requests = {span.span_id: span for span in receiver.spans if span.kind == Span.SPAN_KIND_SERVER}
    kept = {"always_on": 2, "traceidratio": 0, "always_off": 0}[sampler]
    assert len(own) == kept
    assert all(requests[span.parent_span_id].trace_id == span.trace_id for span in own)


@pytest.mark.parametrize("sampler", ["always_on", "traceidratio", "always_off"])
async def test_a_request_that_runs_in_another_ones_context_has_its_own_trace(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, sampler: str
) -> None:
    """As uvicorn's next request on a connection may."""
    app = calling_app()
    share: dict[str, Any] = {"otel_traces_sampler": sampler, "otel_traces_sampler_arg": 0.0}
    async with traced(monkeypatch, receiver.endpoint, app, **share) as served:
        other = trace.NonRecordingSpan(
            trace.SpanContext(int(PARENT_TRACE, 16), int(PARENT_SPAN, 16), False, trace.TraceFlags(1))
        )
        token = otel_context.attach(baggage.set_baggage("user", SECRET, trace.set_span_in_context(other)))
        answer = await served.get("/calls")
        failed = await served.get("/fail?text=x")
        assert trace.get_current_span() is other
        otel_context.detach(token)
    own = answer.headers["x-trace-id"]
    assert own != PARENT_TRACE
    assert answer.json()["traceparent"].split("-")[1] == own
    assert "baggage" not in answer.json()
    spans = {span.name: span for span in receiver.spans}
    assert (
        set(spans)
        == {
            "always_on": {"GET /calls", "GET /fail", "own"},
            "traceidratio": {"GET /fail", "own"},
            "always_off": set(),
        }[sampler]
    )
    for name in spans.keys() & {"GET /calls", "GET /fail"}:
        trace_id = {"GET /calls": own, "GET /fail": failed.headers["x-trace-id"]}[name]
        assert (spans[name].kind, spans[name].parent_span_id) == (Span.SPAN_KIND_SERVER, b"")
        assert spans[name].trace_id.hex() == trace_id


EDGES_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_the_trace_that_the_edge_has_begun_has_its_root_here(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    edge = {"x-request-id": "mine-1", "x-sightglass-trace": EDGES_TRACE}
    async with traced(monkeypatch, receiver.endpoint) as served:
        await served.get("/own-span", **edge)
        answer = await served.get("/api/items/1")
    spans = by_name(receiver)
    server, own, other = spans["GET /own-span"], spans["own"], spans["GET /api/items/{item_id}"]
    assert (server.trace_id.hex(), server.parent_span_id) == (EDGES_TRACE, b"")
    assert (own.trace_id.hex(), own.parent_span_id) == (EDGES_TRACE, server.span_id)
    assert values(server.attributes)["request_id"] == "mine-1"
    assert other.trace_id.hex() == answer.headers["x-trace-id"] == answer.headers["x-request-id"]


async def test_a_trace_of_the_apps_own_within_a_request_is_another_one(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    app = FastAPI()

    @app.get("/")
    async def root() -> None:
        trace.get_tracer("app", tracer_provider=Traced.provider).start_span("apart", context=Context()).end()

    async with traced(monkeypatch, receiver.endpoint, app) as served:
        await served.get("/", **{"x-sightglass-trace": EDGES_TRACE})
    spans = by_name(receiver)
    assert spans["GET /"].trace_id.hex() == EDGES_TRACE
    assert spans["apart"].trace_id.hex() != EDGES_TRACE


@pytest.mark.parametrize("parent", [SAMPLED_PARENT, UNSAMPLED_PARENT, f"00-{'0' * 31}1-{PARENT_SPAN}-01"])
async def test_caller_does_not_decide_sampling(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, parent: str
) -> None:
    settings: dict[str, Any] = {"otel_traces_sampler": "traceidratio", "otel_traces_sampler_arg": 0.0}
    async with traced(monkeypatch, receiver.endpoint, **settings) as served:
        answer = (await served.get("/api/items/1", traceparent=parent)).json()
        assert (answer["trace"], answer["sampled"]) == (parent[3:35], False)
        await served.get("/own-span", traceparent=parent)
    assert receiver.spans == []


@pytest.mark.parametrize(("parent", "spans"), [(SAMPLED_PARENT, 1), (UNSAMPLED_PARENT, 0)])
async def test_trusted_caller_decides_sampling(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, parent: str, spans: int
) -> None:
    async with traced(monkeypatch, receiver.endpoint, otel_traces_sampler="parentbased_always_on") as served:
        await served.get("/api/items/1", traceparent=parent)
    assert len(receiver.spans) == spans


@pytest.mark.parametrize(
    ("sampler", "trusted"),
    [
        ("parentbased_always_on", True),
        ("parentbased_always_off", True),
        ("parentbased_traceidratio", True),
        ("always_on", False),
        ("traceidratio", False),
        ("always_off", False),
    ],
)
@pytest.mark.parametrize("parent", [SAMPLED_PARENT, UNSAMPLED_PARENT])
async def test_baggage_and_tracestate_of_trusted_callers_go_on(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, sampler: str, trusted: bool, parent: str
) -> None:
    brought = {"traceparent": parent, "tracestate": "vendor=1", "baggage": "user=7"}
    share: dict[str, Any] = {"otel_traces_sampler": sampler, "otel_traces_sampler_arg": 0.0}
    async with traced(monkeypatch, receiver.endpoint, calling_app(), **share) as served:
        called = (await served.get("/calls", **brought)).json()
        without_parent = (await served.get("/calls", baggage="user=7", tracestate="vendor=1")).json()
    assert called["traceparent"].split("-")[1] == PARENT_TRACE
    assert called["traceparent"].split("-")[2] != PARENT_SPAN
    assert (called.get("tracestate"), called.get("baggage")) == (("vendor=1", "user=7") if trusted else (None, None))
    assert without_parent.keys() == {"traceparent"}


async def test_the_trace_of_a_failed_request_has_the_tracestate_of_a_trusted_caller(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    async with traced(monkeypatch, receiver.endpoint, otel_traces_sampler="parentbased_always_on") as served:
        await served.get("/fail?text=x", traceparent=UNSAMPLED_PARENT, tracestate="vendor=1")
    spans = by_name(receiver)
    assert {name: span.trace_state for name, span in spans.items()} == {"GET /fail": "vendor=1", "own": "vendor=1"}
    assert spans["GET /fail"].parent_span_id.hex() == PARENT_SPAN


@pytest.mark.parametrize(
    "parent", ["", "garbage", "00-" + "0" * 32 + "-" + PARENT_SPAN + "-01", "ff" + SAMPLED_PARENT[2:]]
)
async def test_malformed_traceparent_is_no_parent(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, parent: str
) -> None:
    for sampler in ("always_on", "always_off"):
        async with traced(monkeypatch, receiver.endpoint, otel_traces_sampler=sampler) as served:
            answer = (await served.get("/api/items/1", traceparent=parent)).json()
            assert re.fullmatch("[0-9a-f]{32}", answer["trace"])
            assert answer["trace"] not in (PARENT_TRACE, "0" * 32)
    (span,) = receiver.spans
    assert span.parent_span_id == b""


async def test_share_of_requests_is_sampled_with_their_own_spans_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    settings: dict[str, Any] = {"otel_traces_sampler": "traceidratio", "otel_traces_sampler_arg": 0.5}
    async with traced(monkeypatch, receiver.endpoint, **settings) as served:
        for _ in range(200):
            await served.get("/own-span")
    names = [span.name for span in receiver.spans]
    assert 50 < names.count("GET /own-span") < 150  # fails once in 10^12 runs
    assert names.count("own") == names.count("GET /own-span")
    servers = {span.span_id: span.trace_id for span in receiver.spans if span.name != "own"}
    assert all(servers[span.parent_span_id] == span.trace_id for span in receiver.spans if span.name == "own")


@pytest.mark.parametrize(
    ("sampler", "sampled", "unsampled", "root"),
    [
        ("always_on", True, True, True),
        ("always_off", False, False, False),
        ("traceidratio", False, False, False),
        ("parentbased_always_on", True, False, True),
        ("parentbased_always_off", True, False, False),
    ],
)
async def test_spans_that_are_no_requests_of_ours_have_the_share_of_all(
    monkeypatch: pytest.MonkeyPatch,
    receiver: OtlpReceiver,
    sampler: str,
    sampled: bool,
    unsampled: bool,
    root: bool,
) -> None:
    """Those of consumers and of other servers in the process."""
    share: dict[str, Any] = {"otel_traces_sampler": sampler, "otel_traces_sampler_arg": 0.0}
    async with traced(monkeypatch, receiver.endpoint, **share) as served:
        await served.get("/api/items/1")
        await served.get("/api/items/1", traceparent=SAMPLED_PARENT)
        tracer = trace.get_tracer("other", tracer_provider=Traced.provider)
        for kind in (trace.SpanKind.CONSUMER, trace.SpanKind.SERVER, trace.SpanKind.INTERNAL):
            for name, parent in (("sampled", SAMPLED_PARENT), ("unsampled", UNSAMPLED_PARENT), ("root", "")):
                with tracer.start_as_current_span(name, propagate.extract({"traceparent": parent}), kind):
                    tracer.start_span("child").end()
    names = [span.name for span in receiver.spans]
    kept = {"sampled": sampled, "unsampled": unsampled, "root": root}
    assert {name: names.count(name) for name in kept} == {name: 3 * is_kept for name, is_kept in kept.items()}
    assert names.count("child") == 3 * sum(kept.values())


async def test_an_excluded_request_decides_nothing_for_another_span(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    excluded = parse_excluded_urls("/apart")  # as of OTEL_PYTHON_FASTAPI_EXCLUDED_URLS, which is read at the import
    monkeypatch.setattr("opentelemetry.instrumentation.fastapi._excluded_urls_from_env", excluded)
    app = FastAPI()

    @app.get("/apart")
    async def apart() -> None:
        trace.get_tracer("app", tracer_provider=Traced.provider).start_span("apart", context=Context()).end()

    async with traced(monkeypatch, receiver.endpoint, app) as served:
        monkeypatch.setattr(served.tracing._sampling, "records", lambda parent: True)
        monkeypatch.setattr("sightglass.tracing.sampling.random.random", lambda: 1.0)
        answer = await served.get("/apart")
    assert answer.status_code == 200
    assert receiver.spans == []


@pytest.mark.parametrize("path", ["/fail", "/broken-stream"])
async def test_failure_marks_the_span_and_keeps_the_message_out(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, path: str
) -> None:
    async with traced(monkeypatch, receiver.endpoint) as served:
        await served.get(f"{path}?text={SECRET}")
    server = by_name(receiver)[f"GET {path}"]
    assert "ValueError" in [values(event.attributes)["exception.type"] for event in server.events]
    assert server.status.code == server.status.STATUS_CODE_ERROR
    assert SECRET not in receiver.text
    events = [event for span in receiver.spans for event in span.events]
    assert events
    for event in events:
        attributes = values(event.attributes)
        assert attributes["exception.type"] == "ValueError"
        assert "exception.message" not in attributes
        assert re.search(r'File ".*test_tracing\.py", line \d+, in ', str(attributes["exception.stacktrace"]))


@pytest.mark.parametrize("variable", ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"])
async def test_standard_variables_name_the_service(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, variable: str
) -> None:
    monkeypatch.setenv(variable, {"OTEL_SERVICE_NAME": "named"}.get(variable, "service.name=named,team=blue"))
    async with traced(monkeypatch, receiver.endpoint) as served:
        await served.get("/api/items/1")
    assert receiver.resource["service.name"] == "named"


@pytest.mark.parametrize(
    ("environment", "queue", "batch"),
    [
        ({}, 2048, 512),
        (
            {"OTEL_BSP_MAX_QUEUE_SIZE": "", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "", "OTEL_BSP_SCHEDULE_DELAY": ""},
            2048,
            512,
        ),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, 100, 100),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "5000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4096"}, 5000, 4096),
    ],
)
async def test_standard_variables_shape_the_batches(
    monkeypatch: pytest.MonkeyPatch,
    receiver: OtlpReceiver,
    caplog: pytest.LogCaptureFixture,
    environment: dict[str, str],
    queue: int,
    batch: int,
) -> None:
    chosen: dict[str, int] = {}

    def processor(exporter: SpanExporter, **options: Any) -> BatchSpanProcessor:
        chosen.update(options)
        return BatchSpanProcessor(exporter, **options)

    monkeypatch.setattr("sightglass.tracing.provider.BatchSpanProcessor", processor)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with traced(monkeypatch, receiver.endpoint) as served:
        await served.get("/api/items/1")
    assert chosen == {
        "max_queue_size": queue,
        "max_export_batch_size": batch,
        "schedule_delay_millis": 5000,
        "export_timeout_millis": 30000,
    }
    assert len(receiver.spans) == 1
    assert "OTEL_BSP" not in caplog.text


def _failed() -> float:
    return REGISTRY.get_sample_value("tracing_spans_failed_total") or 0.0


async def test_refusing_collector_costs_requests_nothing_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _failed()
    with OtlpReceiver(status=400) as receiver:
        async with traced(monkeypatch, receiver.endpoint) as served:
            assert (await served.get("/api/items/1")).status_code == 200
    assert _failed() - before == 1


async def test_silent_collector_stops_neither_requests_nor_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sightglass.tracing.provider.SHUTDOWN_SECONDS", 0.2)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    with OtlpReceiver(answer=False) as receiver, caplog.at_level(logging.WARNING):
        async with traced(monkeypatch, receiver.endpoint) as served:
            await served.get("/api/items/1")
            assert await asyncio.to_thread(receiver.asked.wait, 30)
            for number in range(200):
                assert (await served.get(f"/api/items/{number}")).status_code == 200
        assert "the last spans are lost" in caplog.text


async def test_unreachable_collector_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightglass.tracing.provider.SHUTDOWN_SECONDS", 0.2)
    async with traced(monkeypatch, "http://127.0.0.1:9") as served:
        assert (await served.get("/api/items/1")).status_code == 200
