"""An application's own metrics that meet the stack's, or one another."""

import logging
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sightglass.metrics.exposition import expose
from sightglass.metrics.process import ProcessMetrics
from sightglass.metrics.slots import SlotDirectory
from tests.support.records import finished

Samples = dict[str, float]
UP = "sightglass_worker_up"
CONFLICTS = "sightglass_metric_conflicts_total"


def told(process: ProcessMetrics) -> Samples:
    """Return the series of a scrape without the label `worker`; fails on an exposition that is not valid."""
    families = process.families()
    text = expose(families).body.decode()
    openmetrics = expose(families, "application/openmetrics-text").body.decode()
    for parsed in (list(parse_text(text)), list(text_string_to_metric_families(openmetrics))):  # type: ignore[no-untyped-call]
        assert not [name for name, times in Tally(family.name for family in parsed).items() if times > 1]
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    assert not [key for key, times in Tally(key for key, _ in lines).items() if times > 1]
    return {key.replace(',worker="0"', "").replace('{worker="0"}', ""): float(value) for key, value in lines}


def process(*families: Any) -> ProcessMetrics:
    """Return a process that has answered one request, of an application with these metrics."""
    registry = CollectorRegistry()
    for family in families:
        registry.register(family)
    result = ProcessMetrics(registry)
    result.metrics.describe(version="1", revision="r", environment="production")
    result.metrics.observe(finished("GET", "/", 200, 0.1, 0, 0))
    return result


def counter() -> Counter:
    one = Counter("http_requests", "mine", ["handler", "status"], registry=None)
    one.labels("/a", "2xx").inc(3)
    return one


def gauge(name: str, number: float = 7) -> Gauge:
    one = Gauge(name, "mine", registry=None)
    one.set(number)
    return one


def histogram() -> Histogram:
    one = Histogram("http_request_duration_seconds", "mine", ["handler"], buckets=(1, 5), registry=None)
    one.labels("/a").observe(3)
    return one


def summary() -> Summary:
    one = Summary("http_request_size_bytes", "mine", registry=None)
    one.observe(3)
    return one


def info() -> Info:
    one = Info("app", "mine", registry=None)
    one.info({"flavour": "sweet"})
    return one


