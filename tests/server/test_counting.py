"""Counts across real gunicorn workers, whatever happens to them."""

import http.client
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from sightglass.metrics.slots import SlotDirectory
from tests.server.counting import Scrape, Series, gunicorn
from tests.server.server import Server
from tests.support.waiting import awaited

REQUESTS = {"name": "http_requests_total", "route": "/items/{item}", "status": "200"}


def counted(scrape: Scrape) -> float:
    """Requests for items; the three ways to count them agree."""
    requests = scrape.total(**REQUESTS)
    assert scrape.total("http_request_duration_seconds_count", route="/items/{item}") == requests
    assert scrape.total("http_request_duration_seconds_bucket", route="/items/{item}", le="+Inf") == requests
    return requests


def assert_no_fall(before: dict[Series, float], after: dict[Series, float]) -> None:
    """What `rate()` needs: no series of an earlier scrape is gone or lower."""
    assert {
        series: (value, after.get(series)) for series, value in before.items() if after.get(series, -1) < value
    } == {}


class Watch(threading.Thread):
    """Scrapes all the while, and checks each scrape against the one before."""

    def __init__(self, server: object) -> None:
        super().__init__(daemon=True)
        self._scrape = server.scrape  # type: ignore[attr-defined]
        self._over = threading.Event()
        self.scrapes = 0
        self.problem: BaseException | None = None
        self.start()

    def run(self) -> None:
        before: dict[Series, float] = {}
        try:
            while not self._over.is_set():
                after = self._scrape().counters()
                assert_no_fall(before, after)
                before = after
                self.scrapes += 1
                self._over.wait(0.05)
        except BaseException as problem:
            self.problem = problem

    def end(self) -> int:
        self._over.set()
        self.join()
        if self.problem is not None:
            raise self.problem
        return self.scrapes


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_every_request_is_counted_once(workers: int) -> None:
    with gunicorn(workers) as server:
        assert server.ask("/items/1", 300) == 300
        scrape = awaited(
            server.scrape,
            lambda scrape: counted(scrape) == 300 and scrape.total("sightglass_worker_up") == workers,
        )
        assert scrape.total("jobs_total") == 300
        assert set(scrape.by_worker("sightglass_worker_up")) == {str(slot) for slot in range(workers)}
        assert set(scrape.by_worker("process_start_time_seconds")) == set(scrape.by_worker("sightglass_worker_up"))
        assert set(scrape.by_worker("python_gc_collections_total")) == set(scrape.by_worker("sightglass_worker_up"))
        assert set(scrape.by_worker("event_loop_lag_seconds")) == set(scrape.by_worker("sightglass_worker_up"))
        # The app's own port gives the same, whichever worker answers.
        assert counted(server.scrape(server.port)) == 300


def test_recycling_by_max_requests_loses_nothing() -> None:
    with gunicorn(2, "--max-requests", "25", "--max-requests-jitter", "5") as server:
        first = server.pids()
        # No scrape meanwhile: what a worker has counted must be kept by its end alone.
        answered = sum(server.ask("/items/1", 50) for _ in range(4))
        awaited(server.pids, lambda pids: len(pids) == 2 and not pids & first)
        server.wait_for_workers(2)
        scrape = awaited(server.scrape, lambda scrape: counted(scrape) == answered)
        assert answered >= 150
        assert scrape.total("jobs_total") == answered
        assert set(scrape.by_worker(**REQUESTS)) <= {"0", "1"}


def test_reload_under_load_loses_nothing() -> None:
    with gunicorn(2) as server:
        watch = Watch(server)
        answered = 0
        for _ in range(2):
            before = server.pids()
            server.process.send_signal(signal.SIGHUP)
            answered += server.ask("/items/1", 150)
            awaited(server.pids, lambda pids: len(pids) == 2 and not pids & before)  # noqa: B023
            server.wait_for_workers(2)
        assert answered >= 200
        scrape = awaited(server.scrape, lambda scrape: counted(scrape) == answered)
        # The new workers overlap with the old ones: two slots more, and no more the second time.
        assert set(scrape.by_worker(**REQUESTS)) <= {"0", "1", "2", "3"}
        assert watch.end() > 3


def test_a_request_in_flight_at_the_end_is_counted() -> None:
    with gunicorn(1) as server:
        first = server.pids()
        waiting = threading.Thread(target=server.fetch, args=("/wait/10",))
        waiting.start()
        awaited(server.scrape, lambda scrape: scrape.total("http_requests_in_progress") == 1)
        os.kill(min(first), signal.SIGTERM)
        awaited(server.pids, lambda pids: pids and not pids & first)
        waiting.join()
        scrape = server.wait_for_workers(1)
        assert scrape.total("http_requests_total", route="/wait/{seconds}", status="200") == 1
        assert scrape.total("http_requests_in_progress") == 0


