"""Every trace that matters: failed and slow requests leave their whole trace whatever the sampling share is."""

import asyncio
import contextlib
import threading
import tomllib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import inject
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import REGISTRY

from sightglass.context import current_request
from sightglass.settings import Settings
from sightglass.tracing.holding import HeldSpan, Hold, Room
from tests.stack import ROOT
from tests.support.otlp_receiver import OtlpReceiver, values
from tests.unit.observed import Client, Observed, websocket
from tests.unit.test_middleware import pushing_app, refuse_websocket_messages
from tests.unit.test_tracing import PARENT_SPAN, PARENT_TRACE, SECRET, Traced, by_name, traced

NONE: dict[str, Any] = {"otel_traces_sampler": "traceidratio", "otel_traces_sampler_arg": 0.0}
SLOW: dict[str, Any] = NONE | {"tracing_slow_seconds": 1e-9}
UNSAMPLED = f"00-{PARENT_TRACE}-{PARENT_SPAN}-00"


def tracer() -> trace.Tracer:
    """As an instrumentation of httpx or SQLAlchemy makes its spans."""
    return trace.get_tracer("child", tracer_provider=Traced.provider)


def app() -> FastAPI:
    app = FastAPI()

    def children() -> None:
        with tracer().start_as_current_span("outer"), tracer().start_as_current_span("inner"):
            pass

    @app.get("/ok")
    async def ok() -> dict[str, str]:
        children()
        carrier: dict[str, str] = {}
        inject(carrier)
        return carrier

    @app.get("/raises")
    async def raises(text: str = "") -> None:
        children()
        trace.get_current_span().set_attribute("tenant", "blue")
        trace.get_current_span().add_event("seen", {"n": 1})
        raise ValueError(f"cannot use {text}")

    @app.get("/refuses")
    async def refuses() -> None:
        children()
        raise HTTPException(503)

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            children()
            raise ValueError

        return StreamingResponse(body())

    @app.get("/thread")
    def thread() -> None:
        children()
        raise HTTPException(500)

    @app.get("/task")
    async def task() -> None:
        await asyncio.create_task(asyncio.to_thread(children))
        raise HTTPException(500)

    @app.get("/afterwards")
    async def afterwards(tasks: BackgroundTasks) -> None:
        def fail() -> None:
            children()
            raise ValueError

        tasks.add_task(fail)

    @app.get("/missing")
    async def missing() -> None:
        children()
        raise HTTPException(404)

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"data: x\n\n"

        return StreamingResponse(body(), media_type="text/event-stream")

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        children()
        raise ValueError("gone")

    return app


@pytest.fixture
def receiver() -> Any:
    with OtlpReceiver() as receiver:
        yield receiver


def whole(receiver: OtlpReceiver, root: str) -> dict[str, Span]:
    """The spans, once it is clear that they are one trace with no parent missing."""
    spans = by_name(receiver)
    assert len(spans) == len(receiver.spans)
    assert {span.trace_id for span in spans.values()} == {spans[root].trace_id}
    assert spans["inner"].parent_span_id == spans["outer"].span_id
    assert spans["outer"].parent_span_id == spans[root].span_id
    assert spans[root].parent_span_id == b""
    return spans


FAILING = ["/raises", "/refuses", "/half", "/thread", "/task"]


@pytest.mark.parametrize("path", FAILING)
async def test_a_failed_request_leaves_its_whole_trace(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, path: str
) -> None:
    async with traced(monkeypatch, receiver.endpoint, app(), **NONE) as served:
        await served.get("/ok")
        answer = await served.get(f"{path}?text={SECRET}", **{"x-request-id": "mine-1"})
    root = f"GET {path}"
    spans = whole(receiver, root)
    assert sorted(spans) == sorted([root, "outer", "inner"])
    attributes = values(spans[root].attributes)
    assert spans[root].trace_id.hex() == answer.headers["x-trace-id"]
    assert spans[root].kind == Span.SPAN_KIND_SERVER
    assert spans[root].status.code == Status.STATUS_CODE_ERROR
    assert attributes["http.route"] == path
    assert attributes["http.request.method"] == "GET"
    assert attributes["http.response.status_code"] == answer.status_code
    assert attributes["request_id"] == "mine-1"
    assert SECRET not in receiver.text
    for child in ("outer", "inner"):
        assert spans[root].start_time_unix_nano <= spans[child].start_time_unix_nano
        assert spans[child].end_time_unix_nano <= spans[root].end_time_unix_nano


