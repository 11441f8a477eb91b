"""What the outermost layer counts and logs, for everything a request can come to."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Coroutine
from enum import IntEnum
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected

from sightglass.asgi.health import Health
from sightglass.context import current_request
from sightglass.logs.errors import ErrorLog, Unwritten
from sightglass.metrics.slots import SlotDirectory
from sightglass.record import Record
from sightglass.settings import Settings
from tests.support.waiting import eventually
from tests.unit.observed import Client, Observed, ask, http, websocket


class BrokenError(Exception):
    """What the apps here raise."""


def make_app() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: str) -> dict[str, str]:
        return {"item": item}

    @app.post("/echo")
    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    @app.get("/fail")
    async def fail() -> None:
        raise RuntimeError("broken")

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418)

    @app.get("/unavailable")
    async def unavailable() -> PlainTextResponse:
        return PlainTextResponse("later", 503)

    @app.get("/empty", status_code=204)
    async def empty() -> None:
        return None

    @app.get("/cached")
    async def cached() -> PlainTextResponse:
        return PlainTextResponse(status_code=304)

    return app


@pytest.fixture
def observed() -> Observed:
    return Observed(make_app())


async def test_each_request_is_counted_once_under_method_template_and_status(observed: Observed) -> None:
    for number in range(7):
        await ask(observed, http(path=f"/items/{number}"))
    assert observed.requests() == {("GET", "/items/{item}", "200"): 7}
    assert observed.durations() == 7
    assert observed.value("http_requests_in_progress") == 0
    assert [(e["status"], e["outcome"], e["route"], e["path"]) for e in observed.log.entries] == [
        (200, "ok", "/items/{item}", f"/items/{number}") for number in range(7)
    ]


async def test_unmatched_paths_share_one_label(observed: Observed) -> None:
    for path in ("/nothing", "/wp-admin.php", "/items/1/2", "/" + "x" * 4000):
        await ask(observed, http(path=path))
    assert observed.requests() == {("GET", "(unmatched)", "404"): 4}


@pytest.mark.parametrize(
    ("scope", "failures"),
    [
        (http(path="/items/1"), ("GET", "/items/{item}")),
        (http("HEAD", "/items/1"), ("HEAD", "/items/{item}")),
        (http("POST", "/echo"), ("POST", "/echo")),
        (http(path="/nothing"), ("GET", "(unmatched)")),
        (http(path="/fail"), ("GET", "/fail")),
        (websocket("/talk"), ("GET", "/talk")),
        (websocket("/nothing"), ("GET", "(unmatched)")),
    ],
)
async def test_a_routes_failures_count_from_zero_once_it_is_seen(scope: Scope, failures: tuple[str, str]) -> None:
    """The first value of a series that appears has no increase."""
    app = make_app()

    @app.websocket("/talk")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()

    observed = Observed(app)
    messages: list[Message] = [{"type": "websocket.connect"}] if scope["type"] == "websocket" else []
    with contextlib.suppress(RuntimeError):
        await ask(observed, scope, *messages)
    method, route = failures
    told = {
        status: observed.value("http_requests_total", method=method, route=route, status=status)
        for status in ("500", "502", "503", "504")
    }
    assert told == {"500": 1 if route == "/fail" else 0, "502": 0, "503": 0, "504": 0}


async def test_wrong_method_on_a_route_keeps_its_template(observed: Observed) -> None:
    await ask(observed, http("DELETE", "/items/1"))
    assert observed.requests() == {("DELETE", "/items/{item}", "405"): 1}


@pytest.mark.parametrize("method", ["FOO", "get", "X" * 500, "PROPFIND"])
async def test_odd_methods_share_one_label(observed: Observed, method: str) -> None:
    await ask(observed, http(method, "/items/1"))
    assert observed.requests() == {("OTHER", "/items/{item}", "405"): 1}


async def test_slash_redirect_leaks_no_path(observed: Observed) -> None:
    client = await ask(observed, http(path="/items/secret/"))
    assert client.status == 307
    assert observed.requests() == {("GET", "(unmatched)", "307"): 1}


async def test_preflight_is_counted() -> None:
    app = make_app()
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    observed = Observed(app)
    headers = [("origin", "http://a.example"), ("access-control-request-method", "GET")]
    client = await ask(observed, http("OPTIONS", "/items/1", headers))
    assert client.status == 200
    assert observed.requests() == {("OPTIONS", "(unmatched)", "200"): 1}


async def test_an_http_error_is_an_answer(observed: Observed) -> None:
    await ask(observed, http(path="/teapot"))
    await ask(observed, http(path="/unavailable"))
    assert observed.requests() == {("GET", "/teapot", "418"): 1, ("GET", "/unavailable", "503"): 1}
    assert [entry["outcome"] for entry in observed.log.entries] == ["ok", "ok"]


async def test_an_exception_is_counted_timed_and_passed_on(observed: Observed) -> None:
    client = Client()
    with pytest.raises(RuntimeError, match="broken"):
        await observed.app(http(path="/fail"), client.receive, client.send)
    assert client.status == 500
    assert dict(client.headers)["x-request-id"] == observed.log.entries[0]["context"].request_id
    assert observed.requests() == {("GET", "/fail", "500"): 1}
    assert observed.durations() == 1
    assert observed.value("http_requests_in_progress") == 0
    assert (observed.log.entries[0]["status"], observed.log.entries[0]["outcome"]) == (500, "error")


@pytest.mark.parametrize(
    ("path", "version", "closes"),
    [("/fail", "1.1", True), ("/fail", "2", False), ("/unavailable", "1.1", False), ("/items/1", "1.1", False)],
)
async def test_no_request_is_sent_on_a_connection_that_an_exception_closes(
    observed: Observed, path: str, version: str, closes: bool
) -> None:
    client = Client()
    with contextlib.suppress(RuntimeError):
        await observed.app(http(path=path, http_version=version), client.receive, client.send)
    assert (("connection", "close") in client.headers) is closes


async def test_an_app_that_raises_without_answering_is_answered_for() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise BrokenError

    observed = Observed(app)
    client = Client()
    with pytest.raises(BrokenError):
        await observed.app(http(), client.receive, client.send)
    assert client.status == 500
    headers = dict(client.headers)
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"].encode() in client.body
    assert observed.requests() == {("GET", "(unmatched)", "500"): 1}
    assert len(observed.log.entries) == 1


@pytest.mark.parametrize("started", [False, True])
async def test_an_app_that_returns_without_a_whole_answer_failed(started: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    observed = Observed(app)
    await ask(observed, http())
    assert observed.requests() == {("GET", "(unmatched)", "500"): 1}
    assert observed.log.entries[0]["outcome"] == "error"


async def test_a_stream_that_fails_midway_is_not_a_success() -> None:
    app = FastAPI()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"12345"
            raise BrokenError

        return StreamingResponse(chunks())

    observed = Observed(app)
    client = Client()
    with pytest.raises(BrokenError):
        await observed.app(http(path="/stream"), client.receive, client.send)
    assert client.status == 200
    assert observed.requests() == {("GET", "/stream", "500"): 1}
    assert observed.value("http_response_size_bytes_sum", method="GET", route="/stream") == 5
    assert observed.log.entries[0]["outcome"] == "error"


async def test_a_client_that_leaves_a_stream_is_neither_success_nor_failure() -> None:
    app = FastAPI()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"12345"
            await asyncio.Event().wait()

        return StreamingResponse(chunks())

    observed = Observed(app)
    messages: list[Message] = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]
    await ask(observed, http(path="/stream"), *messages)
    assert observed.requests() == {("GET", "/stream", "499"): 1}
    assert observed.log.entries[0]["outcome"] == "disconnected"


async def test_a_client_that_leaves_while_sending_its_body(observed: Observed) -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"123", "more_body": True}, {"type": "http.disconnect"}]
    client = Client(*messages)
    with contextlib.suppress(ClientDisconnect):  # what the framework makes of it is its own affair
        await observed.app(http("POST", "/echo"), client.receive, client.send)
    assert observed.requests() == {("POST", "/echo", "499"): 1}
    assert observed.value("http_request_size_bytes_sum", method="POST", route="/echo") == 3


LONG = [(b"content-length", b"10")]


@pytest.mark.parametrize(
    ("method", "status", "headers", "pieces", "counted"),
    [
        ("GET", 200, LONG, [b"12345", b"67890"], ("200", "ok")),
        ("GET", 200, LONG, [b"12345"], ("499", "disconnected")),
        ("GET", 200, [], [b"12345", b"67890"], ("499", "disconnected")),  # chunked: its end is part of the answer
        ("GET", 200, [(b"content-length", b"ten")], [b"1234567890"], ("499", "disconnected")),
        ("GET", 200, [(b"content-length", b"0")], [], ("200", "ok")),
        ("GET", 204, [], [], ("204", "ok")),
        ("GET", 304, LONG, [], ("304", "ok")),
        ("HEAD", 200, LONG, [], ("200", "ok")),
        ("GET", 503, LONG, [b"1234567890"], ("503", "ok")),
    ],
)
async def test_a_client_that_leaves_before_the_empty_last_message(
    method: str, status: int, headers: list[tuple[bytes, bytes]], pieces: list[bytes], counted: tuple[str, str]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await receive()
        await send({"type": "http.response.body", "body": b""})

    observed = Observed(app)
    await ask(observed, http(method), {"type": "http.request"}, {"type": "http.disconnect"})
    assert observed.requests() == {(method, "(unmatched)", counted[0]): 1}
    assert [(str(e["status"]), e["outcome"]) for e in observed.log.entries] == [counted]
    assert observed.value("http_requests_in_progress") == 0


async def test_a_server_that_raises_on_send_says_the_client_left(observed: Observed) -> None:
    client = Client()

    def refuse(message: Message) -> None:
        raise BrokenPipeError

    client.on_send = refuse
    with pytest.raises(BrokenPipeError):
        await observed.app(http(path="/items/1"), client.receive, client.send)
    assert observed.requests() == {("GET", "/items/{item}", "499"): 1}
    assert (observed.log.entries[0]["status"], observed.log.entries[0]["outcome"]) == (499, "disconnected")


async def test_a_cancelled_request_is_counted_and_stays_cancelled() -> None:
    app = FastAPI()
    reached = asyncio.Event()

    @app.get("/wait")
    async def wait() -> None:
        reached.set()
        await asyncio.Event().wait()

    observed = Observed(app)
    client = Client()
    task = asyncio.create_task(observed.app(http(path="/wait"), client.receive, client.send))
    await reached.wait()
    assert observed.value("http_requests_in_progress") == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert observed.requests() == {("GET", "/wait", "499"): 1}
    assert observed.value("http_requests_in_progress") == 0
    assert (observed.log.entries[0]["status"], observed.log.entries[0]["outcome"]) == (None, "cancelled")


async def test_the_first_byte_is_timed_where_there_is_one() -> None:
    app = FastAPI()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.sleep(0.05)
            yield b"last"

        return StreamingResponse(chunks())

    @app.get("/nothing")
    async def nothing() -> None:
        raise asyncio.CancelledError

    observed = Observed(app)

    def value(name: str, route: str) -> float:
        return observed.value(name, method="GET", route=route) or 0

    await ask(observed, http(path="/stream"))
    assert value("http_time_to_first_byte_seconds_count", "/stream") == 1
    total = value("http_request_duration_seconds_sum", "/stream")
    assert total - value("http_time_to_first_byte_seconds_sum", "/stream") >= 0.05
    with contextlib.suppress(asyncio.CancelledError):
        await ask(observed, http(path="/nothing"))
    assert value("http_request_duration_seconds_count", "/nothing") == 1
    assert value("http_time_to_first_byte_seconds_count", "/nothing") == 0


async def test_background_tasks_are_after_the_request() -> None:
    app = FastAPI()
    release = asyncio.Event()

    @app.get("/later")
    async def later(tasks: BackgroundTasks) -> None:
        tasks.add_task(release.wait)

    observed = Observed(app)
    answered = asyncio.Event()
    client = Client()
    client.on_send = lambda message: answered.set() if message["type"] == "http.response.body" else None
    task = asyncio.create_task(observed.app(http(path="/later"), client.receive, client.send))
    await answered.wait()
    await asyncio.sleep(0)
    assert not task.done()
    assert observed.requests() == {("GET", "/later", "200"): 1}
    assert observed.value("http_requests_in_progress") == 0
    before = observed.value("http_request_duration_seconds_sum", method="GET", route="/later")
    release.set()
    await task
    assert observed.value("http_request_duration_seconds_sum", method="GET", route="/later") == before
    assert observed.requests() == {("GET", "/later", "200"): 1}


async def test_a_failing_background_task_does_not_undo_the_answer() -> None:
    app = FastAPI()

    @app.get("/later")
    async def later(tasks: BackgroundTasks) -> None:
        def broken() -> None:
            raise RuntimeError

        tasks.add_task(broken)

    observed = Observed(app)
    client = Client()
    with pytest.raises(RuntimeError):
        await observed.app(http(path="/later"), client.receive, client.send)
    assert observed.requests() == {("GET", "/later", "200"): 1}
    assert len(observed.log.entries) == 1


async def test_answers_without_a_body_have_size_zero(observed: Observed) -> None:
    await ask(observed, http(path="/empty"))
    await ask(observed, http(path="/cached"))
    assert observed.requests() == {("GET", "/empty", "204"): 1, ("GET", "/cached", "304"): 1}
    assert observed.value("http_response_size_bytes_sum", method="GET", route="/empty") == 0
    assert observed.value("http_response_size_bytes_count", method="GET", route="/cached") == 1


async def test_a_head_request_sends_no_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("hello")(scope, receive, send)

    observed = Observed(app)
    await ask(observed, http("HEAD"))
    assert observed.value("http_response_size_bytes_sum", method="HEAD", route="(unmatched)") == 0
    assert observed.log.entries[0]["response_size"] == 0


async def test_sizes_are_of_the_bytes_not_of_what_headers_claim(observed: Observed) -> None:
    chunks: list[Message] = [
        {"type": "http.request", "body": b"12345", "more_body": True},
        {"type": "http.request", "more_body": True},
        {"type": "http.request", "body": b"678"},
    ]
    await ask(observed, http("POST", "/echo", [("content-length", "999999")]), *chunks)
    assert observed.value("http_request_size_bytes_sum", method="POST", route="/echo") == 8
    assert observed.value("http_response_size_bytes_sum", method="POST", route="/echo") == 8


@pytest.mark.parametrize("length", ["", "-1", "ten", "1e9", "9" * 400, "1, 2", "\xff"])
async def test_malformed_lengths_leak_nothing(observed: Observed, length: str) -> None:
    await ask(observed, http(path="/items/1", headers=[("content-length", length)]))
    assert observed.value("http_requests_in_progress") == 0
    assert observed.requests() == {("GET", "/items/{item}", "200"): 1}


async def test_messages_may_leave_out_the_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "more_body": True})
        await send({"type": "http.response.body"})

    observed = Observed(app)
    client = await ask(observed, http(), {"type": "http.request"})
    assert [name for name, _ in client.headers] == ["x-request-id", "x-trace-id"]
    assert observed.requests() == {("GET", "(unmatched)", "200"): 1}


async def test_sampled_requests_leave_their_trace_as_an_exemplar(observed: Observed) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    inner = observed.app._inner

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        context = current_request.get()
        assert context is not None
        context.trace_id, context.sampled = trace, scope["path"] == "/items/sampled"
        await inner(scope, receive, send)

    observed.app._inner = traced
    await ask(observed, http(path="/items/unsampled"))
    assert "trace_id" not in str(observed.process.families())
    await ask(observed, http(path="/items/sampled"))
    exemplars = [
        (key, text)
        for family in observed.process.families()
        if family[0] == "http_request_duration_seconds"
        for key, _, text in family[4]
        if text
    ]
    assert len(exemplars) == 1
    assert f'# {{trace_id="{trace}"}} ' in exemplars[0][1]


# Request ids


@given(st.text(alphabet="abcXYZ019._-", min_size=1, max_size=128))
def test_a_valid_request_id_is_kept(given_id: str) -> None:
    observed = Observed(make_app())
    client = asyncio.run(ask(observed, http(path="/items/1", headers=[("X-Request-ID", given_id)])))
    assert dict(client.headers)["x-request-id"] == given_id
    assert observed.log.entries[0]["context"].request_id == given_id


@given(st.text(st.characters(codec="latin-1"), max_size=200))
def test_a_request_id_is_always_safe_to_log(given_id: str) -> None:
    observed = Observed(make_app())
    client = asyncio.run(ask(observed, http(path="/items/1", headers=[("X-Request-ID", given_id)])))
    used = dict(client.headers)["x-request-id"]
    assert used == given_id or len(used) == 32
    assert 1 <= len(used) <= 128
    assert set(used) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


async def test_the_response_has_one_request_id_even_if_the_app_sets_its_own() -> None:
    shared = PlainTextResponse("x", headers={"X-Request-ID": "theirs"})
    observed = Observed(shared)
    first, second = await ask(observed, http()), await ask(observed, http())
    ids = [[value for name, value in client.headers if name == "x-request-id"] for client in (first, second)]
    assert [len(values) for values in ids] == [1, 1]
    assert ids[0] != ids[1]
    assert "theirs" not in ids[0] + ids[1]


async def test_code_reads_the_request_it_works_for() -> None:
    app = FastAPI()

    @app.get("/me")
    def me() -> str:
        context = current_request.get()
        return context.request_id if context else ""

    client = await ask(Observed(app), http(path="/me", headers=[("x-request-id", "abc")]))
    assert client.body == b'"abc"'
    assert current_request.get() is None


# WebSockets


async def test_an_accepted_connection_is_counted_at_its_end() -> None:
    app = FastAPI()

    @app.websocket("/talk/{room}")
    async def talk(socket: WebSocket, room: str) -> None:
        await socket.accept()
        assert watched.requests() == {}
        await socket.send_text("é")
        await socket.receive_text()

    watched = Observed(app)
    messages: list[Message] = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "abc"}]
    client = await ask(watched, websocket("/talk/1"), *messages)
    assert dict(client.headers)["x-request-id"]
    assert watched.requests() == {("GET", "/talk/{room}", "101"): 1}
    assert watched.durations() == 0
    entry = watched.log.entries[0]
    assert (entry["request_size"], entry["response_size"], entry["outcome"]) == (3, 2, "ok")


async def test_a_refused_connection_is_a_403() -> None:
    observed = Observed(make_app())
    await ask(observed, websocket("/nowhere"), {"type": "websocket.connect"})
    assert observed.requests() == {("GET", "(unmatched)", "403"): 1}


async def test_a_connection_whose_client_leaves_ended_as_it_should() -> None:
    app = FastAPI()

    @app.websocket("/talk")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_text()

    observed = Observed(app)
    messages: list[Message] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]
    client = Client(*messages)
    with contextlib.suppress(WebSocketDisconnect):
        await observed.app(websocket("/talk"), client.receive, client.send)
    assert observed.requests() == {("GET", "/talk", "101"): 1}
    assert observed.log.entries[0]["outcome"] == "ok"


@pytest.mark.parametrize(("accepted", "status"), [(False, "500"), (True, "101")])
async def test_a_connection_that_fails(accepted: bool, status: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if accepted:
            await send({"type": "websocket.accept"})
        raise RuntimeError

    observed = Observed(app)
    client = Client({"type": "websocket.connect"})
    with pytest.raises(RuntimeError):
        await observed.app(websocket(), client.receive, client.send)
    assert observed.requests() == {("GET", "(unmatched)", status): 1}
    assert observed.log.entries[0]["outcome"] == "error"


async def test_a_client_that_leaves_a_pushing_connection_ends_it_as_it_should() -> None:
    observed = Observed(pushing_app())
    client = Client({"type": "websocket.connect"})
    client.on_send = refuse_websocket_messages
    with pytest.raises((WebSocketDisconnect, OSError)):
        await observed.app(websocket("/push"), client.receive, client.send)
    assert observed.requests() == {("GET", "/push", "101"): 1}
    assert observed.log.entries[0]["outcome"] == "ok"


def pushing_app() -> FastAPI:
    app = FastAPI()

    @app.websocket("/push")
    async def push(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await socket.send_text("x")

    return app


def refuse_websocket_messages(message: Message) -> None:
    if message["type"] == "websocket.send":
        raise ClientDisconnected


async def raising_at_the_end(scope: Scope, receive: Receive, send: Send, error: type[Exception]) -> None:
    """Raise when the client has left."""
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass
    raise error


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (WebSocketDisconnect, False),
        (ClientDisconnect, False),
        (KeyError, True),
        (TimeoutError, True),
        (OSError, True),  # as of a disk that is full
    ],
)
async def test_that_a_client_has_left_is_no_error(kind: str, error: type[Exception], is_told: bool) -> None:
    observed = Observed(partial(raising_at_the_end, error=error))
    told = errors_told(observed)
    scope = http() if kind == "http" else websocket()
    client = Client({"type": f"{kind}.disconnect"})
    with pytest.raises(error) as raised:
        await observed.app(scope, client.receive, client.send)
    assert observed.log.entries[0]["outcome"] == "disconnected"
    assert told == [raised.value] * is_told
    assert is_told or not is_reported(raised.value)


@pytest.mark.parametrize("first", ["http.response.start", "websocket.accept"])
@pytest.mark.parametrize("error", [ClientDisconnected, BrokenPipeError])
async def test_that_a_server_refuses_to_send_as_the_client_has_left_is_no_error(
    first: str, error: type[Exception]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": first, "status": 200})

    told, raised = await refused(app, http() if first.startswith("http") else websocket(), error)
    assert told == []
    assert not is_reported(raised)


async def test_what_fails_after_such_a_refusal_is_told() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(BrokenPipeError):
            await send({"type": "http.response.start", "status": 200})
        raise BrokenPipeError  # of whom the app has asked

    told, raised = await refused(app, http(), BrokenPipeError)
    assert told == [raised]


async def refused(app: ASGIApp, scope: Scope, error: type[Exception]) -> tuple[list[BaseException], BaseException]:
    """Have a server answer each message with an exception; returns those that get a line, and the one it meets."""

    def refuse(message: Message) -> None:
        raise error

    observed, client = Observed(app), Client()
    client.on_send = refuse
    told = errors_told(observed)
    with pytest.raises(error) as raised:
        await observed.app(scope, client.receive, client.send)
    return told, raised.value


def errors_told(observed: Observed) -> list[BaseException]:
    """Have the exceptions that get a line kept."""
    told: list[BaseException] = []

    class Errors(ErrorLog):
        def write(self, record: Record, error: BaseException) -> None:
            told.append(error)

    observed.app._error_log = Errors(Settings())
    return told


def is_reported(error: BaseException) -> bool:
    """Tell whether a server's report of an exception passes."""
    about = (type(error), error, None)
    report = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "Exception in ASGI application", None, about)
    return bool(Unwritten().filter(report))


