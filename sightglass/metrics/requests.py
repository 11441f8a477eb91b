"""The request metrics of one worker: plain lists and dicts that only the event loop's thread writes.

No locks: the thread that collects only copies, and each copy is one step under the interpreter lock.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from time import monotonic

from sightglass.metrics.families import Family, Sample, exemplar_text, number, series
from sightglass.record import Record

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds; the edge uses the same."""

SIZE_BUCKETS = tuple(float(256 * 8**power) for power in range(8))
"""Upper bounds in bytes: 256 B, 2 KiB, 16 KiB … 512 MiB."""

FAILURES = (500, 502, 503, 504)
"""Statuses counted from 0 once a route is seen, as at the edge: rate() cannot see the first value of a series."""

LAG_PERIOD_SECONDS = 1.0
"""Seconds between two measurements of the event loop's lag."""

_LAG_MEASUREMENTS = 15  # longer than the usual 10 s between scrapes, so that no peak is missed

FAMILIES = {
    "http_requests": "counter",
    "http_request_duration_seconds": "histogram",
    "http_time_to_first_byte_seconds": "histogram",
    "http_request_size_bytes": "histogram",
    "http_response_size_bytes": "histogram",
    "http_requests_in_progress": "gauge",
    "event_loop_lag_seconds": "gauge",
    "app": "info",
}
"""The type of each family collected here."""


class _Histogram:
    """Counts by bucket, the last one beyond every bound, and the sum of what was observed."""

    __slots__ = ("bounds", "count", "counts", "exemplars", "keys", "sum", "total")

    def __init__(self, name: str, bounds: Sequence[float], labels: list[tuple[str, str]], worker: str) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0
        self.exemplars: dict[int, tuple[str, float, float]] = {}
        limits = [number(float(bound)) for bound in (*bounds, float("inf"))]
        self.keys = [series(f"{name}_bucket", [*labels, ("le", limit)], worker) for limit in limits]
        self.count = series(f"{name}_count", labels, worker)
        self.total = series(f"{name}_sum", labels, worker)

    def samples(self) -> list[Sample]:
        counts, exemplars = self.counts[:], self.exemplars.copy()
        result: list[Sample] = []
        running = 0
        for index, count in enumerate(counts):
            running += count
            exemplar = exemplar_text(*exemplars[index]) if index in exemplars else ""
            result.append((self.keys[index], running, exemplar))
        result += [(self.count, running, ""), (self.total, self.sum, "")]
        return result


class _Route:
    """What is counted for one method and route."""

    __slots__ = ("duration", "first_byte", "labels", "request_size", "response_size", "statuses")

    def __init__(self, method: str, route: str, worker: str) -> None:
        self.labels = [("method", method), ("route", route)]
        self.statuses = dict.fromkeys(FAILURES, 0)
        self.duration = _Histogram("http_request_duration_seconds", DURATION_BUCKETS, self.labels, worker)
        self.first_byte = _Histogram("http_time_to_first_byte_seconds", DURATION_BUCKETS, self.labels, worker)
        self.request_size = _Histogram("http_request_size_bytes", SIZE_BUCKETS, self.labels, worker)
        self.response_size = _Histogram("http_response_size_bytes", SIZE_BUCKETS, self.labels, worker)


