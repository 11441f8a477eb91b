"""What it costs to count one request, without anything around it: the choice of where a worker keeps its numbers.

Slot-keyed multiprocess files are the alternative to our design that does not grow with recycles: client_python's own
files, named after slots instead of processes.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram, values

from bench.report import Figure, publish, table
from sightglass.context import RequestContext
from sightglass.metrics.requests import DURATION_BUCKETS, SIZE_BUCKETS, RequestMetrics
from sightglass.record import Record

ROUNDS = 50
TIMES = 5000
SECTION = "Cost of counting a request"


def ours() -> Callable[[], None]:
    """Return what counts a request in plain lists."""
    metrics = RequestMetrics()
    context = RequestContext("request-1")
    record = Record("GET", "/items/{item}", "/items/1", 200, True, "ok", 0.02, 100, 2000, None, context, 0.0)
    return lambda: metrics.observe(record)


def client_python() -> Callable[[], None]:
    """Return what counts the same with client_python, labels looked up each time as its users do."""
    registry = CollectorRegistry()
    requests = Counter("http_requests", "Requests.", ["method", "route", "status"], registry=registry)
    labels = ["method", "route"]
    duration = Histogram("duration_seconds", "Duration.", labels, buckets=DURATION_BUCKETS, registry=registry)
    received = Histogram("request_size_bytes", "Received.", labels, buckets=SIZE_BUCKETS, registry=registry)
    sent = Histogram("response_size_bytes", "Sent.", labels, buckets=SIZE_BUCKETS, registry=registry)

    def count() -> None:
        requests.labels("GET", "/items/{item}", "200").inc()
        duration.labels("GET", "/items/{item}").observe(0.02)
        received.labels("GET", "/items/{item}").observe(100)
        sent.labels("GET", "/items/{item}").observe(2000)

    return count


def in_slot_files(directory: str) -> Callable[[], None]:
    """Return the same in client_python's multiprocess files, named after a slot."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    ordinary = values.ValueClass
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: 0)  # type: ignore[no-untyped-call]
    try:
        count = client_python()
        count()  # makes the values while their class is the one wanted here
        return count
    finally:
        values.ValueClass = ordinary


def main() -> None:
    """Measure, print and write down."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        ways = {
            "ours": ours(),
            "client_python, ordinary registry": client_python(),
            "client_python, slot-keyed files": in_slot_files(directory),
        }
        costs: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, count in ways.items():
                before = time.process_time_ns()
                for _ in range(TIMES):
                    count()
                costs[name].append((time.process_time_ns() - before) / TIMES / 1000)
    medians = {name: statistics.median(found) for name, found in costs.items()}
    rows = [[name, f"{cost:.2f}", f"{cost / medians['ours']:.1f}"] for name, cost in medians.items()]
    figures = [
        Figure("counting a request", "client_python", medians["ours"] / medians["client_python, ordinary registry"])
    ]
    note = f"One counter and three histograms; CPU time, median of {ROUNDS} rounds of {TIMES}."
    publish(SECTION, f"{note}\n\n{table(['', 'µs a request', '÷ ours'], rows)}", figures)


if __name__ == "__main__":
    main()
