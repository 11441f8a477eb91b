"""The outermost ASGI layer of an instrumented app: ids, metrics, the access log, and the service's own endpoints."""

import asyncio
import contextlib
import random
import re
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any, Protocol

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from api.observability.context import RequestContext, current_request
from api.observability.exchange import Connection, Exchange
from api.observability.exposition import expose
from api.observability.families import Family
from api.observability.gather import gather
from api.observability.lifespan import Lifespan
from api.observability.metrics import LAG_PERIOD
from api.observability.worker import Worker

_MARK = "sightglass.request"  # in the scope of a request that is already observed
_METRICS = "/metrics"  # the one path whose requests are not counted: a scrape would change what it reads
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
# RFC 9110, section 9, and PATCH (RFC 5789).
_METHODS = {
    method: method for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
}
_DRAIN_SECONDS = 2.0  # for requests that were cancelled at the end to be counted


class Health(Protocol):
    """The answers of ``/health`` and ``/ready``: a status code and a JSON body each."""

    async def liveness(self) -> tuple[int, dict[str, Any]]:
        """Whether the process should live on."""

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """Whether it should get requests."""

    def set_shutting_down(self) -> None:
        """Make readiness fail from now on."""


class AccessLog(Protocol):
    """Where each request is written when it is over."""

    def write(
        self,
        *,
        method: str,
        route: str,
        path: str,
        status: int | None,
        outcome: str,
        duration: float,
        request_size: int,
        response_size: int,
        client: str | None,
        context: RequestContext,
    ) -> None:
        """Write one request: seconds, bytes; no status when no response started."""