def test_a_killed_worker_loses_at_most_what_no_scrape_had_seen() -> None:
    with gunicorn(2) as server:
        assert server.ask("/items/1", 100) == 100
        seen = awaited(server.scrape, lambda scrape: counted(scrape) == 100)
        watch = Watch(server)
        for pid in server.pids():
            os.kill(pid, signal.SIGKILL)
        awaited(server.scrape, lambda scrape: scrape.by_worker("sightglass_worker_up") == {"0": 1, "1": 1})
        assert server.ask("/items/1", 60) == 60
        scrape = awaited(server.scrape, lambda scrape: counted(scrape) == 160)
        assert_no_fall(seen.counters(), scrape.counters())
        assert watch.end() > 0


def test_a_stopped_worker_neither_blocks_nor_empties_a_scrape() -> None:
    with gunicorn(2) as server:
        assert server.ask("/items/1", 60) == 60
        seen = awaited(server.scrape, lambda scrape: counted(scrape) == 60)
        stopped = min(server.pids())
        os.kill(stopped, signal.SIGSTOP)
        awaited(lambda: Path(f"/proc/{stopped}/stat").read_text().split()[2], lambda state: state == "T")
        scrape = awaited(server.scrape, lambda seen: sorted(seen.by_worker("sightglass_worker_up").values()) == [0, 1])
        assert counted(scrape) == 60
        assert_no_fall(seen.counters(), scrape.counters())
        assert len(scrape.by_worker("process_start_time_seconds")) == 1
        os.kill(stopped, signal.SIGCONT)
        server.wait_for_workers(2)


def test_a_worker_that_hangs_is_told_and_its_successor_goes_on() -> None:
    with gunicorn(2, timeout=15) as server:  # the scrape has to come within it
        assert server.ask("/items/1", 60) == 60
        awaited(server.scrape, lambda scrape: counted(scrape) == 60)
        first = server.pids()
        with pytest.raises((OSError, http.client.HTTPException)):
            server.fetch("/hang", timeout=1)
        scrape = awaited(server.scrape, lambda seen: sorted(seen.by_worker("sightglass_worker_up").values()) == [0, 1])
        assert counted(scrape) == 60
        awaited(server.pids, lambda pids: len(pids) == 2 and len(pids & first) == 1)
        assert counted(server.wait_for_workers(2)) == 60


def test_scrapes_arrive_while_the_workers_are_overloaded() -> None:
    with gunicorn(2) as server:
        watch = Watch(server)
        assert server.ask("/burn/0.02", 200, at_once=48) == 200
        assert watch.end() > 3
        awaited(server.scrape, lambda scrape: scrape.total("http_requests_total", route="/burn/{seconds}") == 200)


def test_exemplars_name_sampled_traces() -> None:
    tracing = {
        "TRACING_ENABLED": "true",
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    with gunicorn(2, env=tracing) as server:
        server.ask("/items/1", 40)
        scrape = awaited(server.scrape, lambda scrape: counted(scrape) == 40)
        traces = {
            (sample.labels["worker"], len(sample.exemplar.labels["trace_id"]))
            for family in scrape.families
            for sample in family.samples
            if sample.exemplar
        }
        assert traces <= {("0", 32), ("1", 32)}
        assert traces


def test_a_client_that_leaves_is_seen_by_an_app_that_never_asks() -> None:
    with gunicorn(1) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /wait/10 HTTP/1.1\r\nHost: x\r\n\r\n")
            awaited(server.scrape, lambda scrape: scrape.total("http_requests_in_progress") == 1)
        scrape = awaited(server.scrape, lambda scrape: scrape.total("http_requests_in_progress") == 0)
        assert scrape.by_worker("http_requests_total", route="/wait/{seconds}", status="499") == {"0": 1}


def test_the_slots_are_removed_at_the_end_and_the_port_serves_metrics_only() -> None:
    with gunicorn(1) as server:
        slots = server.slots()
        assert (slots / "0.sock").exists()
        for path in ("/", "/health", "/items/1"):
            connection = http.client.HTTPConnection("127.0.0.1", server.metrics_port, timeout=60)
            connection.request("GET", path)
            assert connection.getresponse().status == 404
            connection.close()
        idle = socket.create_connection(("127.0.0.1", server.metrics_port))
        server.scrape()
        idle.close()
        assert server.stop() == 0
    assert not slots.exists()


def test_what_a_killed_server_left_is_removed_by_the_next() -> None:
    with gunicorn(1) as server:
        slots = server.slots()
        orphans = server.pids()
        server.process.send_signal(signal.SIGKILL)
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        server.process.wait()
    assert slots.exists()
    awaited(SlotDirectory(slots).abandoned)
    with gunicorn(1):
        assert not slots.exists()


def test_a_taken_metrics_port_stops_the_start_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server(tmp_path, METRICS_PORT=str(port))
        try:
            assert server.process.wait(60) == 2
        finally:
            server.kill()
    assert f"METRICS_PORT={port}: not available: " in server.stderr()
    assert "Traceback" not in server.stderr()
