"""One HTTP request or WebSocket connection, watched from outside the app: its sizes, its end, its one record."""

import asyncio
from collections.abc import Callable
from time import perf_counter, time

from starlette.types import Message, Receive, Scope, Send

from sightglass.context import RequestContext
from sightglass.record import Outcome, Record

CLIENT_CLOSED_REQUEST = 499
"""The status counted for a request whose client left or that was cancelled before its answer was complete (NGINX)."""

EDGE = "sightglass.edge"
"""In the scope of a request whose peer is the edge: it is told the route, and keeps it from the client."""

ROUTE_HEADER = b"x-sightglass-route"

_OURS = frozenset({b"x-request-id", b"x-trace-id", ROUTE_HEADER})
_WITHOUT_BODY = frozenset({204, 304})
# RFC 9110, section 9, and PATCH (RFC 5789).
_METHODS = {
    method: method for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
}


class Exchange:
    """What a request and a connection have in common; `finished` is called exactly once, at its end.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.
        context: its ids.
        route_of: finds the route's template, once routing has been.
        finished: told when it is over.

    """

    __slots__ = (
        "_disconnected",
        "_finished",
        "_length",
        "_receive",
        "_route",
        "_route_of",
        "_send",
        "context",
        "duration",
        "first_byte",
        "outcome",
        "recorded",
        "request_size",
        "response_size",
        "scope",
        "sent",
        "started",
        "status",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        context: RequestContext,
        route_of: Callable[[Scope], str],
        finished: "Callable[[Exchange], None]",
    ) -> None:
        self.started = perf_counter()
        self.scope = scope
        self.context = context
        self.request_size = 0
        self.response_size = 0
        self.sent: int | None = None
        self.status = 0
        self.duration: float | None = None
        self.first_byte: float | None = None
        self.outcome: Outcome = "ok"
        self.recorded = False
        self._receive = receive
        self._send = send
        self._route: str | None = None
        self._route_of = route_of
        self._finished = finished
        self._disconnected = False
        self._length: int | None = None  # of the response, as announced

    async def receive(self) -> Message:
        """Pass a message on to the app and count its bytes."""
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        """Pass a message on to the server, count its bytes and give the response its id."""
        raise NotImplementedError

    def returned(self) -> None:
        """Record what is not recorded yet, when the app has returned."""
        raise NotImplementedError

    def failed(self, error: BaseException) -> None:
        """Record what is not recorded yet, when the app has raised."""
        raise NotImplementedError

    @property
    def route(self) -> str:
        """The template: what it was when the answer began, so that all who tell of the request name it alike."""
        return self._route or self._route_of(self.scope)

    def record(self) -> Record:
        """Return what is known of it, at its end."""
        scope = self.scope
        client = scope.get("client")
        return Record(
            _METHODS.get(scope.get("method", "GET"), "OTHER"),
            self.route,
            scope["path"],
            self.status,
            self.sent is not None or self.outcome == "error",
            self.outcome,
            self.duration or 0.0,
            self.request_size,
            self.response_size,
            client[0] if client else None,
            self.context,
            time(),
            self.first_byte,
        )

    def _with_headers(self, message: Message) -> Message:
        """Return the message that starts a response with our ids as its only ones, for the edge its route."""
        self._route = route = self._route_of(self.scope)
        # The app may keep its list of headers and send it again.
        headers = [header for header in message.get("headers", ()) if header[0] not in _OURS]
        context = self.context
        headers.append((b"x-request-id", context.request_id.encode("ascii")))
        if context.trace_id is not None:
            headers.append((b"x-trace-id", context.trace_id.encode("ascii")))
        if EDGE in self.scope and route.isprintable():
            headers.append((ROUTE_HEADER, route.encode()))
        return {**message, "headers": headers}

    def _end(self, status: int, outcome: Outcome) -> None:
        if self.recorded:
            return
        self.recorded = True
        self.status = status
        self.outcome = outcome
        if self.duration is None:
            self.duration = perf_counter() - self.started
        self._finished(self)