class Tracing(Protocol):
    """What makes spans."""

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return the app with its requests traced."""

    def start(self) -> None:
        """Set up in a worker."""

    def shutdown(self) -> None:
        """Send what is left, within a bound."""


class Middleware:
    """An ASGI app that serves another and observes it.

    Args:
        app: the app to serve; `app` stays reachable for those who look for it.
        worker: the process's part in the metrics.
        health: answers ``/health`` and ``/ready``.
        route_of: finds the template of the route from the scope of a finished request.
        access_log: gets each request; None for no access log.
        tracing: wraps the app; None for no tracing.

    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        worker: Worker,
        health: Health,
        route_of: Callable[[Scope], str],
        access_log: AccessLog | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.app = app
        self._inner = tracing.wrap(app) if tracing else app
        self._worker = worker
        self._metrics = worker.metrics
        self._health = health
        self._access_log = access_log
        self._tracing = tracing
        self._route_of = route_of
        self._own: dict[str, ASGIApp] = {
            "/health": self._answer_health,
            "/ready": self._answer_ready,
            _METRICS: self._answer_metrics,
        }
        self._lifespan = Lifespan(self._inner, start=self._start, stopping=self._stopping, stopped=self._stopped)
        self._lag_task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
        elif _MARK in scope or kind not in ("http", "websocket"):
            await self._inner(scope, receive, send)
        else:
            context = RequestContext(_request_id(scope["headers"]))
            scope[_MARK] = context
            token = current_request.set(context)
            if kind == "websocket":
                await self._connection(scope, receive, send, context)
            elif scope["path"] in self._own and scope["method"] in ("GET", "HEAD"):
                path = scope["path"]
                if path != _METRICS:
                    self._metrics.in_progress += 1
                finished = self._log_scrape if path == _METRICS else self._finished_own
                await self._serve(self._own[path], Exchange(scope, receive, send, context, finished))
            else:
                self._metrics.in_progress += 1
                await self._serve(self._inner, Exchange(scope, receive, send, context, self._finished))
            # Not after an exception: the server's report of that carries the ids of the request then.
            current_request.reset(token)

    async def _serve(self, app: ASGIApp, exchange: Exchange) -> None:
        try:
            await app(exchange.scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.failed(error)
            if exchange.sent is None and isinstance(error, Exception):
                with contextlib.suppress(Exception):  # the server logs the app's error, not one of this answer
                    await _internal_error(exchange)
            raise
        exchange.returned()

    def _finished(self, exchange: Exchange) -> None:
        self._metrics.in_progress -= 1
        self._record(exchange, self._route_of(exchange.scope))

    def _finished_own(self, exchange: Exchange) -> None:
        self._metrics.in_progress -= 1
        self._record(exchange, exchange.scope["path"])

    def _log_scrape(self, exchange: Exchange) -> None:
        if self._access_log is not None:
            self._log(self._access_log, exchange, exchange.scope["method"], exchange.scope["path"])

    def _record(self, exchange: Exchange, route: str) -> None:
        context = exchange.context
        method = _METHODS.get(exchange.scope["method"], "OTHER")
        self._metrics.observe(
            method,
            route,
            exchange.status,
            exchange.duration or 0.0,
            exchange.request_size,
            exchange.response_size,
            context.trace_id if context.sampled else None,
        )
        if self._access_log is not None:
            self._log(self._access_log, exchange, method, route)

    @staticmethod
    def _log(access_log: AccessLog, exchange: Exchange, method: str, route: str) -> None:
        client = exchange.scope.get("client")
        access_log.write(
            method=method,
            route=route,
            path=exchange.scope["path"],
            status=None if exchange.sent is None and exchange.outcome != "error" else exchange.status,
            outcome=exchange.outcome,
            duration=exchange.duration or 0.0,
            request_size=exchange.request_size,
            response_size=exchange.response_size,
            client=client[0] if client else None,
            context=exchange.context,
        )

    async def _connection(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        connection = Connection(receive, send, context)
        error: BaseException | None = None
        try:
            await self._inner(scope, connection.receive, connection.send)
        except BaseException as raised:
            error = raised
            raise
        finally:
            status, outcome = connection.end(error)
            route = self._route_of(scope)
            self._metrics.count_connection(route, status)
            if self._access_log is not None:
                client = scope.get("client")
                self._access_log.write(
                    method="GET",
                    route=route,
                    path=scope["path"],
                    status=status,
                    outcome=outcome,
                    duration=perf_counter() - connection.started,
                    request_size=connection.received,
                    response_size=connection.sent,
                    client=client[0] if client else None,
                    context=context,
                )

    async def _answer_health(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await _answer_json(send, *await self._health.liveness())

    async def _answer_ready(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await _answer_json(send, *await self._health.readiness())

    async def _answer_metrics(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept")
        encoding = b", ".join(value for name, value in scope["headers"] if name == b"accept-encoding")
        # Gathering waits for the other workers, this one's own thread included.
        response = await asyncio.to_thread(
            lambda: expose(self._families(), accept.decode("latin-1"), encoding.decode("latin-1"))
        )
        headers = [(name.encode(), value.encode()) for name, value in response.headers]
        await _answer(send, 200, headers, response.body)

    def _families(self) -> list[Family]:
        directory = self._worker.directory
        return gather(directory) if directory is not None else self._worker.families()

    async def _start(self) -> None:
        self._worker.listen()
        if self._tracing is not None:
            self._tracing.start()
        self._lag_task = asyncio.create_task(self._measure_lag())

    async def _stopping(self) -> None:
        self._health.set_shutting_down()

    async def _stopped(self) -> None:
        if self._lag_task is not None:
            self._lag_task.cancel()
        end = monotonic() + _DRAIN_SECONDS
        while self._metrics.in_progress and monotonic() < end:  # noqa: ASYNC110 - the hot path signals nobody
            await asyncio.sleep(0.01)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.shutdown)
        self._worker.keep()

    async def _measure_lag(self) -> None:
        while True:
            due = monotonic() + LAG_PERIOD
            self._metrics.lag_expected(due)
            await asyncio.sleep(LAG_PERIOD)
            self._metrics.lag_measured(monotonic() - due)


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID(value):
            return value.decode("ascii")
    return f"{random.getrandbits(128):032x}"


async def _internal_error(exchange: Exchange) -> None:
    """Answer for an app that raised without an answer of its own (RFC 9457)."""
    body = {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "request_id": exchange.context.request_id,
    }
    await _answer(exchange.send, 500, [(b"content-type", b"application/problem+json")], orjson.dumps(body))


async def _answer_json(send: Send, status: int, body: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await _answer(send, status, headers, orjson.dumps(body))


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    if all(name != b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
