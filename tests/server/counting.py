"""A real gunicorn serving `served.py`, and what its metrics say."""

import http.client
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.server.server import SECONDS, Server
from tests.support.waiting import awaited

Series = tuple[str, tuple[tuple[str, str], ...]]


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
        """Everything that may never go backwards, except what is told of one process, or by each of the container."""
        own = ("process_", "python_", "sightglass_container_")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families
            if family.type in ("counter", "histogram") and not family.name.startswith(own)
            for sample in family.samples
        }


class Gunicorn(Server):
    """A server that is scraped."""

    def fetch(self, path: str, timeout: float = SECONDS) -> bytes:
        """Fetch over a connection of its own; raises OSError or HTTPException when there is no whole answer."""
        return _get(self.port, path, timeout)

    def ask(self, path: str, times: int, at_once: int = 8) -> int:
        """Fetch many times, at once; returns how many were answered."""

        def one(_: int) -> int:
            try:
                self.fetch(path)
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

    def slots(self) -> Path:
        """The directory that this server has claimed, others may have some beside it."""
        descriptors = Path(f"/proc/{self.process.pid}/fd").iterdir()
        (leases,) = (path for path in map(Path.readlink, descriptors) if path.name.startswith("leases"))
        return leases.parent

    def wait_for_workers(self, up: int) -> Scrape:
        """Wait until exactly so many workers answer scrapes."""
        return awaited(self.scrape, lambda scrape: scrape.total("sightglass_worker_up") == up)


@contextmanager
def gunicorn(
    workers: int, *options: str, timeout: int = 60, env: Mapping[str, str] | None = None
) -> Iterator[Gunicorn]:
    """Serve with so many workers for the time of a `with` block."""
    settings = {"APP": "served:app", "WEB_CONCURRENCY": str(workers), "GUNICORN_TIMEOUT": str(timeout)}
    with (
        tempfile.TemporaryDirectory() as directory,
        Gunicorn(
            Path(directory),
            *options,
            path=Path(__file__).parent,
            stdout=None,
            environment=None,
            **settings,
            **(env or {}),
        ) as server,
    ):
        server.wait_for_workers(workers)
        yield server


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
