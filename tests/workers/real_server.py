"""A real gunicorn on loopback, and what its metrics say."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sightglass.server.__main__ import APPLICATION

HERE = Path(__file__).parent
SECONDS = 30.0  # until what must happen has not; polled, so that a quick machine does not wait
T = TypeVar("T")

Series = tuple[str, tuple[tuple[str, str], ...]]


def eventually(probe: Callable[[], T], wanted: Callable[[T], object]) -> T:
    """Probe until it shows what is wanted."""
    end = time.monotonic() + SECONDS
    while True:
        found = problem = None
        try:
            found = probe()
            if wanted(found):
                return found
        except OSError as error:
            problem = error
        assert time.monotonic() < end, f"still {found!r} {problem!r} after {SECONDS} s"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Scrape(dict[Series, float]):
    """Samples by name and labels."""

    def __init__(self, text: str) -> None:
        parsed: Iterator[Metric] = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        self.families = list(parsed)
        super().__init__({(s.name, tuple(sorted(s.labels.items()))): s.value for f in self.families for s in f.samples})

    def by_worker(self, name: str, **labels: str) -> dict[str, float]:
        """The sum of the matching series of each worker."""
        result: dict[str, float] = {}
        for (sample, pairs), value in self.items():
            found = dict(pairs)
            if sample == name and labels.items() <= found.items():
                result[found["worker"]] = result.get(found["worker"], 0) + value
        return result

    def total(self, name: str, **labels: str) -> float:
        return sum(self.by_worker(name, **labels).values())

    def counters(self) -> dict[Series, float]:
        """Everything that may never go backwards, except what belongs to one process."""
        own = ("process_", "python_")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families
            if family.type in ("counter", "histogram") and not family.name.startswith(own)
            for sample in family.samples
        }


class Gunicorn:
    def __init__(self, process: subprocess.Popen[bytes], port: int, metrics_port: int) -> None:
        self.process = process
        self.port = port
        self.metrics_port = metrics_port

    def get(self, path: str, timeout: float = SECONDS) -> bytes:
        """Fetch over a connection of its own; raises OSError or HTTPException when there is no whole answer."""
        return _get(self.port, path, timeout)

    def ask(self, path: str, times: int, at_once: int = 8) -> int:
        """Fetch many times, at once; returns how many were answered."""

        def one(_: int) -> int:
            try:
                self.get(path)
            except (OSError, http.client.HTTPException):
                return 0
            return 1

        with ThreadPoolExecutor(at_once) as pool:
            return sum(pool.map(one, range(times)))

    def scrape(self, port: int | None = None) -> Scrape:
        """Scrape as Prometheus does, within its default timeout."""
        accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
        return Scrape(_get(port or self.metrics_port, "/metrics", 10, accept).decode())

    def pids(self) -> set[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split()}

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_for_workers(self, up: int) -> Scrape:
        """Wait until exactly so many workers answer scrapes."""
        return eventually(self.scrape, lambda scrape: scrape.total("worker_up") == up)


@contextmanager
def gunicorn(
    workers: int, *options: str, env: Mapping[str, str] | None = None, timeout: int = 60
) -> Iterator[Gunicorn]:
    port, metrics_port = free_port(), free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)]),
        "APP": "served:app",
        "WEB_CONCURRENCY": str(workers),
        "METRICS_PORT": str(metrics_port),
        "GUNICORN_TIMEOUT": str(timeout),
        **(env or {}),
    }
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "python:conf",
        "-b",
        f"127.0.0.1:{port}",
        *options,
        APPLICATION,
    ]
    process = subprocess.Popen(command, env=environment, cwd=HERE, stdout=subprocess.DEVNULL)
    server = Gunicorn(process, port, metrics_port)
    try:
        server.wait_for_workers(workers)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        if process.poll() is None:
            for pid in server.pids():
                os.kill(pid, signal.SIGCONT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            for pid in (*server.pids(), process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()


def _get(port: int, path: str, timeout: float, headers: Mapping[str, str] | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        body = response.read()
        if response.status >= 500:
            raise http.client.HTTPException(response.status)
        return body
    finally:
        connection.close()
