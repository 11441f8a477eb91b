"""The committed dashboards as Grafana will read them: schema, layout, and the faults such dashboards usually have."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.live import panels
from tests.stack import ROOT

FILES = sorted((ROOT / "grafana/dashboards").glob("*.json"))
DASHBOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in FILES}
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['title']}") for name, board in DASHBOARDS.items() for panel in panels(board)
]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def keys(value: Any, at: str = "") -> set[str]:
    """Return every path of keys that holds something."""
    if isinstance(value, dict):
        return {path for key, inner in value.items() for path in keys(inner, f"{at}.{key}") | {f"{at}.{key}"}}
    if isinstance(value, list):
        return {path for inner in value for path in keys(inner, f"{at}[]")}
    return set()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_key_is_unknown_to_grafana(name: str) -> None:
    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(DASHBOARDS[name]), cls=JSONEncoder))
    assert keys(DASHBOARDS[name]) == keys(read)


def test_the_ids_of_dashboards_are_stable_and_unique() -> None:
    assert {name: board["uid"] for name, board in DASHBOARDS.items()} == {n: f"sightglass-{n}" for n in DASHBOARDS}
    assert len({board["title"] for board in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    board = DASHBOARDS[name]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
    for title, at in places:
        assert 0 <= at["x"] < at["x"] + at["w"] <= 24, title
    for (one, a), (other, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, f"{one} overlaps {other}"


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == SOURCE
    assert all(target["datasource"] == SOURCE for target in panel["targets"])
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["showLegend"]
        assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_is_not_coloured_by_grafanas_default_thresholds(panel: dict[str, Any]) -> None:
    """Grafana's own are green, and red from 80 on, whatever the panel shows."""
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    assert 80 not in [step["value"] for step in steps]
    assert steps or panel["type"] in {"timeseries", "table", "heatmap"}


@pytest.mark.parametrize("panel", PANELS)
def test_a_number_is_that_of_now(panel: dict[str, Any]) -> None:
    """The last value of a range may be hours old when what it is of has gone."""
    if panel["type"] == "stat":
        assert all(target["instant"] and not target.get("range") for target in panel["targets"])
        assert panel["options"]["graphMode"] == "none"


@pytest.mark.parametrize("panel", PANELS)
def test_a_panels_queries_have_no_usual_fault(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expr = target["expr"]
        # A fixed window is wrong at every zoom but one; numbers over a stated time are no graphs of a rate.
        if panel["type"] in {"timeseries", "heatmap"}:
            assert not re.search(r"\brate\([^()]*\[(?!\$__rate_interval)", expr), expr
        # A counter since its start says when the process was started.
        for counter in re.findall(r"\b\w+_(?:total|count|sum|bucket)\b(?=\{)", expr):
            covered = re.search(rf"(rate|increase|count|count by \(cpu\)) ?\({counter}\{{", expr)
            assert covered or counter == "edge_reloads_total", expr
        # An average hides what users wait for.
        assert not re.search(r"_seconds_sum", expr), expr
        assert "histogram_quantile" not in expr or "le" in re.findall(r"by \(([^)]*)\)", expr)[0].split(", "), expr


def test_every_dashboard_shares_what_dashboards_share() -> None:
    for board in DASHBOARDS.values():
        assert [variable["type"] for variable in board["templating"]["list"]][:2] == ["datasource", "query"]
        assert [variable["name"] for variable in board["templating"]["list"]][:2] == ["datasource", "job"]
        assert [annotation["name"] for annotation in board["annotations"]["list"]] == ["Deploys", "Alerts"]
        assert [link["tags"] for link in board["links"]] == [["sightglass"]]
        assert "sightglass" in board["tags"]
        assert board["editable"] is False


def test_latencies_of_the_api_lead_to_traces() -> None:
    source = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert [link["name"] for link in source["jsonData"]["exemplarTraceIdDestinations"]] == ["trace_id"]
    with_exemplars = [p for p in panels(DASHBOARDS["api"]) if any(target.get("exemplar") for target in p["targets"])]
    assert [panel["title"] for panel in with_exemplars] == ["Quantiles"]


def test_grafana_is_told_where_they_are() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())["services"]["grafana"]
    assert "./grafana:/etc/sightglass-grafana:ro" in compose["volumes"]
    assert compose["environment"]["GF_PATHS_PROVISIONING"] == "/etc/sightglass-grafana/provisioning"
    provider = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/sightglass.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/etc/sightglass-grafana/dashboards"
