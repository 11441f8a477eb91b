"""The outermost ASGI layer of an instrumented app: ids, metrics, the access log, and our own endpoints."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from sightglass.asgi.docs_assets import DocsAssets
from sightglass.asgi.endpoints import METRICS, Endpoints, answer
from sightglass.asgi.health import Health
from sightglass.asgi.lifespan import Lifespan
from sightglass.asgi.loop_watch import LoopWatch
from sightglass.asgi.metrics_door import MetricsDoor
from sightglass.context import RequestContext, current_request
from sightglass.exchange import Connection, Exchange, Request
from sightglass.identity import identify
from sightglass.logs.access import AccessLog
from sightglass.logs.errors import ErrorLog
from sightglass.metrics.process import ProcessMetrics
from sightglass.metrics.requests import LAG_PERIOD_SECONDS
from sightglass.native_telemetry import NativeTelemetry
from sightglass.problem import MEDIA_TYPE, problem_body
from sightglass.route_table import route_table

if TYPE_CHECKING:
    from sightglass.tracing.asgi import TracedApp

_MARK = "sightglass.request"  # in the scope of a request or lifespan that is already observed
_DRAIN_SECONDS = 2.0  # for requests that were cancelled at the end to be counted
_KEEP_SECONDS = 2.0  # for what was counted to be handed on


class Middleware:
    """An ASGI app that serves another and observes it.

    Args:
        app: the app to serve; `app` stays reachable for those who look for it.
        process: the process's part in the metrics.
        health: answers ``/health`` and ``/ready``.
        route_of: finds the template of the route from the scope of a finished request.
        access_log: gets each request; None for no access log.
        error_log: gets each exception; None leaves them to the server.
        tracing: the app with tracing around it; None for no tracing.
        docs: the files of API documentation; None for none.
        metrics_door: decides who gets ``/metrics``; None for anybody.
        loop_watch: tells what blocks the event loop; None for nobody.

    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        process: ProcessMetrics,
        health: Health,
        route_of: Callable[[Scope], str],
        access_log: AccessLog | None = None,
        error_log: ErrorLog | None = None,
        tracing: "TracedApp | None" = None,
        docs: DocsAssets | None = None,
        metrics_door: MetricsDoor | None = None,
        loop_watch: LoopWatch | None = None,
    ) -> None:
        self.app = app
        self._inner: ASGIApp = tracing or app
        self._process = process
        self._metrics = process.metrics
        self._health = health
        self._access_log = access_log
        self._error_log = error_log
        self._tracing = tracing
        self._route_of = route_of
        self._native_telemetry = NativeTelemetry(app)
        self._endpoints = Endpoints(process, health, docs, metrics_door)
        self._lifespan = Lifespan(
            self._inner, start=self._start, started=self._started, stopping=self._stopping, stopped=self._stopped
        )
        self._every_second: asyncio.Task[None] | None = None
        self._loop_watch = loop_watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        kind = scope["type"]
        if _MARK in scope or kind not in ("http", "websocket"):
            if kind == "lifespan" and _MARK not in scope:
                scope[_MARK] = None
                await self._lifespan(scope, receive, send)
            else:
                await self.app(scope, receive, send)
            return
        scope[_MARK] = context = identify(scope["headers"])
        token = current_request.set(context)
        app = self._inner
        exchange: Exchange
        if kind == "websocket":
            exchange = Connection(scope, receive, send, context, self._route_of, self._connection_finished)
        elif (own := self._endpoints.find(scope)) is None:
            self._metrics.in_progress += 1
            exchange = Request(scope, receive, send, context, self._route_of, self._finished)
        else:
            app, exchange = own, self._own(scope, receive, send, context)
        # In this frame: each more that is awaited costs every request.
        try:
            await app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            await self._failed(exchange, error)
            raise
        if not exchange.recorded:
            exchange.returned()
        if context.hold is not None and self._tracing is not None:
            self._tracing.conclude(exchange, None)
        # Not after an exception: what the server has to say about it carries the ids of the request then.
        current_request.reset(token)

    def _own(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> Request:
        finished = self._scrape_finished
        if scope["path"] != METRICS:
            self._metrics.in_progress += 1
            finished = self._finished
        return Request(scope, receive, send, context, self._endpoints.route, finished)

    async def _failed(self, exchange: Exchange, error: BaseException) -> None:
        exchange.failed(error)
        if self._error_log is not None:
            if exchange.says_client_left(error):
                self._error_log.leave_out(error)
            else:
                self._error_log.write(exchange, error)
        try:
            if exchange.sent is None and isinstance(error, Exception) and isinstance(exchange, Request):
                with contextlib.suppress(Exception):  # the app's error counts, not one of this answer
                    await answer(exchange.send, 500, [(b"content-type", MEDIA_TYPE.encode())], problem_body(500))
        finally:
            if self._tracing is not None and exchange.context.hold is not None:
                self._tracing.conclude(exchange, error)

    def _finished(self, exchange: Exchange) -> None:
        self._metrics.in_progress -= 1
        if exchange.context.hold is not None and self._tracing is not None:
            self._tracing.judge(exchange)
        self._metrics.observe(exchange)
        if self._access_log is not None:
            self._access_log.write(exchange)

    def _scrape_finished(self, exchange: Exchange) -> None:
        if self._access_log is not None:
            self._access_log.write(exchange)

    def _connection_finished(self, exchange: Exchange) -> None:
        self._metrics.count_connection(exchange)
        if self._access_log is not None:
            self._access_log.write(exchange)

    async def _start(self) -> None:
        self._process.listen()
        self._health.set_started()
        self._endpoints.look_behind(self.app)
        if self._tracing is not None:
            self._tracing.start()
        self._every_second = asyncio.create_task(self._look_every_second())

    async def _started(self) -> None:
        # Of the whole app: its own start may have added routes, and set up telemetry.
        self._native_telemetry.find()
        self._process.publish_routes([*self._endpoints.table(), *route_table(self.app)])
        if self._loop_watch is not None:  # what blocks the start keeps nobody waiting
            self._loop_watch.start()

    async def _stopping(self) -> None:
        self._health.set_shutting_down()

    async def _stopped(self) -> None:
        if self._every_second is not None:
            self._every_second.cancel()
        self._native_telemetry.leave()
        if self._loop_watch is not None:
            self._loop_watch.stop()
        await _wait_while(lambda: self._metrics.in_progress, _DRAIN_SECONDS)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.shutdown)
        # Not here: an app's collector may wait for the loop, or for ever.
        keeping = threading.Thread(target=self._process.keep, name="metrics-keep", daemon=True)
        try:
            keeping.start()
        except RuntimeError:  # no thread is left
            self._process.keep()
        await _wait_while(keeping.is_alive, _KEEP_SECONDS)

    async def _look_every_second(self) -> None:
        while True:
            due = monotonic() + LAG_PERIOD_SECONDS
            self._metrics.lag_expected(due)
            await asyncio.sleep(LAG_PERIOD_SECONDS)
            self._metrics.lag_measured(monotonic() - due)
            self._native_telemetry.look()


async def _wait_while(busy: Callable[[], object], seconds: float) -> None:
    """Wait until something is over, for so long at most: it signals nobody, and asking takes no thread."""
    end = monotonic() + seconds
    while busy() and monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
