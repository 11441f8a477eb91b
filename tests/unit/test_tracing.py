"""Spans, from a request to a collector that speaks real OTLP."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from prometheus_client import REGISTRY

from sightglass.asgi.health import Health
from sightglass.asgi.middleware import Middleware
from sightglass.asgi.routes import RouteTemplates
from sightglass.context import current_request
from sightglass.environment import read_settings
from sightglass.metrics.process import ProcessMetrics
from sightglass.settings import Settings
from sightglass.tracing.spans import Tracing
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


class Traced:
    """An instrumented app and a client for it."""

    provider: Any = None

    def __init__(self, app: Middleware, tracing: Tracing) -> None:
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
    monkeypatch: pytest.MonkeyPatch, endpoint: str, app: FastAPI | None = None, **settings: Any
) -> AsyncIterator[Traced]:
    """Serve the app with tracing between start and shutdown; leaving sends the spans."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    exporters: list[OTLPSpanExporter] = []

    def exporter() -> OTLPSpanExporter:
        exporters.append(OTLPSpanExporter())
        return exporters[-1]

    monkeypatch.setattr("sightglass.tracing.spans.OTLPSpanExporter", exporter)
    app = app or sample_app()
    route_of = RouteTemplates(app).find
    tracing = Tracing(replace(read_settings(Settings), tracing_enabled=True, **settings), route_of)
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


async def test_native_telemetry_of_fastapi_steps_aside(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    async with traced(monkeypatch, receiver.endpoint) as served:
        app = served.app.app
        assert isinstance(app, FastAPI)
        app._telemetry["tracer_provider"] = served.tracing.provider  # what a global provider amounts to
        assert app._native_telemetry.enabled()
        await served.get("/api/items/1")
    assert [span.name for span in receiver.spans] == ["GET /api/items/{item_id}"]


async def test_callers_trace_is_continued(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    async with traced(monkeypatch, receiver.endpoint) as served:
        answer = (await served.get("/api/items/1", traceparent=UNSAMPLED_PARENT, tracestate=f"a={SECRET}")).json()
    (span,) = receiver.spans
    assert span.trace_id.hex() == answer["trace"] == PARENT_TRACE
    assert span.parent_span_id.hex() == PARENT_SPAN
    assert SECRET not in receiver.text


@pytest.mark.parametrize("parent", [SAMPLED_PARENT, UNSAMPLED_PARENT, f"00-{'0' * 31}1-{PARENT_SPAN}-01"])
async def test_caller_does_not_decide_sampling(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, parent: str
) -> None:
    settings: dict[str, Any] = {"otel_traces_sampler": "traceidratio", "otel_traces_sampler_arg": 0.0}
    async with traced(monkeypatch, receiver.endpoint, **settings) as served:
        answer = (await served.get("/api/items/1", traceparent=parent)).json()
        assert (answer["trace"], answer["span"], answer["sampled"]) == (parent[3:35], None, False)
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


@pytest.mark.parametrize("path", ["/fail", "/broken-stream"])
async def test_failure_marks_the_span_and_keeps_the_message_out(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, path: str
) -> None:
    async with traced(monkeypatch, receiver.endpoint) as served:
        await served.get(f"{path}?text={SECRET}")
    server = by_name(receiver)[f"GET {path}"]
    assert server.status.code == server.status.STATUS_CODE_ERROR
    assert SECRET not in receiver.text
    events = [event for span in receiver.spans for event in span.events]
    assert events
    for event in events:
        attributes = values(event.attributes)
        assert attributes["exception.type"] == "ValueError"
        assert "exception.message" not in attributes
        assert re.search(r'File ".*test_tracing\.py", line \d+, in ', str(attributes["exception.stacktrace"]))


async def test_off_means_no_spans_and_no_wrapping(receiver: OtlpReceiver) -> None:
    app = sample_app()
    tracing = Tracing(Settings(), RouteTemplates(app).find)
    tracing.start()
    assert tracing.wrap(app) is app
    assert tracing.provider is None
    assert not receiver.asked.is_set()


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

    monkeypatch.setattr("sightglass.tracing.spans.BatchSpanProcessor", processor)
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
    monkeypatch.setattr("sightglass.tracing.spans.SHUTDOWN_SECONDS", 0.2)
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
    monkeypatch.setattr("sightglass.tracing.spans.SHUTDOWN_SECONDS", 0.2)
    async with traced(monkeypatch, "http://127.0.0.1:9") as served:
        assert (await served.get("/api/items/1")).status_code == 200
