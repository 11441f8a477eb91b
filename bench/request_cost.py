"""What each way of observing adds to a request: CPU time, in process, without a server or a network.

Each way has a process of its own, since some change the framework for everybody in it. They take turns in short rounds,
so that what the machine does meanwhile meets all of them; what a way adds is the median over the rounds of its
difference to bare FastAPI in the same round.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler, TraceIdRatioBased
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import default as instrumentator_default
from starlette.types import ASGIApp, Message, Scope
from starlette_exporter import PrometheusMiddleware

from api.settings import Settings
from bench.report import publish, table
from sightglass.asgi.health import Health
from sightglass.asgi.middleware import Middleware
from sightglass.asgi.routes import RouteTemplates
from sightglass.logs.access import AccessLog
from sightglass.logs.writer import LogWriter
from sightglass.metrics.process import ProcessMetrics
from sightglass.tracing.asgi import TracedApp

ROUNDS = 60
REQUESTS = 200
SETTLE = 0.04  # seconds, for threads to finish what a round has left them: rendering log lines, mostly
SECTION = "Cost of a request"
_HEADERS = [
    (b"host", b"api.example"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, br"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
]


class _Discard(SpanExporter):
    def export(self, _: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def make_app() -> FastAPI:
    """Return the app that everybody observes: one route with a parameter and a small JSON answer."""
    app = FastAPI()

    @app.get("/items/{item}")
    async def read_item(item: int) -> dict[str, int]:
        return {"item": item}

    return app


def ours(*, access_log: bool = False, tracing: bool = False) -> ASGIApp:
    """Return the app with our middleware; what is asked for on top of metrics and ids."""
    app = make_app()
    route_of = RouteTemplates(app).find
    settings = Settings(
        tracing_enabled=tracing, otel_traces_sampler="traceidratio", otel_traces_sampler_arg=0.1
    )  # fmt: skip
    traces = TracedApp(app, settings, route_of) if tracing else None
    if traces is not None:
        with patch("sightglass.tracing.provider.OTLPSpanExporter", _Discard):
            traces.start()
    return Middleware(
        app,
        process=ProcessMetrics(CollectorRegistry()),
        health=Health("1"),
        route_of=route_of,
        access_log=AccessLog(settings, LogWriter(os.open(os.devnull, os.O_WRONLY))) if access_log else None,
        tracing=traces,
    )


def instrumentator() -> ASGIApp:
    """Return the app with prometheus-fastapi-instrumentator as its README shows it."""
    app, registry = make_app(), CollectorRegistry()
    instrument = Instrumentator(registry=registry)
    instrument.add(instrumentator_default(registry=registry))
    instrument.instrument(app)
    return app


def starlette_exporter() -> ASGIApp:
    """Return the app with starlette_exporter as its README shows it."""
    app = make_app()
    app.add_middleware(PrometheusMiddleware)
    return app


def contrib(sampler: Sampler) -> ASGIApp:
    """Return the app with OpenTelemetry's contrib instrumentation at its defaults, spans thrown away in batches."""
    app = make_app()
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(BatchSpanProcessor(_Discard()))
    trace.set_tracer_provider(provider)
    FastAPIInstrumentor.instrument_app(app)
    return app


WAYS: dict[str, Callable[[], ASGIApp]] = {
    "bare FastAPI": make_app,
    "ours: metrics, ids": ours,
    "ours: metrics, ids, access log": lambda: ours(access_log=True),
    "ours: metrics, ids, tracing 10 %": lambda: ours(tracing=True),
    "ours: everything, tracing 10 %": lambda: ours(access_log=True, tracing=True),
    "prometheus-fastapi-instrumentator": instrumentator,
    "starlette_exporter": starlette_exporter,
    "OTel contrib, unsampled": lambda: contrib(ALWAYS_OFF),
    "OTel contrib, 10 %": lambda: contrib(TraceIdRatioBased(0.1)),
}


async def measure(app: ASGIApp, requests: int) -> float:
    """Return the CPU microseconds of one request, all threads included."""
    scopes = [_scope(number) for number in range(requests)]
    gc.collect()
    before = time.process_time_ns()
    for scope in scopes:
        await app(scope, _receive, _send)
    await asyncio.sleep(SETTLE)
    return (time.process_time_ns() - before) / requests / 1000


def serve(name: str, turn: Connection) -> None:
    """Run a round of this way each time it is its turn, for as long as turns come."""
    with asyncio.Runner() as runner:
        app = WAYS[name]()
        for _ in range(10):
            runner.run(measure(app, REQUESTS))
        gc.freeze()
        with contextlib.suppress(EOFError):
            while True:
                turn.send(runner.run(measure(app, REQUESTS)))
                turn.recv()


def compare() -> dict[str, tuple[float, float]]:
    """Return the median microseconds of each way, and the median of what it adds."""
    context = multiprocessing.get_context("spawn")
    turns: dict[str, Connection] = {}
    processes = []
    for name in WAYS:
        turns[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(name, theirs)))
        processes[-1].start()
        theirs.close()
        turns[name].recv()
    costs: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name in random.sample(list(turns), len(turns)):
            turns[name].send(None)
            costs[name].append(turns[name].recv())
    for turn, process in zip(turns.values(), processes, strict=True):
        turn.close()
        process.join()
    bare = costs["bare FastAPI"]
    return {
        name: (statistics.median(found), statistics.median(a - b for a, b in zip(found, bare, strict=True)))
        for name, found in costs.items()
    }


def main() -> None:
    """Measure, print and write down."""
    costs = compare()
    added = {name: cost[1] for name, cost in costs.items()}
    reference, tracer = added["prometheus-fastapi-instrumentator"], added["OTel contrib, 10 %"]
    rows = [
        [name, f"{cost:.1f}", f"{extra:.1f}", f"{extra / reference:.2f}", f"{extra / tracer:.2f}"]
        for name, (cost, extra) in costs.items()
    ]
    head = ["", "µs a request", "added", "÷ instrumentator", "÷ OTel contrib 10 %"]
    traced = added["ours: metrics, ids, tracing 10 %"] - added["ours: metrics, ids"]
    note = (
        f"CPU time, median of {ROUNDS} rounds of {REQUESTS} requests a way, in random order. Tracing at 10 % by itself "
        f"adds {traced:.1f} µs to ours, {traced / tracer:.2f} of what contrib adds."
    )
    publish(SECTION, f"{note}\n\n{table(head, rows)}")


def _scope(number: int) -> Scope:
    path = f"/items/{number}"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("203.0.113.7", 0),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": _HEADERS,
        "state": {},
    }


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    pass


if __name__ == "__main__":
    main()