async def test_such_an_error_of_a_client_that_is_there_is_told() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise FileNotFoundError

    observed = Observed(app)
    told = errors_told(observed)
    for scope in (http(), websocket()):
        with pytest.raises(FileNotFoundError):
            await ask(observed, scope)
    assert len(told) == 2


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_status_of_an_enumeration_is_its_number(kind: str) -> None:
    """On Python 3.10 the text of an http.HTTPStatus is its name."""

    class Status(IntEnum):
        NOT_FOUND = 404

        def __str__(self) -> str:
            return "Status.NOT_FOUND"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start = "http.response.start" if kind == "http" else "websocket.http.response.start"
        await send({"type": start, "status": Status.NOT_FOUND, "headers": []})
        await send({"type": start.replace("start", "body"), "body": b""})

    observed = Observed(app)
    await ask(observed, http() if kind == "http" else websocket())
    assert observed.requests() == {("GET", "(unmatched)", "404"): 1}
    assert type(observed.log.entries[0]["status"]) is int


# Own endpoints


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_probes_are_answered_logged_and_counted(observed: Observed, path: str, method: str) -> None:
    for _ in range(5):
        client = await ask(observed, http(method, path))
        assert client.status == 200
        assert dict(client.headers)["x-request-id"]
    assert observed.requests() == {(method, path, "200"): 5}
    assert observed.durations() == 5
    assert observed.value("http_requests_in_progress") == 0
    assert [(entry["route"], entry["status"]) for entry in observed.log.entries] == [(path, 200)] * 5