class RequestMetrics:
    """Counts requests and measures the event loop; call everything but `families` from the loop's thread."""

    def __init__(self) -> None:
        self.worker = "0"
        self.in_progress = 0
        self._build: list[tuple[str, str]] | None = None
        self._routes: dict[tuple[str, str], _Route] = {}
        self._connections: dict[tuple[str, str, int], int] = {}
        self._lags: deque[float] = deque(maxlen=_LAG_MEASUREMENTS)
        self._lag_due: float | None = None

    def describe(self, *, version: str, revision: str, environment: str) -> None:
        """Say which build is served, and where."""
        self._build = [("version", version), ("revision", revision), ("environment", environment)]

    def observe(self, record: Record) -> None:
        """Count one finished request; the trace it is in becomes an exemplar if it is sampled."""
        method, route, status, duration = record.method, record.route, record.status, record.duration
        counted = self._routes.get((method, route))
        if counted is None:
            counted = self._routes[method, route] = _Route(method, route, self.worker)
        statuses = counted.statuses
        statuses[status] = statuses.get(status, 0) + 1
        histogram = counted.duration
        index = bisect_left(DURATION_BUCKETS, duration)
        histogram.counts[index] += 1
        histogram.sum += duration
        context = record.context
        if context.sampled and context.trace_id is not None:
            histogram.exemplars[index] = (context.trace_id, duration, record.ended)
        if (first_byte := record.first_byte) is not None:
            histogram = counted.first_byte
            histogram.counts[bisect_left(DURATION_BUCKETS, first_byte)] += 1
            histogram.sum += first_byte
        histogram = counted.request_size
        histogram.counts[bisect_left(SIZE_BUCKETS, record.request_size)] += 1
        histogram.sum += record.request_size
        histogram = counted.response_size
        histogram.counts[bisect_left(SIZE_BUCKETS, record.response_size)] += 1
        histogram.sum += record.response_size

    def count_connection(self, record: Record) -> None:
        """Count one closed WebSocket connection: a GET (RFC 6455) answered by 101 or by what refused it."""
        method, route, status = record.method, record.route, record.status
        if (method, route, FAILURES[0]) not in self._connections:
            self._connections.update(dict.fromkeys(((method, route, failure) for failure in FAILURES), 0))
        key = (method, route, status)
        self._connections[key] = self._connections.get(key, 0) + 1

    def lag_expected(self, due: float) -> None:
        """Remember when the next measurement is due, in monotonic seconds, so that a blocked loop shows at once."""
        self._lag_due = due

    def lag_measured(self, lag: float) -> None:
        """Keep a measured lag in seconds."""
        self._lags.append(lag)

    def families(self) -> tuple[list[Family], list[Family]]:
        """Return what is counted and must continue in a successor, and what describes only this process."""
        worker, routes = self.worker, list(self._routes.values())
        totals: dict[tuple[str, str, int], int] = self._connections.copy()
        for route in routes:
            method, template = route.labels[0][1], route.labels[1][1]
            for status, count in route.statuses.copy().items():
                totals[method, template, status] = totals.get((method, template, status), 0) + count
        requests: list[Sample] = [
            (series("http_requests_total", _labels(*key), worker), count, "") for key, count in totals.items()
        ]
        counted: list[Family] = [
            ("http_requests", "counter", "Requests answered or given up.", "", requests),
            (
                "http_request_duration_seconds",
                "histogram",
                "Time from the request's arrival to the end of its response.",
                "seconds",
                [sample for route in routes for sample in route.duration.samples()],
            ),
            (
                "http_time_to_first_byte_seconds",
                "histogram",
                "Time from the request's arrival to the head of its response.",
                "seconds",
                [sample for route in routes for sample in route.first_byte.samples()],
            ),
            (
                "http_request_size_bytes",
                "histogram",
                "Bytes of the request bodies that were read.",
                "bytes",
                [sample for route in routes for sample in route.request_size.samples()],
            ),
            (
                "http_response_size_bytes",
                "histogram",
                "Bytes of the response bodies that were sent.",
                "bytes",
                [sample for route in routes for sample in route.response_size.samples()],
            ),
        ]
        return counted, self._state()

    def _state(self) -> list[Family]:
        worker = self.worker
        in_progress: Sample = (series("http_requests_in_progress", [], worker), self.in_progress, "")
        state: list[Family] = [
            ("http_requests_in_progress", "gauge", "Requests being answered.", "", [in_progress]),
        ]
        if self._build is not None:
            state.append(("app", "info", "The served build.", "", [(series("app_info", self._build, worker), 1, "")]))
        if (lag := self._lag()) is not None:
            help_text = "Longest delay of the event loop in the last 15 s, the current one included."
            sample: Sample = (series("event_loop_lag_seconds", [], worker), lag, "")
            state.append(("event_loop_lag_seconds", "gauge", help_text, "seconds", [sample]))
        return state

    def _lag(self) -> float | None:
        due = self._lag_due
        return None if due is None else max(0.0, monotonic() - due, *self._lags.copy())


def _labels(method: str, route: str, status: int) -> list[tuple[str, str]]:
    return [("method", method), ("route", route), ("status", str(status))]