async def test_it_is_the_span_that_a_sampled_request_has(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    for settings in (NONE, {}):
        async with traced(monkeypatch, receiver.endpoint, app(), **settings) as served:
            await served.get("/raises")
    held, sampled = (span for span in receiver.spans if span.name == "GET /raises")
    own = {"request_id": "", "server.address": ""}  # contrib's has the port in it where there is none
    assert values(held.attributes) | own == values(sampled.attributes) | own
    assert held.status.code == sampled.status.code
    events = [
        [(event.name, values(event.attributes).get("exception.type")) for event in span.events]
        for span in (held, sampled)
    ]
    assert sorted(map(str, events[0])) == sorted(map(str, events[1]))


async def test_other_requests_leave_nothing(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    async with traced(monkeypatch, receiver.endpoint, app(), **NONE) as served:
        answer = await served.get("/ok")
        assert answer.json()["traceparent"].endswith("-00")  # services that are called learn: not sampled
        for path in ("/missing", "/nowhere", "/events"):
            await served.get(path)
    assert receiver.spans == []
    assert served.tracing._room._held == 0


async def test_a_slow_request_leaves_its_trace_and_an_exemplar(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    async with traced(monkeypatch, receiver.endpoint, app(), **SLOW) as served:
        answer = await served.get("/ok")
        families = str(served.app._process.families())
    spans = whole(receiver, "GET /ok")
    assert spans["GET /ok"].status.code == 0
    assert f'trace_id="{answer.headers["x-trace-id"]}"' in families


@pytest.mark.parametrize("path", ["/ok", "/events"])
async def test_slow_by_nature_is_not_slow(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, path: str) -> None:
    async with traced(monkeypatch, receiver.endpoint, app(), **SLOW, slow_routes="/reports /ok") as served:
        await served.get(path)
    assert receiver.spans == []


async def test_a_background_task_that_fails_leaves_the_trace(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    async with traced(monkeypatch, receiver.endpoint, app(), **NONE) as served:
        assert (await served.get("/afterwards")).status_code == 200
    spans = by_name(receiver)
    assert {"GET /afterwards", "outer", "inner"} <= set(spans)
    assert len({span.trace_id for span in spans.values()}) == 1


async def test_a_websocket_that_fails_leaves_its_trace(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    async with traced(monkeypatch, receiver.endpoint, app(), **SLOW) as served:
        incoming = iter([{"type": "websocket.connect"}])

        async def receive() -> Any:
            return next(incoming)

        async def send(_: Any) -> None:
            pass

        scope = {"type": "websocket", "path": "/ws", "headers": [], "query_string": b"", "subprotocols": []}
        with pytest.raises(ValueError, match="gone"):
            await served.app(scope | {"scheme": "ws", "root_path": ""}, receive, send)
    assert sorted(whole(receiver, "GET /ws")) == ["GET /ws", "inner", "outer"]


async def test_a_websocket_whose_client_leaves_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    async with traced(monkeypatch, receiver.endpoint, pushing_app(), **NONE) as served:
        client = Client({"type": "websocket.connect"})
        client.on_send = refuse_websocket_messages
        with pytest.raises((WebSocketDisconnect, OSError)):
            await served.app(websocket("/push"), client.receive, client.send)
    assert receiver.spans == []


async def test_a_websocket_that_fails_after_its_client_has_left_leaves_its_trace(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    failing = FastAPI()

    @failing.websocket("/ws")
    async def ask_another(socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await socket.receive_text()
        raise TimeoutError

    async with traced(monkeypatch, receiver.endpoint, failing, **NONE) as served:
        client = Client({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001})
        with pytest.raises(TimeoutError):
            await served.app(websocket("/ws"), client.receive, client.send)
    assert [span.name for span in receiver.spans] == ["GET /ws"]


async def test_a_callers_trace_is_continued_and_the_parent_is_theirs(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    async with traced(monkeypatch, receiver.endpoint, app(), **NONE) as served:
        await served.get("/refuses", traceparent=UNSAMPLED)
    spans = by_name(receiver)
    assert {span.trace_id.hex() for span in spans.values()} == {PARENT_TRACE}
    assert spans["GET /refuses"].parent_span_id.hex() == PARENT_SPAN


async def test_two_requests_of_one_trace_are_two_decisions(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    async with traced(monkeypatch, receiver.endpoint, app(), **NONE) as served:
        await asyncio.gather(*(served.get(path, traceparent=UNSAMPLED) for path in ("/ok", "/refuses", "/ok")))
    assert sorted(span.name for span in receiver.spans) == ["GET /refuses", "inner", "outer"]


async def test_always_off_is_off(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    async with traced(monkeypatch, receiver.endpoint, app(), otel_traces_sampler="always_off") as served:
        for path in FAILING:
            await served.get(path)
    assert receiver.spans == []


async def test_an_excluded_path_leaves_nothing(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    monkeypatch.setenv("OTEL_PYTHON_FASTAPI_EXCLUDED_URLS", "refuses")
    async with traced(monkeypatch, receiver.endpoint, app(), **NONE) as served:
        await served.get("/refuses")
        await served.get("/raises")
    assert "GET /raises" in by_name(receiver)
    assert "GET /refuses" not in by_name(receiver)


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("settings", [NONE, {}], ids=["held", "sampled"])
async def test_spans_of_an_apps_own_provider_are_in_it(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, early: bool, settings: dict[str, Any]
) -> None:
    """Made before the first request or within one; the app's own processors send them where it wants."""
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{receiver.endpoint}/v1/traces")))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    its = provider.get_tracer("app") if early else None
    served_app = FastAPI()

    @served_app.get("/")
    async def root() -> None:
        with (its or provider.get_tracer("app")).start_as_current_span("own"):
            pass
        raise HTTPException(500)

    @served_app.get("/fine")
    async def fine() -> None:
        with (its or provider.get_tracer("app")).start_as_current_span("own"):
            pass

    async with traced(monkeypatch, receiver.endpoint, served_app, **settings) as served:
        await served.get("/fine")
        await served.get("/")
    provider.shutdown()
    spans = [span for span in receiver.spans if "fine" not in span.name]
    assert sorted(span.name for span in spans) == ["GET /", "own"]
    own, root_span = sorted(spans, key=lambda span: span.name, reverse=True)
    assert (own.trace_id, own.parent_span_id) == (root_span.trace_id, root_span.span_id)


def not_held() -> float:
    return REGISTRY.get_sample_value("tracing_spans_not_held_total") or 0.0


async def test_what_is_held_is_bounded_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    many = FastAPI()

    @many.get("/")
    async def root() -> None:
        for number in range(100):
            tracer().start_span(str(number)).end()
        assert served.tracing._room._held == 10  # a fourth of all: others have room
        raise HTTPException(500)

    before = not_held()
    async with traced(monkeypatch, receiver.endpoint, many, **NONE, tracing_held_spans=40) as served:
        await served.get("/")
        assert served.tracing._room._held == 0
    assert not_held() - before == 90
    assert sorted(span.name for span in receiver.spans) == sorted(["GET /", *map(str, range(10))])


async def test_all_requests_together_have_no_more_room_than_there_is(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    many = FastAPI()
    there, go = asyncio.Semaphore(0), asyncio.Event()

    @many.get("/")
    async def root() -> None:
        for number in range(10):
            tracer().start_span(str(number)).end()
        there.release()
        await go.wait()

    before = not_held()
    async with traced(monkeypatch, receiver.endpoint, many, **NONE, tracing_held_spans=40) as served:
        asked = [asyncio.create_task(served.get("/")) for _ in range(6)]
        for _ in asked:
            await there.acquire()
        assert (served.tracing._room._held, not_held() - before) == (40, 20)
        go.set()
        await asyncio.gather(*asked)
        assert served.tracing._room._held == 0
    assert receiver.spans == []


class Started:
    """What a hold needs of a span."""

    def __init__(self, span_id: int) -> None:
        self.context = trace.SpanContext(1, span_id, is_remote=False)

    def get_span_context(self) -> trace.SpanContext:
        return self.context

    def is_recording(self) -> bool:
        return True


def held_by(hold: Hold) -> list[int]:
    return [span.get_span_context().span_id for span, _ in hold.spans]


def test_who_is_at_it_the_longest_makes_room() -> None:
    room, before = Room(8), not_held()
    sockets = [Hold(room, None, endless=True) for _ in range(4)]
    for number in range(1, 11):
        for socket in sockets:
            socket.add(Started(number), SpanProcessor())  # type: ignore[arg-type]
    assert [held_by(socket) for socket in sockets] == [[9, 10]] * 4
    request = Hold(room, None)
    for number in (21, 22, 23):
        request.add(Started(number), SpanProcessor())  # type: ignore[arg-type]
    assert held_by(request) == [21, 22]  # of a request the first
    assert [held_by(socket) for socket in sockets] == [[], [9, 10], [9, 10], [9, 10]]
    assert (room._held, not_held() - before) == (8, 4 * 8 + 2 + 1)
    for hold in (*sockets, request):
        hold.forget()
        hold.add(Started(99), SpanProcessor())  # type: ignore[arg-type]  # by a thread that was on its way
    assert (room._held, room._holds) == (0, {})


def test_what_is_said_of_a_span_is_bounded() -> None:
    span = HeldSpan(trace.INVALID_SPAN_CONTEXT)
    for number in range(1000):
        span.set_attributes({f"key {number}": number, "same": number})
        span.add_event(str(number))
        span.add_link(trace.INVALID_SPAN_CONTEXT)
    assert (len(span.attributes), len(span.events), len(span.links)) == (128, 128, 128)
    assert span.attributes["same"] == 999
    assert span.events[-1].name == "999"


async def test_spans_that_end_after_the_request_follow(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    late = FastAPI()
    open_spans: list[trace.Span] = []

    @late.get("/{status}")
    async def root(status: int) -> None:
        open_spans.append(tracer().start_span(f"late {status}"))
        if status == 500:
            raise HTTPException(500)

    async with traced(monkeypatch, receiver.endpoint, late, **NONE) as served:
        await served.get("/200")
        await served.get("/500")
        threads = [threading.Thread(target=span.end) for span in open_spans]
        for thread in threads:
            thread.start()
            thread.join()
        assert served.tracing._room._late == {}
    assert sorted(span.name for span in receiver.spans) == ["GET /{status}", "late 500"]


async def test_those_that_never_end_are_given_up(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    leaking = FastAPI()

    @leaking.get("/")
    async def root() -> None:
        tracer().start_span("never")
        raise HTTPException(500)

    before = not_held()
    async with traced(monkeypatch, receiver.endpoint, leaking, **NONE, tracing_held_spans=4) as served:
        for _ in range(10):
            await served.get("/")
        assert len(served.tracing._room._late) == 4
    assert not_held() - before == 6
    assert len(receiver.spans) == 10


async def test_at_a_share_of_one_in_a_hundred_all_failed_ones_and_that_share_of_others(
    monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver
) -> None:
    draws = iter(range(10**6))
    monkeypatch.setattr("sightglass.tracing.sampling.random.random", lambda: next(draws) % 100 / 100)
    settings = NONE | {"otel_traces_sampler_arg": 0.01}
    async with traced(monkeypatch, receiver.endpoint, app(), **settings) as served:
        for number in range(500):
            await served.get("/refuses" if number % 10 == 5 else "/ok")
    names = [span.name for span in receiver.spans]
    assert names.count("GET /refuses") == 50
    assert names.count("GET /ok") == 5
    assert names.count("outer") == names.count("inner") == 55


async def test_lines_of_a_held_request_have_its_span(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver) -> None:
    seen: list[str | None] = []
    one = FastAPI()

    @one.get("/")
    async def root() -> None:
        context = current_request.get()
        assert context is not None
        seen.append(context.span_id)
        raise HTTPException(500)

    async with traced(monkeypatch, receiver.endpoint, one, **NONE) as served:
        await served.get("/")
    assert seen == [receiver.spans[0].span_id.hex()]


def test_slow_is_what_the_objective_calls_slow() -> None:
    objectives = tomllib.loads((ROOT / "monitoring" / "slo.toml").read_text())
    assert Settings().tracing_slow_seconds == objectives["latency"]["threshold_seconds"]


def test_without_tracing_nothing_is_in_the_way() -> None:
    one = app()
    assert Observed(one).app._inner is one