CASES: dict[str, tuple[Callable[[], Any], str, Samples]] = {
    "a counter with other labels": (
        counter,
        "http_requests",
        {'app_http_requests_total{handler="/a",status="2xx"}': 3},
    ),
    "a histogram with other labels": (
        histogram,
        "http_request_duration_seconds",
        {
            'app_http_request_duration_seconds_bucket{handler="/a",le="1.0"}': 0,
            'app_http_request_duration_seconds_bucket{handler="/a",le="5.0"}': 1,
            'app_http_request_duration_seconds_bucket{handler="/a",le="+Inf"}': 1,
            'app_http_request_duration_seconds_count{handler="/a"}': 1,
            'app_http_request_duration_seconds_sum{handler="/a"}': 3,
        },
    ),
    "another type": (
        summary,
        "http_request_size_bytes",
        {"app_http_request_size_bytes_count": 1, "app_http_request_size_bytes_sum": 3},
    ),
    "a gauge of a counter's name": (lambda: gauge("http_requests"), "http_requests", {"app_http_requests": 7}),
    "a gauge of a counter's series": (
        lambda: gauge("http_requests_total"),
        "http_requests_total",
        {"app_http_requests_total": 7},
    ),
    "a gauge of a histogram's series": (
        lambda: gauge("http_response_size_bytes_sum"),
        "http_response_size_bytes_sum",
        {"app_http_response_size_bytes_sum": 7},
    ),
    "a gauge like ours": (
        lambda: gauge("http_requests_in_progress"),
        "http_requests_in_progress",
        {"app_http_requests_in_progress": 7},
    ),
    "an info": (info, "app", {'app_app_info{flavour="sweet"}': 1}),
    "a gauge of an info's series": (lambda: gauge("app_info"), "app_info", {"app_app_info": 7}),
    "what the arbiter adds": (lambda: gauge(UP), UP, {f"app_{UP}": 7}),
    "what Prometheus says of a target": (lambda: gauge("up", 0), "up", {"app_up": 0}),
    "what Prometheus says of a scrape": (
        lambda: gauge("scrape_duration_seconds"),
        "scrape_duration_seconds",
        {"app_scrape_duration_seconds": 7},
    ),
    "what Prometheus says of alerts": (lambda: gauge("ALERTS"), "ALERTS", {"app_ALERTS": 7}),
    "a counter of Prometheus' name": (lambda: Counter("up", "mine", registry=None), "up", {"app_up_total": 0}),
    "the count of conflicts": (lambda: gauge(CONFLICTS), CONFLICTS, {f"app_{CONFLICTS}": 7}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_family_that_meets_one_of_ours_is_told_under_a_prefix_and_said_once(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, name, expected = CASES[case]
    own = told(process())
    both = process(make())
    for _ in range(3):
        samples = told(both)
        assert samples == own | expected | {f'{CONFLICTS}{{family="{name}"}}': 1}
    (line,) = [record for record in caplog.records if "metric" in record.getMessage()]
    assert (line.levelno, line.name) == (logging.WARNING, "sightglass.metrics.conflicts")
    assert f" {name} " in line.getMessage()
    assert f" app_{name}" in line.getMessage()


def test_families_that_meet_nothing_keep_their_names(caplog: pytest.LogCaptureFixture) -> None:
    names = ("worker_up", "http_requests_seen", "http_requests_sum", "app_http_requests", "queue_depth")
    samples = told(process(*(gauge(name) for name in names)))
    assert {name: samples[name] for name in names} == dict.fromkeys(names, 7)
    assert not [key for key in samples if key.startswith(CONFLICTS)]
    assert not caplog.records


def test_prefix_meets_no_name_of_the_application() -> None:
    for families in ([counter(), gauge("app_http_requests_total")], [gauge("app_http_requests_total"), counter()]):
        samples = told(process(*families))
        assert samples["app_http_requests_total"] == 7
        assert samples['app_app_http_requests_total{handler="/a",status="2xx"}'] == 3


class Custom:
    def __init__(self, *families: Metric) -> None:
        self._families = families

    def describe(self) -> Iterator[Metric]:
        yield from ()

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _family(name: str, number: float, **labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, "mine", labels=list(labels))
    family.add_metric(list(labels.values()), number)
    return family


def test_families_of_the_application_that_meet_one_another_are_all_told() -> None:
    other = Metric("depth", "mine", "counter")
    other.add_sample("depth_total", {}, 3)
    same, repeated = _family("depth", 2, queue="b"), _family("depth", 4, queue="a")
    samples = told(process(Custom(_family("depth", 1, queue="a"), same, other, repeated)))
    depths = {key: value for key, value in samples.items() if "depth" in key}
    assert depths == {
        'depth{queue="a"}': 1,
        'depth{queue="b"}': 2,
        "app_depth_total": 3,
        'app_app_depth{queue="a"}': 4,
        f'{CONFLICTS}{{family="depth"}}': 2,
    }


@given(st.lists(st.sampled_from(["worker", "exported_worker", "exported_exported_worker"]), unique=True))
def test_labels_named_as_ours_stay_apart(names: list[str]) -> None:
    samples = told(process(Custom(_family("depth", 1, **dict.fromkeys(names, "x")))))
    (key,) = [key for key in samples if key.startswith("depth")]
    assert key.count('="x"') == len(names)
    assert len({pair.split("=")[0] for pair in key[6:-1].split(",")}) == max(1, len(names))


def test_totals_of_a_family_with_a_prefix_go_on_in_a_successor() -> None:
    with TemporaryDirectory(dir="/dev/shm") as path:
        first, successor = process(counter()), process(counter())
        first.directory = SlotDirectory(Path(path))
        first.families()
        successor._inherited = first.directory.read_totals(0)
    samples = told(successor)
    assert samples['app_http_requests_total{handler="/a",status="2xx"}'] == 6
    assert samples[f'{CONFLICTS}{{family="http_requests"}}'] == 2