async def test_a_failed_readiness_is_counted_as_it_is_answered(observed: Observed) -> None:
    observed.health.set_shutting_down()
    await ask(observed, http(path="/ready"))
    assert observed.requests() == {("GET", "/ready", "503"): 1}
    assert observed.log.entries[0]["outcome"] == "ok"


async def test_scrapes_are_answered_logged_and_not_counted(observed: Observed) -> None:
    client = await ask(observed, http(path="/metrics"))
    assert client.status == 200
    assert 'http_requests_in_progress{worker="0"} 0' in client.body.decode()
    assert dict(client.headers)["x-request-id"]
    assert observed.requests() == {}
    assert observed.durations() == 0
    assert [(entry["route"], entry["status"]) for entry in observed.log.entries] == [("/metrics", 200)]


async def test_own_endpoints_answer_only_get_and_head_and_exact_paths(observed: Observed) -> None:
    for scope in (http("POST", "/health"), http(path="/health/"), http(path="//metrics")):
        assert (await ask(observed, scope)).status == 404


async def test_an_observed_app_in_an_observed_app_counts_once() -> None:
    inner = Observed(make_app())
    outer_app = FastAPI()
    outer_app.mount("/sub", inner.app)
    outer = Observed(outer_app)
    await ask(outer, http(path="/sub/items/1"))
    assert sum(outer.requests().values()) == 1
    assert inner.requests() == {}


