"""Slots and what is handed on through them, without a server: processes are forked here and end as they are told."""

import errno
import logging
import marshal
import math
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sightglass.metrics.exposition import expose
from sightglass.metrics.families import Family, Totals, continued
from sightglass.metrics.gather import gather
from sightglass.metrics.process import ProcessMetrics
from sightglass.metrics.requests import FAILURES
from sightglass.metrics.slots import SlotDirectory
from tests.support.records import finished
from tests.support.waiting import eventually

# The children do nothing that a thread of this process could hold a lock for.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def slots() -> Iterator[SlotDirectory]:
    with TemporaryDirectory(dir="/dev/shm") as path:
        directory = SlotDirectory(Path(path) / "slots")
        directory.create()
        yield directory
        for child in list(Child.living):
            child.kill()


class Child:
    """A forked process that runs `work`, says what it returned, and lives until it is killed."""

    living: ClassVar[set["Child"]] = set()

    def __init__(self, work: Callable[[], object]) -> None:
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.write(write, repr(work()).encode() + b"\n")
                signal.pause()
            finally:
                os._exit(0)
        self.living.add(self)
        os.close(write)
        with os.fdopen(read) as pipe:
            self.said = pipe.readline().strip()

    def kill(self) -> None:
        self.living.discard(self)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def value(families: list[Family], series: str) -> float | None:
    values = [number for family in families for key, number, _ in family[4] if key == series]
    assert len(values) <= 1
    return values[0] if values else None


def test_workers_get_the_smallest_free_slots_and_a_kill_frees_them(slots: SlotDirectory) -> None:
    children = [Child(slots.lease) for _ in range(3)]
    assert [child.said for child in children] == ["0", "1", "2"]
    children[1].kill()
    again = Child(slots.lease)
    assert again.said == "1"
    for child in (children[0], again, children[2]):
        child.kill()


def test_the_directory_is_the_owners_alone(slots: SlotDirectory) -> None:
    assert slots.path.stat().st_mode & 0o777 == 0o700


def test_a_killed_servers_directory_is_known_by_its_lock(slots: SlotDirectory) -> None:
    assert not slots.abandoned()
    server = Child(slots.claim)
    assert not slots.abandoned()
    server.kill()
    assert slots.abandoned()


def test_a_path_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        SlotDirectory(Path("/dev/shm") / ("x" * 100))


def make_worker(slots: SlotDirectory | None = None) -> tuple[ProcessMetrics, CollectorRegistry]:
    registry = CollectorRegistry()
    worker = ProcessMetrics(registry)
    if slots is not None:
        worker.join(slots)
    return worker, registry


def test_a_successor_continues_what_was_counted_and_only_that(slots: SlotDirectory) -> None:
    def generation() -> None:
        worker, registry = make_worker(slots)
        Counter("jobs", "Jobs.", ["status"], registry=registry).labels("done").inc(3)
        Gauge("depth", "Depth.", registry=registry).set(5)
        Histogram("took_seconds", "Took.", buckets=(1, 2), registry=registry).observe(1.5)
        Summary("size_bytes", "Size.", registry=registry).observe(10)
        registry.register(_Absolute())
        worker.metrics.observe(finished("GET", "/x", 200, 0.02, 10, 20, None))
        worker.keep()

    for _ in range(3):
        Child(generation).kill()
    families = gather(slots)
    assert value(families, 'jobs_total{status="done",worker="0"}') == 9
    assert value(families, 'took_seconds_bucket{le="2.0",worker="0"}') == 3
    assert value(families, 'took_seconds_sum{worker="0"}') == 4.5
    assert value(families, 'size_bytes_count{worker="0"}') == 3
    assert value(families, 'http_requests_total{method="GET",route="/x",status="200",worker="0"}') == 3
    assert value(families, 'http_request_duration_seconds_count{method="GET",route="/x",worker="0"}') == 3
    assert value(families, 'http_request_size_bytes_sum{method="GET",route="/x",worker="0"}') == 30
    assert value(families, 'depth{worker="0"}') is None
    assert value(families, 'rows_total{worker="0"}') is None


class _Absolute:
    """A collector whose counter comes from elsewhere, complete."""

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("rows", "Rows in the database.", value=1000)


def test_a_collectors_own_totals_are_not_added_up(slots: SlotDirectory) -> None:
    worker, registry = make_worker(slots)
    registry.register(_Absolute())
    worker.keep()
    heir, registry = ProcessMetrics(CollectorRegistry()), CollectorRegistry()
    heir = ProcessMetrics(registry)
    registry.register(_Absolute())
    heir._inherited = slots.read_totals(worker.slot)
    assert value(heir.families(), 'rows_total{worker="0"}') == 1000


