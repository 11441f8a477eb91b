"""The text, in both formats, and which of them a scraper gets."""

import gzip
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sightglass.metrics.exposition import expose
from sightglass.metrics.families import Family
from sightglass.metrics.process import ProcessMetrics
from tests.support.records import finished

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def parse_openmetrics(text: str) -> list[Metric]:
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def content_type(accept: str) -> str:
    return dict(expose([], accept).headers)["content-type"]


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        ("application/json", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0", OPENMETRICS),
        ('Application/OpenMetrics-Text; version="0.0.1"', OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0", TEXT),
        ("application/openmetrics-text; version=2.0.0, application/openmetrics-text; version=1.0.0;q=0.5", OPENMETRICS),
        ("application/openmetrics-text;q=0.5, text/plain;q=0.6", TEXT),
        ("application/openmetrics-text;q=0.6, text/plain;q=0.5", OPENMETRICS),
        ("application/openmetrics-text;q=0.5, text/plain;q=0.5", OPENMETRICS),
        ("application/openmetrics-text;q=0, */*", TEXT),
        ("application/openmetrics-text;q=nonsense", TEXT),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.1, */*;q=0.9", OPENMETRICS),
        # Prometheus 2.49
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OPENMETRICS,
        ),
        # Prometheus 3, and 3 with the text format preferred
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OPENMETRICS + "; escaping=underscores",
        ),
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.2",
            TEXT + "; escaping=underscores",
        ),
        # Prometheus with native histograms
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OPENMETRICS,
        ),
    ],
)
def test_the_preferred_format_is_given(accept: str, answer: str) -> None:
    assert content_type(accept) == answer


@given(st.text(), st.text())
def test_any_header_gets_a_whole_answer(accept: str, accept_encoding: str) -> None:
    response = expose([("f", "gauge", "", "", [("f", 1, "")])], accept, accept_encoding)
    headers = dict(response.headers)
    body = gzip.decompress(response.body) if "content-encoding" in headers else response.body
    assert int(headers["content-length"]) == len(response.body)
    assert headers["content-type"].startswith((OPENMETRICS, TEXT))
    assert b"f 1\n" in body


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [("gzip", True), ("br;q=1, gzip;q=0.5", True), ("*", True), ("", False), ("br", False), ("gzip;q=0", False)],
)
def test_gzip_when_it_is_accepted(accept_encoding: str, compressed: bool) -> None:
    headers = dict(expose([], "", accept_encoding).headers)
    assert ("content-encoding" in headers) is compressed
    assert headers["vary"] == "accept, accept-encoding"


def workers() -> list[Family]:
    families: list[Family] = []
    for slot in (0, 1):
        registry = CollectorRegistry()
        Counter("jobs", 'Jobs "done"\nor \\not.', ["status"], registry=registry).labels('a"\\\nb').inc(
            2.5, {"trace_id": "abc"}
        )
        Gauge("depth", "Depth.", ["worker"], registry=registry).labels("theirs").set(math.nan)
        Histogram("took_seconds", "Took.", buckets=(0.5, 1), unit="seconds", registry=registry).observe(
            0.7, {"trace_id": "def"}
        )
        Summary("size", "Size.", registry=registry).observe(3)
        Info("build", "Build.", registry=registry).info({"version": "1"})
        Enum("state", "State.", states=["on", "off"], registry=registry).state("off")
        worker = ProcessMetrics(registry)
        worker.slot, worker.metrics.worker = slot, str(slot)
        worker.metrics.describe(version="1", revision="r", environment="e")
        worker.metrics.observe(finished("GET", "/items/{item}", 200, 0.02, 0, 3000, "0af7651916cd43dd8448eb211c80319c"))
        families += worker.families()
    return families


def test_openmetrics_is_valid_and_whole() -> None:
    text = expose(workers(), OPENMETRICS).body.decode()
    families = {family.name: family for family in parse_openmetrics(text)}
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    for name, family in families.items():
        assert text.count(f"# TYPE {name} ") == 1
        assert {sample.labels["worker"] for sample in family.samples} == {"0", "1"}
    assert families["jobs"].documentation == 'Jobs "done"\nor \\not.'
    assert [s.labels["status"] for s in families["jobs"].samples] == ['a"\\\nb'] * 2
    assert families["took_seconds"].unit == "seconds"
    exemplars = {s.exemplar.labels["trace_id"] for f in families.values() for s in f.samples if s.exemplar}
    assert exemplars == {"abc", "def", "0af7651916cd43dd8448eb211c80319c"}
    assert [s.labels["exported_worker"] for s in families["depth"].samples] == ["theirs"] * 2
    buckets = [s.labels["le"] for s in families["http_request_duration_seconds"].samples if "le" in s.labels]
    assert buckets[:12] == ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"]
    sizes = [s for s in families["http_response_size_bytes"].samples if s.name.endswith("_bucket")]
    assert [s.value for s in sizes[:9]] == [0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert families["app"].type == "info"


def test_text_is_valid_and_has_no_exemplars() -> None:
    text = expose(workers()).body.decode()
    families = {family.name: family for family in parse_text(text)}
    assert "trace_id" not in text
    assert "# EOF" not in text
    assert families["jobs"].type == "counter"
    assert families["jobs"].documentation == 'Jobs "done"\nor \\not.'
    assert [s.labels["status"] for s in families["jobs"].samples] == ['a"\\\nb'] * 2
    assert families["app_info"].type == "gauge"
    assert families["state"].type == "gauge"
    for line in ("# TYPE jobs_total counter", "# TYPE took_seconds histogram", "# TYPE size summary"):
        assert text.count(line) == 1


def test_versions_of_an_app_that_disagree_leave_the_text_valid() -> None:
    old: Family = ("f", "counter", "", "", [('f_total{worker="0"}', 1, "")])
    new: Family = ("f", "gauge", "", "", [('f{worker="1"}', 1, "")])
    text = expose([old, new], OPENMETRICS).body.decode()
    assert [family.type for family in parse_openmetrics(text)] == ["counter"]


def test_half_of_a_surrogate_pair_spares_the_rest() -> None:
    registry = CollectorRegistry()
    Counter("jobs", "Jobs.", ["status"], registry=registry).labels("\ud800").inc()
    text = expose(ProcessMetrics(registry).families()).body.decode()
    assert 'jobs_total{status="?",worker="0"} 1.0\n' in text


def test_names_outside_the_classic_set_are_escaped() -> None:
    registry = CollectorRegistry()
    Counter("my.jobs", "Jobs.", ["the.label"], registry=registry).labels("ü").inc()
    text = expose(ProcessMetrics(registry).families()).body.decode()
    assert 'my_jobs_total{the_label="ü",worker="0"} 1.0\n' in text