async def test_an_observed_app_in_an_observed_app_starts_once() -> None:
    inner = Observed(make_app())

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        await inner.app(dict(scope), receive, send)

    outer = Observed(wrapper)
    assert await run_lifespan(outer) == COMPLETE
    assert (outer.health.shutting_down, inner.health.shutting_down) == (True, False)
    assert inner.value("event_loop_lag_seconds") is None
    assert await run_lifespan(inner) == COMPLETE
    assert inner.health.shutting_down


async def test_a_scope_of_a_kind_that_is_not_known_is_the_apps() -> None:
    kinds: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kinds.append(scope["type"])

    await ask(Observed(app), {"type": "webtransport"})
    assert kinds == ["webtransport"]


async def test_metrics_are_those_of_the_apps_registry_too() -> None:
    registry = CollectorRegistry()
    counter = Counter("jobs", "Jobs.", ["status"], registry=registry)
    counter.labels("done").inc(3)
    Counter("http_requests", "Somebody else's.", registry=registry).inc(99)
    observed = Observed(JSONResponse({}), registry)
    await ask(observed, http())
    text = (await ask(observed, http(path="/metrics"))).body.decode()
    assert 'jobs_total{status="done",worker="0"} 3.0\n' in text
    assert "jobs_created" not in text
    assert text.count("# TYPE http_requests_total ") == 1
    assert 'app_http_requests_total{worker="0"} 99.0\n' in text