class _Hanging:
    """A collector that a scrape hangs in until it is told to go on."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def collect(self) -> Iterator[Metric]:
        self.reached.set()
        self.go.wait()
        yield from ()


def test_a_scrape_that_hangs_takes_nothing_from_what_is_kept(slots: SlotDirectory) -> None:
    worker, registry = make_worker(slots)
    request, job = 'http_requests_total{method="GET",route="/x",status="200",worker="0"}', 'jobs_total{worker="0"}'
    Counter("jobs", "Jobs.", registry=registry).inc(3)
    worker.keep()
    registry.register(hanging := _Hanging())
    scrape, end = threading.Thread(target=worker.families), threading.Thread(target=worker.keep, daemon=True)
    scrape.start()
    assert hanging.reached.wait(30)
    worker.metrics.observe(finished("GET", "/x", 200, 0.02, 10, 20, None))
    end.start()
    try:
        eventually(lambda: slots.read_totals(0)["http_requests"][3].get(request) == 1)
        assert slots.read_totals(0)["jobs"][3][job] == 3
    finally:
        hanging.go.set()
        scrape.join(30)
    assert slots.read_totals(0)["http_requests"][3][request] == 1
    end.join(30)
    assert slots.read_totals(0)["jobs"][3][job] == 3


def test_what_a_scrape_has_seen_survives_a_kill(slots: SlotDirectory) -> None:
    def serve() -> None:
        worker, _ = make_worker(slots)
        worker.listen()
        for _ in range(4):
            worker.metrics.observe(finished("GET", "/x", 200, 0.02, 10, 20, None))

    series = 'http_requests_total{method="GET",route="/x",status="200",worker="0"}'
    seen: list[float | None] = []
    for _ in range(3):
        child = Child(serve)
        seen.append(value(gather(slots, deadline=10), series))
        child.kill()
        seen.append(value(gather(slots), series))
    assert seen == [4, 4, 8, 8, 12, 12]
    assert value(gather(slots), 'sightglass_worker_up{worker="0"}') is None


def test_a_thousand_recycles_leave_one_series_and_three_files(slots: SlotDirectory) -> None:
    worker, _ = make_worker(slots)
    for _ in range(1000):
        heir = ProcessMetrics(CollectorRegistry())
        heir.directory, heir._inherited = slots, slots.read_totals(worker.slot)
        heir.metrics.observe(finished("GET", "/x", 200, 0.02, 10, 20, None))
        heir.keep()
    families = gather(slots)
    assert value(families, 'http_requests_total{method="GET",route="/x",status="200",worker="0"}') == 1000
    assert value(families, 'http_request_duration_seconds_bucket{method="GET",route="/x",le="+Inf",worker="0"}') == 1000
    assert sum(len(family[4]) for family in families if family[0] == "http_requests") == 1 + len(FAILURES)
    assert sorted(path.name for path in slots.path.iterdir()) == ["0.totals", "leases"]


def test_a_stopped_worker_is_down_and_still_told_of(slots: SlotDirectory) -> None:
    def serve() -> None:
        worker, _ = make_worker(slots)
        worker.listen()
        worker.metrics.observe(finished("GET", "/x", 200, 0.02, 10, 20, None))

    children = [Child(serve), Child(serve)]
    gather(slots, deadline=10)
    os.kill(children[0].pid, signal.SIGSTOP)
    os.waitpid(children[0].pid, os.WUNTRACED)  # the signal takes its time
    families = gather(slots)
    assert value(families, 'sightglass_worker_up{worker="0"}') == 0
    assert value(families, 'sightglass_worker_up{worker="1"}') == 1
    for worker in "01":
        assert value(families, f'http_requests_total{{method="GET",route="/x",status="200",worker="{worker}"}}') == 1
    assert value(families, 'http_requests_in_progress{worker="0"}') is None
    os.kill(children[0].pid, signal.SIGCONT)
    assert value(gather(slots, deadline=10), 'sightglass_worker_up{worker="0"}') == 1
    for child in children:
        child.kill()


def test_a_full_queue_and_half_an_answer_count_as_down(slots: SlotDirectory) -> None:
    listeners = []
    for slot in (0, 1):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(slots.socket(slot)))
        listener.listen(0)
        listeners.append(listener)
    blockers = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(3)]
    assert errno.EAGAIN in [blocker.connect_ex(str(slots.socket(0))) for blocker in blockers]

    def half() -> None:
        connection, _ = listeners[1].accept()
        connection.sendall(b"(\x02\x00\x00\x00half")
        connection.close()

    thread = threading.Thread(target=half)
    thread.start()
    families = gather(slots, deadline=0.3)
    thread.join()
    assert [value(families, f'sightglass_worker_up{{worker="{slot}"}}') for slot in (0, 1)] == [0, 0]
    for end in (*listeners, *blockers):
        end.close()


def _serving(slots: SlotDirectory) -> tuple[ProcessMetrics, CollectorRegistry]:
    """A worker in slot 0 that answers gatherers."""
    worker, registry = make_worker(slots)
    worker.metrics.observe(finished("GET", "/x", 200, 0.02, 10, 20, None))
    worker.listen()
    return worker, registry


@pytest.mark.parametrize(
    "amount", [np.float64(0.5), np.float32(0.5), np.int64(2), Decimal("0.5"), Fraction(1, 2), True]
)
def test_any_kind_of_number_may_be_counted(slots: SlotDirectory, amount: Any) -> None:
    _, registry = _serving(slots)
    counter = Counter("jobs", "Jobs.", registry=registry)
    if not isinstance(amount, Decimal):  # not to be added to a float
        counter.inc(amount)
        Histogram("took_seconds", "Took.", registry=registry).observe(amount)
        Summary("size_bytes", "Size.", registry=registry).observe(amount)
    registry.register(_Reports(amount))
    for _ in range(2):
        families = gather(slots, deadline=10)
        assert value(families, 'sightglass_worker_up{worker="0"}') == 1
        assert value(families, 'orders_open{shop="a",worker="0"}') == float(amount)
        assert f'orders_open{{shop="a",worker="0"}} {float(amount)}\n' in expose(families).body.decode()
    heir = ProcessMetrics(registry)
    heir._inherited = slots.read_totals(0)
    expected = 0.0 if isinstance(amount, Decimal) else 2 * float(amount)
    assert value(heir.families(), 'jobs_total{worker="0"}') == expected


class _Reports:
    """A custom collector that reports what it is given."""

    def __init__(self, number: Any, label: Any = "a") -> None:
        self._number = number
        self._label = label

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("orders_open", "Open orders.", labels=["shop"])
        family.add_metric([self._label], self._number)
        yield family


@pytest.mark.parametrize("broken", [_Reports(None), _Reports("many"), _Reports(1.0, label=7)])
def test_a_collector_that_reports_nonsense_is_left_out_alone(
    slots: SlotDirectory, caplog: pytest.LogCaptureFixture, broken: _Reports
) -> None:
    _, registry = _serving(slots)
    registry.register(broken)
    Counter("jobs", "Jobs.", registry=registry).inc(3)
    for _ in range(2):
        caplog.clear()
        families = gather(slots, deadline=10)
        assert value(families, 'sightglass_worker_up{worker="0"}') == 1
        assert value(families, 'jobs_total{worker="0"}') == 3
        assert "orders_open" not in expose(families).body.decode()
        assert caplog.messages[0].startswith("collector _Reports failed: ")


def test_a_scrape_that_fails_in_a_worker_is_said_and_not_its_last(
    slots: SlotDirectory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, _ = _serving(slots)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "families", lambda: [object()])
        assert value(gather(slots, deadline=10), 'sightglass_worker_up{worker="0"}') == 0
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.ERROR, "the metrics could not be told: ValueError")
    ]
    assert value(gather(slots, deadline=10), 'sightglass_worker_up{worker="0"}') == 1


def test_a_worker_without_descriptors_answers_when_it_has_some_again(
    slots: SlotDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OSError(errno.EMFILE, "Too many open files")]
    accept = socket.socket.accept

    def scarce(listener: socket.socket) -> Any:
        if failures:
            raise failures.pop()
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", scarce)
    monkeypatch.setattr("sightglass.metrics.process._PAUSE_SECONDS", 0.0)
    _serving(slots)
    assert value(gather(slots, deadline=10), 'sightglass_worker_up{worker="0"}') == 1
    assert failures == []


@pytest.mark.parametrize(
    "answer",
    [
        [("f", "gauge", "", "", [("f", b"\0" * 8, "")])],
        [("f", "gauge", "", "", [("f", 1, None)])],
        [("f", "gauge", "", None, [("f", 1, "")])],
        [("f", "gauge", "", "", [("f", 1)])],
        [("f", "gauge", "", "", [], "a version of ours with one more")],
        [7],
        7,
    ],
)
def test_what_a_worker_sends_cannot_end_a_scrape(slots: SlotDirectory, answer: Any) -> None:
    kept: Totals = {"jobs": ("counter", "", "", {"jobs_total": 3})}
    slots.write_totals(0, kept)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(slots.socket(0)))
    listener.listen()

    def send() -> None:
        connection, _ = listener.accept()
        connection.sendall(marshal.dumps(answer))
        connection.close()

    thread = threading.Thread(target=send)
    thread.start()
    families = gather(slots, deadline=10)
    thread.join()
    listener.close()
    assert value(families, 'sightglass_worker_up{worker="0"}') == 0
    assert value(families, "jobs_total") == 3
    assert expose(families).body


def test_type_of_a_family_is_that_of_the_workers_there_are(slots: SlotDirectory) -> None:
    slots.write_totals(0, {"depth": ("counter", "", "", {'depth_total{worker="0"}': 3})})
    registry = CollectorRegistry()
    Gauge("depth", "Depth.", registry=registry).set(5)
    worker = ProcessMetrics(registry)
    worker.directory, worker.slot = slots, 1
    worker.listen()
    text = expose(gather(slots, deadline=10)).body.decode()
    assert 'depth{worker="1"} 5.0' in text
    assert "depth_total" not in text


@pytest.mark.parametrize("content", [b"", b"(\x02\0\0\0half", marshal.dumps(7), marshal.dumps({"f": 7})])
def test_totals_that_cannot_be_read_count_as_none(slots: SlotDirectory, content: bytes) -> None:
    (slots.path / "0.totals").write_bytes(content)
    assert slots.read_totals(0) == {}


def test_totals_that_are_no_numbers_are_dropped_alone(slots: SlotDirectory) -> None:
    values: Any = {"jobs_total": 3, "score_sum": b"\0" * 8}
    slots.write_totals(0, {"f": ("counter", "", "", values)})
    assert slots.read_totals(0) == {"f": ("counter", "", "", {"jobs_total": 3})}


def test_collecting_while_requests_are_counted_loses_nothing() -> None:
    worker, _ = make_worker()
    stop = threading.Event()
    problems: list[BaseException] = []

    def collect() -> None:
        try:
            while not stop.is_set():
                worker.families()
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=collect)
    thread.start()
    for number in range(20_000):
        worker.metrics.observe(finished("GET", f"/{number % 500}", 200 + number % 7, 0.02, 1, 1, None))
    stop.set()
    thread.join()
    assert problems == []
    assert sum(sample[1] for sample in worker.families()[0][4]) == 20_000


_VALUES = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 1000))


@given(_VALUES, _VALUES)
def test_totals_never_go_backwards_and_add_up(before: dict[str, float], now: dict[str, float]) -> None:
    inherited: Totals = {"f": ("counter", "", "", dict(before)), "gone": ("counter", "", "", dict(before))}
    families, totals = continued([("f", "counter", "", "", [(k, v, "") for k, v in now.items()])], inherited)
    told = {key: number for key, number, _ in families[0][4]}
    assert told == {key: before.get(key, 0) + now.get(key, 0) for key in before | now}
    assert totals["f"][3] == told
    assert families[1] == ("gone", "counter", "", "", [(key, number, "") for key, number in before.items()])
    assert totals["gone"][3] == before
    assert inherited["f"][3] == before


def test_a_family_that_changed_its_type_starts_anew() -> None:
    inherited: Totals = {"f": ("counter", "", "", {"f_total": 7.0})}
    families, _ = continued([("f", "histogram", "", "", [("f_count", 1, "")])], inherited)
    assert families == [("f", "histogram", "", "", [("f_count", 1, "")])]


def _histogram(name: str, *bounds: float, labels: str = "") -> Family:
    """A family in which each bound, and so the count, was met once more than the last."""
    samples = [(f'{name}_bucket{{{labels}le="{bound}"}}', number, "") for number, bound in enumerate(bounds, 1)]
    return name, "histogram", "", "", [*samples, (f"{name}_count{{{labels}}}", len(bounds), "")]


@pytest.mark.parametrize("bounds", [(1, 2, math.inf), (5, math.inf), (0.5, 1, 5, math.inf)])
@pytest.mark.parametrize("labels", ["", 'le_="x",text="{,le=\\"9\\"",'])
def test_a_histogram_with_other_bounds_starts_anew(bounds: tuple[float, ...], labels: str) -> None:
    _, inherited = continued([_histogram("f", 1, 5, math.inf, labels=labels)], {})
    families, totals = continued([now := _histogram("f", *bounds, labels=labels)], inherited)
    assert families == [now]
    assert totals["f"][3] == {key: number for key, number, _ in now[4]}


def test_a_histogram_without_a_series_yet_keeps_its_totals() -> None:
    _, inherited = continued([_histogram("f", 1, math.inf)], {})
    families, totals = continued([("f", "histogram", "", "", [])], inherited)
    assert families == [_histogram("f", 1, math.inf)]
    assert totals == inherited
