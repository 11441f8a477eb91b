"""What each way of observing adds to a request: CPU time, in process, without a server or a network.

Each way has processes of its own, since some change the framework for everybody in it. They take turns in short rounds,
so that what the machine does meanwhile meets all of them. What else it does only adds: a process' cost is the least of
its rounds, as timeit's documentation has it, and a way's the mean of its processes.

With ``--beside PATH``, another checkout (``git worktree add PATH COMMIT``), its ways of ours take turns with these, and
nothing is written down.
"""

import argparse
import asyncio
import gc
import itertools
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler, TraceIdRatioBased
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import default as instrumentator_default
from starlette.types import ASGIApp, Message, Scope
from starlette_exporter import PrometheusMiddleware

from api.settings import Settings
from bench.report import Figure, publish, table
from sightglass.asgi.docs_assets import docs_assets
from sightglass.asgi.health import Health
from sightglass.asgi.middleware import Middleware
from sightglass.logs.access import LOGGER as LOGGER
from sightglass.logs.access import AccessLog
from sightglass.logs.errors import ErrorLog
from sightglass.logs.writer import LogWriter
from sightglass.metrics.process import ProcessMetrics
from sightglass.routes import RouteTemplates
from sightglass.tracing.asgi import TracedApp

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 20
REQUESTS = 500
PROCESSES = 3  # of each way: how one process' memory happens to lie is worth a tenth
SETTLE = 0.1  # seconds, for threads to finish what a round has left them: writing log lines, mostly
SECTION = "Cost of a request"
BESIDE = " (beside)"
_HEADERS = [
    (b"host", b"api.example"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, br"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
]


AS_IT_COMES = "FastAPI as it comes, its telemetry not set up"
OFF = {"tracing": False, "metrics": False, "logs": False}


class _Discard(SpanExporter):
    def export(self, _: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def make_app(**options: Any) -> FastAPI:
    """Return the app that everybody observes: one route with a parameter and a small JSON answer.

    Its own telemetry is off: as it comes it looks at each request for somebody who has set it up.
    """
    app = FastAPI(**{"telemetry": OFF} | options)

    @app.get("/items/{item}")
    async def read_item(item: int) -> dict[str, int]:
        return {"item": item}

    return app


def ours(*, access_log: bool = False, tracing: float | None = None) -> ASGIApp:
    """Return the app as `instrument` wraps it; what is asked for on top of metrics and ids, of tracing its share."""
    app = make_app(telemetry=None)
    route_of = RouteTemplates(app).find
    settings = Settings(
        tracing_enabled=tracing is not None, otel_traces_sampler="traceidratio", otel_traces_sampler_arg=tracing or 0
    )  # fmt: skip
    traces = TracedApp(app, settings, route_of) if tracing is not None else None
    if traces is not None:
        with patch("sightglass.tracing.provider.OTLPSpanExporter", _Discard):
            traces.start()
    return Middleware(
        app,
        process=ProcessMetrics(CollectorRegistry()),
        health=Health("1"),
        route_of=route_of,
        access_log=AccessLog(settings, LogWriter(os.open(os.devnull, os.O_WRONLY))) if access_log else None,
        error_log=ErrorLog(settings),
        tracing=traces,
        docs=docs_assets(),
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


def native(*, metrics: bool, sampler: Sampler | None = None) -> ASGIApp:
    """Return the app with FastAPI's native telemetry, metrics kept in memory, spans thrown away in batches."""
    telemetry: dict[str, Any] = {"metrics": metrics, "tracing": sampler is not None, "logs": False}
    if metrics:
        telemetry["meter_provider"] = MeterProvider(metric_readers=[InMemoryMetricReader()])
    if sampler is not None:
        telemetry["tracer_provider"] = _discarding(sampler)
    return make_app(telemetry=telemetry)


def contrib(sampler: Sampler) -> ASGIApp:
    """Return the app with OpenTelemetry's contrib instrumentation at its defaults, spans thrown away in batches."""
    app = make_app()
    trace.set_tracer_provider(_discarding(sampler))
    FastAPIInstrumentor.instrument_app(app)
    return app


def _discarding(sampler: Sampler) -> TracerProvider:
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(BatchSpanProcessor(_Discard()))
    return provider


WAYS: dict[str, Callable[[], ASGIApp]] = {
    "bare FastAPI": make_app,
    AS_IT_COMES: lambda: make_app(telemetry=None),
    "ours: metrics, ids": ours,
    "ours: metrics, ids, access log": lambda: ours(access_log=True),
    "ours: metrics, ids, tracing of what fails or is slow": lambda: ours(tracing=0),
    "ours: metrics, ids, tracing 10 %": lambda: ours(tracing=0.1),
    "ours: metrics, ids, tracing always": lambda: ours(tracing=1),
    "ours: everything, tracing 10 %": lambda: ours(access_log=True, tracing=0.1),
    "prometheus-fastapi-instrumentator": instrumentator,
    "starlette_exporter": starlette_exporter,
    "FastAPI's native metrics": lambda: native(metrics=True),
    "FastAPI's native spans, 10 %": lambda: native(metrics=False, sampler=TraceIdRatioBased(0.1)),
    "FastAPI's native metrics, spans 10 %": lambda: native(metrics=True, sampler=TraceIdRatioBased(0.1)),
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


class Turn:
    """A way's process.

    Args:
        name: of the way.
        tree: the checkout whose way it is.

    """

    def __init__(self, name: str, tree: Path) -> None:
        # The script of this tree with the modules of the other.
        command = [sys.executable, str(ROOT / "bench" / "turn.py"), name]
        self._process = subprocess.Popen(
            command,
            cwd=tree,
            env=os.environ | {"PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def take(self) -> float:
        """Return the CPU microseconds of a request in one round."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate()


def compare(beside: Path | None) -> dict[str, float]:
    """Return what each way costs; with another tree, its ways of ours too, names ending in `BESIDE`."""
    ways = [(name, name, ROOT) for name in WAYS]
    if beside is not None:
        ways += [(name + BESIDE, name, beside) for name in WAYS if name.startswith("ours")]
    turns = {key: [Turn(name, tree) for _ in range(PROCESSES)] for key, name, tree in ways}
    rounds: dict[str, list[list[float]]] = {name: [] for name in turns}
    for _ in range(ROUNDS):
        for name in random.sample(list(turns), len(turns)):
            rounds[name].append([turn.take() for turn in turns[name]])
    for turn in itertools.chain(*turns.values()):
        turn.end()
    return {name: statistics.mean(map(min, zip(*found, strict=True))) for name, found in rounds.items()}


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, metavar="PATH", help="measure ours in another checkout too, in turns")
    beside = parser.parse_args().beside
    costs = compare(beside.resolve() if beside else None)
    added = {name: cost - costs["bare FastAPI"] for name, cost in costs.items()}
    metrics, tracer = added["FastAPI's native metrics"], added["OTel contrib, 10 %"]
    references = added["prometheus-fastapi-instrumentator"], metrics, tracer
    rows = [
        [name, f"{cost:.1f}", f"{added[name]:.1f}", *(f"{added[name] / other:.2f}" for other in references)]
        for name, cost in costs.items()
    ]
    head = ["", "µs a request", "added", "÷ instrumentator", "÷ native metrics", "÷ OTel contrib 10 %"]
    # Whoever sets native metrics up, or takes ours, has paid for the look at each request before.
    set_up = metrics - added[AS_IT_COMES]
    logged = added["ours: metrics, ids, access log"]
    come = logged - added[AS_IT_COMES]
    measured = added["ours: metrics, ids"]
    traced = added["ours: metrics, ids, tracing 10 %"] - measured
    note = (
        f"CPU time, the least of {ROUNDS} rounds of {REQUESTS} requests, mean of {PROCESSES} processes a way, in "
        "random order. The same app and driver for all, all threads counted, nobody scrapes; added is a way's cost "
        "less bare FastAPI's. Ours is what `instrument` makes, native metrics have an in-memory reader. "
        "FastAPI's own telemetry is off under others' ways: as it comes, it looks at each request for somebody who has "
        "set it up. Ours has it as it comes, and looks once a second in its place. "
        f"To FastAPI as it comes metrics, ids and access log add {come / set_up:.2f} of what its native metrics add, "
        f"to one with its telemetry off {logged / metrics:.2f}. Tracing at 10 % "
        f"by itself adds {traced:.1f} µs to ours, {traced / tracer:.2f} of what contrib adds."
    )
    text = f"{note}\n\n{table(head, rows)}"
    if beside is None:
        publish(
            SECTION,
            text,
            [
                Figure(
                    "what metrics, ids and log add to a request", "FastAPI's native metrics", come / set_up, "≤ 0.35"
                ),
                Figure("what metrics and ids add", "prometheus-fastapi-instrumentator", measured / references[0]),
                Figure("what tracing 10 % adds to that", "OpenTelemetry's contrib", traced / tracer, "≤ 0.5"),
            ],
        )
    else:
        print(f"{text}\n\n{table(['', 'whole request ÷ beside', 'added ÷ beside'], _ratios(costs))}")


def _ratios(costs: dict[str, float]) -> list[list[str]]:
    """Return, for each way of ours, its cost and what it adds over the other tree's."""
    bare = costs["bare FastAPI"]
    return [
        [name, f"{costs[name] / other:.3f}", f"{(costs[name] - bare) / (other - bare):.3f}"]
        for name in WAYS
        if (other := costs.get(name + BESIDE))
    ]


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
