"""An app under observation, driven by ASGI messages, for the tests of the middleware."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp, Message, Scope

from sightglass.asgi.health import Health
from sightglass.asgi.middleware import Middleware
from sightglass.context import RequestContext
from sightglass.logs.access import AccessLog
from sightglass.metrics.exposition import expose
from sightglass.metrics.process import ProcessMetrics
from sightglass.record import Record
from sightglass.routes import RouteTemplates


class Healthy(Health):
    """Always well, until told to shut down."""

    def __init__(self) -> None:
        super().__init__("1")
        self.shutting_down = False

    async def liveness(self) -> tuple[int, dict[str, Any]]:
        return 200, {"status": "healthy"}

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        return (503, {"ready": False}) if self.shutting_down else (200, {"ready": True})

    def set_shutting_down(self) -> None:
        self.shutting_down = True


class Lines(AccessLog):
    """An access log that keeps its entries."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def write(self, record: Record) -> None:
        entry = {field.name: getattr(record, field.name) for field in fields(Record)}
        if not entry.pop("answered"):
            entry["status"] = None
        self.entries.append(entry)


class Observed:
    """A middleware around an app, with what it told."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry | None = None) -> None:
        self.process = ProcessMetrics(registry or CollectorRegistry())
        self.health = Healthy()
        self.log = Lines()
        self.app = Middleware(
            app, process=self.process, health=self.health, route_of=RouteTemplates(app).find, access_log=self.log
        )

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample by name and sorted labels, as a scraper reads them."""
        text = expose(self.process.families()).body.decode()
        families = text_string_to_metric_families(text)
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, tuple(sorted({**labels, "worker": "0"}.items()))))

    def requests(self) -> dict[tuple[str, str, str], float]:
        """http_requests_total by method, route and status, where there were any."""
        return {
            (labels["method"], labels["route"], labels["status"]): value
            for (name, pairs), value in self.samples().items()
            if name == "http_requests_total" and value > 0
            for labels in [dict(pairs)]
        }

    def durations(self) -> float:
        """How many durations were observed."""
        return sum(v for (name, _), v in self.samples().items() if name == "http_request_duration_seconds_count")


def http(method: str = "GET", path: str = "/", headers: Iterable[tuple[str, str]] = (), **more: Any) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        **more,
    }


def websocket(path: str = "/") -> Scope:
    return {**http(path=path), "type": "websocket", "scheme": "ws", "subprotocols": []}


class Client:
    """The server's side of one scope: gives the messages in turn, then says nothing, and keeps what is sent."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages) or [{"type": "http.request", "body": b"", "more_body": False}]
        self.sent: list[Message] = []
        self.on_send: Callable[[Message], None] = lambda _: None

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Message) -> None:
        self.on_send(message)
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name.decode(), value.decode()) for name, value in self.sent[0]["headers"]]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def ask(observed: Observed, scope: Scope, *messages: Message) -> Client:
    client = Client(*messages)
    await observed.app(scope, client.receive, client.send)
    return client


def context_of(scope: Scope) -> RequestContext:
    context = scope["sightglass.request"]
    assert isinstance(context, RequestContext)
    return context
