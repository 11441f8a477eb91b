"""One HTTP request or WebSocket connection, watched from outside the app: its sizes, its end, its one record."""

import asyncio
from collections.abc import Callable
from time import perf_counter, time

from starlette.types import Message, Receive, Scope, Send

from sightglass.context import RequestContext
from sightglass.record import Outcome, Record
from sightglass.routes import UNMATCHED

CLIENT_CLOSED_REQUEST = 499
"""The status counted for a request whose client left or that was cancelled before its answer was complete (NGINX)."""

EDGE = "sightglass.edge"
"""In the scope of a request whose peer is the edge: it is told the route, and keeps it from the client."""

ROUTE_HEADER = b"x-sightglass-route"

_Headers = list[tuple[bytes, bytes]]

_OURS = frozenset({b"x-request-id", b"x-trace-id", ROUTE_HEADER})
_READ = _OURS | {b"content-length"}
_WITHOUT_BODY = frozenset({204, 304})
# What Starlette, other frameworks and `server.wsgi` make of a disconnect's message.
_LEAVINGS = frozenset({"ClientDisconnect", "ClientLeftError", "WebSocketDisconnect"})
# On an exception that a server has raised: to keep that here would keep it, and this, for longer.
_MARK = "_sightglass_client_left"
# RFC 9110, section 9, and PATCH (RFC 5789).
_METHODS = {
    method: method for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
}


class Exchange(Record):
    """What a request and a connection have in common: a record that fills itself and tells `finished` when it is whole.

    That is exactly once, at the end of each. Who is told reads it there and then.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.
        context: its ids.
        route_of: finds the route's template, once routing has been.
        finished: is given the record.

    """

    __slots__ = (
        "_complete", "_disconnected", "_finished", "_length", "_receive", "_route_of", "_send",
        "recorded", "scope", "sent", "started",
    )  # fmt: skip

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
        self._receive = receive
        self._send = send
        self._route_of = route_of
        self._finished = finished
        self._complete = False
        self._disconnected = False
        self._length: int | None = None  # of the response, as announced
        self.context = context
        self.method = _METHODS.get(scope.get("method", "GET"), "OTHER")
        self.path = scope["path"]
        self.route = ""
        self.sent: int | None = None
        self.recorded = False
        self.request_size = 0
        self.response_size = 0
        self.first_byte = None

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

    def says_client_left(self, error: BaseException) -> bool:
        """Tell whether the app has raised no more than that the client has left."""
        return _MARK in error.__dict__ or (self._client_left() and type(error).__name__ in _LEAVINGS)

    def _refused(self, error: OSError) -> None:
        """Note what ASGI 2.4 has servers raise at a message when the client is gone."""
        self._disconnected = True
        error.__dict__[_MARK] = True

    def _client_left(self) -> bool:
        return self._disconnected

    def _begin(self, start: Message) -> Message:
        """Return the message that starts a response with our ids as its only ones, for the edge its route.

        Args:
            start: the app's; it may keep it and send it again.

        """
        headers: _Headers = list(start.get("headers", ()))
        taken = False
        for name, value in headers:
            if name in _READ:
                if name in _OURS:
                    taken = True
                else:
                    self._length = int(value) if value.isdigit() else None
        context = self.context
        # What it was when the answer began, so that all who tell of the request name it alike.
        self.route = route = self._route_of(self.scope)
        if taken:
            headers = [header for header in headers if header[0] not in _OURS]
        request_id, trace_id = context.request_id.encode(), context.trace_id
        headers.append((b"x-request-id", request_id))
        if trace_id is not None:
            headers.append((b"x-trace-id", request_id if trace_id is context.request_id else trace_id.encode()))
        if EDGE in self.scope and route.isprintable():
            headers.append((ROUTE_HEADER, route.encode()))
        return {**start, "headers": headers}

    def _end(self, status: int, outcome: Outcome) -> None:
        if self.recorded:
            return
        self.recorded = True
        if not self._complete:
            self.duration = perf_counter() - self.started
        if not self.route:
            self.route = self._last_route()
        self.status = status
        self.outcome = outcome
        self.answered = self.sent is not None or outcome == "error"
        client = self.scope.get("client")
        self.client = client[0] if client else None
        self.ended = time()
        self._finished(self)

    def _last_route(self) -> str:
        try:
            return self._route_of(self.scope)
        except Exception:  # it is over all the same
            return UNMATCHED


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
        elif kind == "http.disconnect" and not self._complete:
            self._disconnected = True
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on to the server, count its bytes and give the response its id."""
        kind = message["type"]
        if kind == "http.response.body":
            if self.method != "HEAD":
                self.response_size += len(message.get("body", b""))
            last = not message.get("more_body", False) or self.response_size == self._length
        elif kind == "http.response.start":
            self.sent = status = int(message["status"])  # of an enumeration, maybe
            message = self._begin(message)
            if self.method == "HEAD" or status in _WITHOUT_BODY:
                self._length = 0
            if status == 500 and self.scope.get("http_version") == "1.1":
                # An exception may follow, at which uvicorn closes: a request sent meanwhile would be lost.
                message["headers"].append((b"connection", b"close"))
            self.first_byte = perf_counter() - self.started
            last = self._length == 0
        else:
            last = kind == "http.response.pathsend"
        try:
            await self._send(message)
        except OSError as error:
            self._refused(error)
            raise
        if last and not self._complete:
            self._complete = True
            self.duration = perf_counter() - self.started
            status = self.sent or 500
            if self._client_left():
                self._end(CLIENT_CLOSED_REQUEST, "disconnected")
            elif status < 500:
                self._end(status, "ok")

    def returned(self) -> None:
        """Record what is not recorded yet, when the app has returned."""
        if self._complete:
            self._end(self.sent or 500, "ok")
        elif self._client_left():
            self._end(CLIENT_CLOSED_REQUEST, "disconnected")
        else:
            self._end(500, "error")  # no answer, or half of one

    def failed(self, error: BaseException) -> None:
        """Record what is not recorded yet, when the app has raised."""
        if self._complete:
            self._end(self.sent or 500, "error")
        elif self._client_left():
            self._end(CLIENT_CLOSED_REQUEST, "disconnected")
        elif isinstance(error, asyncio.CancelledError):
            self._end(CLIENT_CLOSED_REQUEST, "cancelled")
        else:
            self._end(500, "error")

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
            message = self._begin(message)
        elif kind == "websocket.http.response.start":
            self.sent = int(message["status"])
            message = self._begin(message)
        elif kind == "websocket.close" and self.sent is None:
            self.sent = 403  # what ASGI has servers answer
        try:
            await self._send(message)
        except OSError as error:
            self._refused(error)
            raise

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