async def test_a_collector_that_fails_spares_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        def collect(self) -> list[Metric]:
            raise BrokenError("secret")

    registry = CollectorRegistry()
    registry.register(Failing())
    Gauge("depth", "Depth.", registry=registry).set(7)
    observed = Observed(make_app(), registry)
    assert observed.value("depth") == 7
    assert [record.getMessage() for record in caplog.records] == ["collector Failing failed: BrokenError"]


# Lifespan


async def run_lifespan(observed: Observed) -> list[str]:
    client = Client({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await observed.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, client.receive, client.send)
    return [message["type"] for message in client.sent]


COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_lifespan_of_an_app_runs_and_readiness_fails_first() -> None:
    seen: list[bool] = []

    async def lifespan_app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.sleep(0)
        await receive()
        seen.append(watched.health.shutting_down)
        await send({"type": "lifespan.shutdown.complete"})

    watched = Observed(lifespan_app)
    assert await run_lifespan(watched) == COMPLETE
    assert seen == [True]
    assert watched.value("event_loop_lag_seconds") is not None


class Waiting(Collector):
    """A collector that asks the event loop, from whatever thread it is in."""

    def __init__(self, answer: Coroutine[Any, Any, object]) -> None:
        self._answer = answer
        self._loop = asyncio.get_running_loop()

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        asyncio.run_coroutine_threadsafe(self._answer, self._loop).result()
        return []


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_collector_that_waits_for_the_loop_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    monkeypatch.setattr("sightglass.asgi.middleware._KEEP_SECONDS", 0.2 if hangs else 60)
    registry = CollectorRegistry()
    registry.register(Waiting(asyncio.Event().wait() if hangs else asyncio.sleep(0)))
    observed = Observed(make_app(), registry)
    with TemporaryDirectory() as path:
        directory = SlotDirectory(Path(path) / "slots")
        directory.create()
        observed.process.join(directory)
        await ask(observed, http(path="/items/1"))
        counter = Counter("jobs", "Jobs.", registry=registry)
        counter.inc()
        assert await asyncio.wait_for(run_lifespan(observed), 30) == COMPLETE
        eventually(lambda: directory.read_totals(0))  # whom nobody waits for may not be that far yet
        kept = directory.read_totals(0)
        assert 1 in kept["http_requests"][3].values()
        assert ("jobs" in kept) != hangs


async def test_an_end_without_a_thread_keeps_what_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    observed = Observed(make_app())
    with TemporaryDirectory() as path:
        directory = SlotDirectory(Path(path) / "slots")
        directory.create()
        observed.process.join(directory)
        await ask(observed, http(path="/items/1"))
        monkeypatch.setattr(observed.process, "listen", lambda: None)
        monkeypatch.setattr(threading.Thread, "start", start)
        assert await run_lifespan(observed) == COMPLETE
        assert 1 in directory.read_totals(0)["http_requests"][3].values()


async def test_a_second_lifespan_is_like_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of an application that is tested twice in one process."""
    ready: list[int] = []
    health = Health("1")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        ready.append((await health.readiness())[0])
        await receive()
        ready.append((await health.readiness())[0])
        await send({"type": "lifespan.shutdown.complete"})

    observed = Observed(app)
    observed.app._health = health
    for _ in range(2):
        assert await run_lifespan(observed) == COMPLETE
    assert ready == [200, 503] * 2


@pytest.mark.parametrize("after_receive", [False, True])
async def test_an_app_without_lifespan_gets_one(after_receive: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if after_receive:
            await receive()
        assert scope["type"] != "lifespan"

    observed = Observed(app)
    assert await run_lifespan(observed) == COMPLETE
    assert observed.health.shutting_down


async def test_a_failed_start_is_passed_on() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})
        raise RuntimeError("no")

    client = Client({"type": "lifespan.startup"})
    with pytest.raises(RuntimeError, match="no"):
        await Observed(app).app({"type": "lifespan"}, client.receive, client.send)
    assert [message["type"] for message in client.sent] == ["lifespan.startup.failed"]


async def test_a_start_of_ours_that_fails_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["type"])

    def fail() -> None:
        raise ValueError("max_queue_size must be\na positive integer.")

    observed = Observed(app)
    monkeypatch.setattr(observed.process, "listen", fail)
    client = Client({"type": "lifespan.startup"})
    await observed.app({"type": "lifespan"}, client.receive, client.send)
    said = "the instrumentation did not start: ValueError: max_queue_size must be a positive integer."
    assert client.sent == [{"type": "lifespan.startup.failed", "message": said}]
    assert client.messages == []
    assert asked == []


async def test_the_loops_lag_is_absent_until_it_is_measured(observed: Observed) -> None:
    assert observed.value("event_loop_lag_seconds") is None


async def test_a_blocked_loop_shows_its_current_lag(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightglass.metrics.requests.monotonic", lambda: 107.5)
    observed.process.metrics.lag_measured(0.25)
    observed.process.metrics.lag_expected(101.0)
    assert observed.value("event_loop_lag_seconds") == 6.5
    observed.process.metrics.lag_expected(108.0)
    assert observed.value("event_loop_lag_seconds") == 0.25


async def test_a_request_whose_route_cannot_be_named_is_over_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    observed = Observed(make_app())

    def fail(_: Scope) -> str:
        raise BrokenError

    monkeypatch.setattr(observed.app, "_route_of", fail)
    with pytest.raises(BrokenError):
        await ask(observed, http(path="/items/1"))
    assert observed.value("http_requests_in_progress") == 0
