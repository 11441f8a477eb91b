"""The endpoints every instrumented app has: ``/health``, ``/ready``, ``/metrics`` and what API documentation loads."""

import asyncio
from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from sightglass.asgi.docs_assets import MARK, ROUTE, DocsAssets
from sightglass.asgi.health import Health
from sightglass.asgi.metrics_door import MetricsDoor
from sightglass.asgi.shadowed import Shadowed, find_shadowed
from sightglass.metrics.exposition import expose
from sightglass.metrics.families import Family
from sightglass.metrics.gather import gather
from sightglass.metrics.process import ProcessMetrics
from sightglass.route_table import RouteTable, entry

LIVENESS = "/health"
READINESS = "/ready"
METRICS = "/metrics"
"""The one path whose requests are not counted: a scrape would change what it reads."""

_METHODS = ("GET", "HEAD")


class Endpoints:
    """ASGI apps by path.

    Args:
        process: the process whose metrics, and whose server's, are told.
        health: answers ``/health`` and ``/ready``.
        docs: the files of API documentation; None for none.
        metrics_door: decides who gets the metrics; None for anybody.

    """

    def __init__(
        self,
        process: ProcessMetrics,
        health: Health,
        docs: DocsAssets | None = None,
        metrics_door: MetricsDoor | None = None,
    ) -> None:
        self._process = process
        self._health = health
        self._docs = docs
        self._metrics_door = metrics_door
        self._shadowed: dict[str, Shadowed] = {}
        self._apps: dict[str, ASGIApp] = {
            LIVENESS: self._liveness,
            READINESS: self._readiness,
            METRICS: self._metrics,
        }

    def find(self, scope: Scope) -> ASGIApp | None:
        """Return the app that answers an HTTP request, None when it is not for one of these."""
        path = scope["path"]
        app = self._apps.get(path)
        if app is None and MARK in path and self._docs is not None and self._docs.serves(path):
            app = self._docs
        return app if app is not None and scope["method"] in _METHODS else None

    def route(self, scope: Scope) -> str:
        """Return the template of what `find` found."""
        path: str = scope["path"]
        return path if path in self._apps else ROUTE

    def table(self) -> RouteTable:
        """Return the routes, but that of the metrics, which no client gets."""
        paths = {path: path for path in (LIVENESS, READINESS)}
        if self._docs is not None:
            paths[ROUTE] = self._docs.pattern
        return [entry(_METHODS, regex, route) for route, regex in paths.items()]

    def look_behind(self, app: ASGIApp) -> None:
        """Find the app's own routes at these paths: those about its health are asked, too, from now on."""
        self._shadowed = find_shadowed(app, (LIVENESS, READINESS), (METRICS,))

    async def _liveness(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        (status, body), reason = await asyncio.gather(self._health.liveness(), self._own_reason(scope))
        if reason is not None:
            status, body = 503, {**body, "status": "unhealthy", "reasons": [reason]}
        await _answer_json(send, status, body)

    async def _readiness(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        (status, body), reason = await asyncio.gather(self._health.readiness(), self._own_reason(scope))
        if reason is not None:
            status, body = 503, {"ready": False, "reasons": [*body.get("reasons", ()), reason]}
        await _answer_json(send, status, body)

    async def _own_reason(self, scope: Scope) -> str | None:
        shadowed = self._shadowed.get(scope["path"])
        reason = await shadowed.reason(scope) if shadowed is not None else None
        return None if reason is None else f"application: {reason}"

    async def _metrics(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        if self._metrics_door is not None and not self._metrics_door.lets(scope):
            await answer(send, 404, [], b"")  # as the edge: nothing here
            return
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept")
        encoding = b", ".join(value for name, value in scope["headers"] if name == b"accept-encoding")
        # Gathering waits for the other processes, this one's own thread included.
        response = await asyncio.to_thread(
            lambda: expose(self._families(), accept.decode("latin-1"), encoding.decode("latin-1"))
        )
        headers = [(name.encode(), value.encode()) for name, value in response.headers]
        await answer(send, 200, headers, response.body)

    def _families(self) -> list[Family]:
        directory = self._process.directory
        return gather(directory) if directory is not None else self._process.families()


async def answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Send a whole response."""
    if all(name != b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer_json(send: Send, status: int, body: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await answer(send, status, headers, orjson.dumps(body))