class Request(Exchange):
    """An HTTP request; it is over when the response is complete or cannot be any more.

    It is complete with the last byte that Content-Length announced (RFC 9112, section 6.3), though the app may have an
    empty message left to send: clients go then. That is before background tasks run. Only a response of 500 or more
    waits for the app to return, because the exception that caused it comes after it (Starlette answers 500 first and
    raises then).
    """

    __slots__ = ()

    async def receive(self) -> Message:
        """Pass a message on to the app and count its bytes."""
        message = await self._receive()
        kind = message["type"]
        if kind == "http.request":
            self.request_size += len(message.get("body", b""))
        elif kind == "http.disconnect" and self.duration is None:
            self._disconnected = True
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on to the server, count its bytes and give the response its id."""
        kind = message["type"]
        if kind == "http.response.body":
            if self.scope["method"] != "HEAD":
                self.response_size += len(message.get("body", b""))
            last = not message.get("more_body", False) or self.response_size == self._length
        elif kind == "http.response.start":
            self.sent = message["status"]
            self._length = self._expected_length(message)
            message = self._with_headers(message)
            if self.sent == 500 and self.scope.get("http_version") == "1.1":
                # An exception may follow, at which uvicorn closes: a request sent meanwhile would be lost.
                message["headers"].append((b"connection", b"close"))
            last = self._length == 0
            self.first_byte = perf_counter() - self.started
        else:
            last = kind == "http.response.pathsend"
        try:
            await self._send(message)
        except OSError:  # what ASGI 2.4 has servers raise when the client is gone
            self._disconnected = True
            raise
        if last:
            self._complete()

    def returned(self) -> None:
        """Record what is not recorded yet, when the app has returned."""
        if self.duration is not None:
            self._end(self.sent or 500, "ok")
        elif self._client_left():
            self._end(CLIENT_CLOSED_REQUEST, "disconnected")
        else:
            self._end(500, "error")  # no answer, or half of one

    def failed(self, error: BaseException) -> None:
        """Record what is not recorded yet, when the app has raised."""
        if self.duration is not None:
            self._end(self.sent or 500, "error")
        elif self._client_left():
            self._end(CLIENT_CLOSED_REQUEST, "disconnected")
        elif isinstance(error, asyncio.CancelledError):
            self._end(CLIENT_CLOSED_REQUEST, "cancelled")
        else:
            self._end(500, "error")

    def _expected_length(self, start: Message) -> int | None:
        """Return the bytes of the body to come, None when only its end will tell."""
        if self.scope["method"] == "HEAD" or start["status"] in _WITHOUT_BODY:
            return 0
        for name, value in start.get("headers", ()):
            if name == b"content-length":
                return int(value) if value.isdigit() else None
        return None

    def _complete(self) -> None:
        if self.duration is None:
            self.duration = perf_counter() - self.started
            status = self.sent or 500
            if self._client_left():
                self._end(CLIENT_CLOSED_REQUEST, "disconnected")
            elif status < 500:
                self._end(status, "ok")

    def _client_left(self) -> bool:
        # An app that never asks is not told; uvicorn's request cycle, whose method `receive` is, knows.
        return self._disconnected or getattr(getattr(self._receive, "__self__", None), "disconnected", False)


class Connection(Exchange):
    """A WebSocket connection; its status is 101 once accepted, else that of the refusal.

    A client that leaves ends it as it should.
    """

    __slots__ = ()

    async def receive(self) -> Message:
        """Pass a message on to the app and count its bytes."""
        message = await self._receive()
        kind = message["type"]
        if kind == "websocket.receive":
            self.request_size += _size(message)
        elif kind == "websocket.disconnect":
            self._disconnected = True
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on to the server, count its bytes and give the handshake's answer its id."""
        kind = message["type"]
        if kind == "websocket.send":
            self.response_size += _size(message)
        elif kind == "websocket.accept":
            self.sent = 101
            message = self._with_headers(message)
        elif kind == "websocket.http.response.start":
            self.sent = message["status"]
            message = self._with_headers(message)
        elif kind == "websocket.close" and self.sent is None:
            self.sent = 403  # what ASGI has servers answer
        await self._send(message)

    def returned(self) -> None:
        """Record it, when the app has returned."""
        if self.sent is not None:
            self._end(self.sent, "ok")
        elif self._disconnected:
            self._end(CLIENT_CLOSED_REQUEST, "disconnected")
        else:
            self._end(500, "error")

    def failed(self, error: BaseException) -> None:
        """Record it, when the app has raised."""
        if isinstance(error, asyncio.CancelledError):
            self._end(self.sent or CLIENT_CLOSED_REQUEST, "cancelled")
        elif self._disconnected:
            self.returned()
        else:
            self._end(self.sent or 500, "error")


def _size(message: Message) -> int:
    return len(message.get("bytes") or (message.get("text") or "").encode())
