"""What a scrape costs with many workers: ours, and client_python's multiprocess mode.

Workers are processes that hold the same series and wait. A recycle ends one and starts its successor: with
client_python, which names files after processes, that is one more set of files (marked dead as its documentation
says, which removes those of gauges only); with ours it is the same slot again. The time of a scrape is the CPU time of
all processes that take part, from the request for the text to the text; ours is spread over the workers.
"""

import gc
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from bench.report import Figure, publish, table
from sightglass.context import RequestContext
from sightglass.metrics.exposition import expose
from sightglass.metrics.gather import gather
from sightglass.metrics.process import ProcessMetrics
from sightglass.metrics.requests import DURATION_BUCKETS, SIZE_BUCKETS
from sightglass.metrics.slots import SlotDirectory
from sightglass.record import Record

SCRAPES, ENOUGH = 40, 4.0  # at most so many, for about so many seconds
SECTION = "Cost of a scrape"
CASES = (  # workers, routes, and the numbers of recycles at which to scrape
    (1, 50, (0, 100)),
    (2, 10, (0, 100)),
    (2, 50, (0, 100, 1000)),
    (8, 50, (0, 100)),
)
Case = tuple[int, int, tuple[int, ...]]
_fork = multiprocessing.get_context("fork")


def ours(slots: SlotDirectory, routes: int, ready: Connection) -> None:
    """Be one of our workers."""
    worker = ProcessMetrics(CollectorRegistry())
    worker.join(slots)
    worker.listen()
    for route in range(routes):
        # Numbers as long as those of a worker that has served for a while, or the first recycles would seem to cost.
        path = f"/route/{route}/{{item}}"
        record = Record("GET", path, path, 200, True, "ok", 0.0234567, 100, 2000, None, RequestContext("1"), 0.0, 0.02)
        for _ in range(300):
            worker.metrics.observe(record)
    worker.keep()
    ready.send(None)
    ready.recv()


def client_python(routes: int, ready: Connection) -> None:
    """Be a worker in client_python's multiprocess mode with the same series."""
    # It chooses its value class when it is imported, here in a parent that serves both: choose again.
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    requests = Counter("http_requests", "Requests.", ["method", "route", "status"], registry=registry)
    histograms = [
        Histogram(name, name, ["method", "route"], buckets=buckets, registry=registry)
        for name, buckets in (
            ("http_request_duration_seconds", DURATION_BUCKETS),
            ("http_time_to_first_byte_seconds", DURATION_BUCKETS),
            ("http_request_size_bytes", SIZE_BUCKETS),
            ("http_response_size_bytes", SIZE_BUCKETS),
        )
    ]
    for route in range(routes):
        path = f"/route/{route}/{{item}}"
        requests.labels("GET", path, "200").inc()
        for histogram in histograms:
            histogram.labels("GET", path).observe(0.0234567)
    ready.send(None)
    ready.recv()


class Fleet:
    """ProcessMetrics processes of one kind."""

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        self._target = target
        self._arguments = arguments
        self._running: list[tuple[Any, Connection]] = []

    def start(self) -> None:
        """Start a worker and wait until it is ready."""
        here, there = _fork.Pipe()
        process = _fork.Process(target=self._target, args=(*self._arguments, there), daemon=True)
        process.start()
        here.recv()
        self._running.append((process, here))

    def end(self) -> int:
        """End the oldest worker; returns its process id."""
        process, pipe = self._running.pop(0)
        pipe.send(None)
        process.join()
        return int(process.pid)

    def pids(self) -> list[int]:
        """Return the process ids of those running."""
        return [process.pid for process, _ in self._running]

    def __len__(self) -> int:
        return len(self._running)


@contextmanager
def _tmpfs() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="bench-", dir="/dev/shm"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _time(scrape: Callable[[], bytes], pids: list[int]) -> tuple[float, int]:
    """Return the CPU milliseconds of the cheapest scrape, here and in the workers, and its bytes."""
    gc.collect()
    # The clocks of other processes, as clock_getcpuclockid(3) names them.
    clocks = [time.CLOCK_PROCESS_CPUTIME_ID, *((~pid << 3) | 2 for pid in pids)]
    times: list[float] = []
    while len(times) < SCRAPES and sum(times) < ENOUGH * 1000:
        before = sum(map(time.clock_gettime_ns, clocks))
        text = scrape()
        times.append((sum(map(time.clock_gettime_ns, clocks)) - before) / 1e6)
    return min(times), len(text)


def _run(
    fleet: Fleet, case: Case, scrape: Callable[[], bytes], buried: Callable[[int], None]
) -> list[tuple[float, int]]:
    workers, _, stops = case
    results: list[tuple[float, int]] = []
    for _ in range(workers):
        fleet.start()
    done = 0
    for recycles in stops:
        for _ in range(recycles - done):
            buried(fleet.end())
            fleet.start()
        done = recycles
        results.append(_time(scrape, fleet.pids()))
    while fleet:
        fleet.end()
    return results


def measure_ours(case: Case) -> list[tuple[float, int]]:
    """Return milliseconds and bytes at each number of recycles, for ours."""
    with _tmpfs() as path:
        slots = SlotDirectory(path)
        return _run(Fleet(ours, slots, case[1]), case, lambda: expose(gather(slots)).body, lambda _: None)


def measure_client_python(case: Case) -> list[tuple[float, int]]:
    """Return milliseconds and bytes at each number of recycles, for client_python."""
    with _tmpfs() as path:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(path)

        def scrape() -> bytes:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return bytes(generate_latest(registry))

        def buried(pid: int) -> None:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]

        try:
            return _run(Fleet(client_python, case[1]), case, scrape, buried)
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def main() -> None:
    """Measure, print and write down."""
    rows, growth, first, last = [], [], [], []
    for case in CASES:
        workers, routes, stops = case
        own, theirs = measure_ours(case), measure_client_python(case)
        for recycles, (mine, size), (other, _) in zip(stops, own, theirs, strict=True):
            figures = [f"{mine:.1f}", f"{other:.1f}", f"{mine / other:.2f}", f"{size / 1024:.0f}"]
            rows.append([str(workers), str(routes), str(recycles), *figures])
        growth.append(own[-1][0] / own[0][0])
        first.append(own[0][0] / theirs[0][0])
        last.append(own[-1][0] / theirs[-1][0])
    head = ["workers", "routes", "recycles", "ours, ms", "client_python, ms", "ratio", "ours, KiB"]
    note = (
        f"CPU time, the least of up to {SCRAPES}. Ours tells each worker apart, client_python sums them. "
        f"From no recycle to the most, ours changes to between {min(growth):.2f} and {max(growth):.2f} of what it was."
    )
    shown = [
        Figure("a scrape, no worker recycled, at most", "client_python's multiprocess mode", max(first)),
        Figure("the same after all recycles, at most", "client_python's multiprocess mode", max(last)),
        Figure("a scrape after all recycles, at most", "before the first of them", max(growth), "≤ 1.10"),
    ]
    publish(SECTION, f"{note}\n\n{table(head, rows)}", shown)


if __name__ == "__main__":
    main()
