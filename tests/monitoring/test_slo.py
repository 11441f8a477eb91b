"""The SLO definition, and what is derived from it."""

import copy
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring import slo
from monitoring.__main__ import main
from monitoring.generate import files
from monitoring.rules import SCRAPE_INTERVAL
from sightglass.metrics.requests import DURATION_BUCKETS
from tests.stack import ROOT

DOCUMENT = tomllib.loads((ROOT / "monitoring/slo.toml").read_text())


def changed(path: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    *groups, name = path.split(".")
    target = document
    for group in groups:
        target = target[group]
    target[name] = value
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("latency.threshold_seconds", 0.3),  # no bucket
        ("latency.threshold_seconds", 0),
        ("latency.objective_percent", 100),  # no budget
        ("availability.objective_percent", 93),  # 14.4 times its budget is more than everything
        ("availability.objective_percent", 101),
        ("window_days", 0),
        ("window_days", 91),
        ("minimum_errors", -1),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(path: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(path)}={value}(\.0)?: not allowed; expected "):
        slo.parse(changed(path, value))


def test_an_objective_reaches_rules_dashboards_and_page() -> None:
    texts = {
        path.name: text for path, text in files(ROOT, slo.parse(changed("latency.threshold_seconds", 0.25))).items()
    }
    assert 'le="0.25"' in texts["slo.yml"]
    assert 'le="0.5"' not in texts["slo.yml"]
    limits = [
        step["value"]
        for panel in json.loads(texts["overview.json"])["panels"]
        if panel.get("title") == "Request duration"
        for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    ]
    assert limits == [None, 0.25]
    assert "0.25 s" in texts["slo.md"]


def test_the_generated_files_are_what_would_be_generated() -> None:
    assert main(ROOT, check=True) == 0
    dashboards = {path for path in files(ROOT, slo.load()) if path.suffix == ".json"}
    assert set((ROOT / "grafana").rglob("*.json")) == dashboards


def test_a_changed_file_is_found_and_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path, check=False) == 0
    assert main(tmp_path, check=True) == 0
    rules = tmp_path / "docker/prometheus/rules/slo.yml"
    original = rules.read_text()
    rules.write_text(original.replace("14.4", "15"))
    capsys.readouterr()
    assert main(tmp_path, check=True) == 1
    assert capsys.readouterr().out == "docker/prometheus/rules/slo.yml\n"
    assert main(tmp_path, check=False) == 0
    assert rules.read_text() == original


def test_the_buckets_are_those_of_edge_and_api() -> None:
    edge = re.search(r"BUCKETS = \[(.*)\]", (ROOT / "docker/nginx/metrics.js").read_text())
    assert edge is not None
    assert tuple(map(float, edge[1].split(","))) == slo.BUCKETS == DURATION_BUCKETS


def test_the_scrape_interval_is_that_of_prometheus_and_grafana() -> None:
    prometheus = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())
    source = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert prometheus["global"]["scrape_interval"] == source["jsonData"]["timeInterval"] == f"{SCRAPE_INTERVAL}s"


def test_prometheus_keeps_more_than_the_window() -> None:
    compose = (ROOT / "docker" / "prometheus" / "compose.yml").read_text()
    kept = re.search(r"retention\.time=\$\{PROMETHEUS_RETENTION_TIME:-(\d+)d\}", compose)
    assert kept is not None
    assert int(kept[1]) > slo.load().window_days
