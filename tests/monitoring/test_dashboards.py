"""The committed dashboards as Grafana will read them: schema, layout, and the faults such dashboards usually have."""

import copy
import json
import re
import subprocess
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.live import panels
from tests.stack import ROOT

FILES = sorted((ROOT / "grafana").glob("**/dashboards/*.json"))
DASHBOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in FILES}
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['title']}") for name, board in DASHBOARDS.items() for panel in panels(board)
]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_no_key_is_unknown_to_grafana() -> None:
    """By the types of Grafana's own package, of the version that is run."""
    schema = ["node", str(ROOT / "monitoring/draw/schema.mjs"), *map(str, FILES)]
    found = subprocess.run(schema, capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("", "")


UNKNOWN: dict[str, Callable[[dict[str, Any]], object]] = {
    "annotation": lambda board: board["annotations"]["list"][0].update(expr="up"),
    "annotation without target": lambda board: board["annotations"]["list"][0].pop("target"),
    "link": lambda board: board["links"][0].update(place="top"),
    "variable": lambda board: board["templating"]["list"][0].update(auto=False),
    "panel": lambda board: board["panels"][1].update(colour="red"),
    "panel of a closed row": lambda board: board["panels"][-1]["panels"][0].update(colour="red"),
    "option": lambda board: board["panels"][1]["options"].update(legends={}),
    "setting": lambda board: board["panels"][1]["fieldConfig"]["defaults"].update(units="s"),
    "setting of its type": lambda board: board["panels"][1]["fieldConfig"]["defaults"]["custom"].update(lineWeight=1),
    "query": lambda board: board["panels"][1]["targets"][0].update(expression="up"),
}


def test_a_key_that_grafana_does_not_know_is_found(tmp_path: Path) -> None:
    paths = []
    for name, change in UNKNOWN.items():
        board = copy.deepcopy(DASHBOARDS["api"])
        change(board)
        paths.append(tmp_path / f"{name.replace(' ', '-')}.json")
        paths[-1].write_text(json.dumps(board))
    schema = ["node", str(ROOT / "monitoring/draw/schema.mjs"), *map(str, paths)]
    found = subprocess.run(schema, capture_output=True, text=True, check=False)
    assert {line.partition(":")[0] for line in found.stdout.splitlines()} == {path.name for path in paths}
    assert found.returncode == 1


def test_the_ids_of_dashboards_are_stable_and_unique() -> None:
    assert {name: board["uid"] for name, board in DASHBOARDS.items()} == {n: f"sightglass-{n}" for n in DASHBOARDS}
    assert len({board["title"] for board in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    board = DASHBOARDS[name]
    every = [panel for row in board["panels"] for panel in (row, *(row.get("panels") or ()))]
    ids = [panel["id"] for panel in every]
    assert len(set(ids)) == len(ids)
    places = [(panel["title"], panel["gridPos"]) for panel in every]
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
        # Alerts tint the Overview alone: elsewhere their colour would lie over what is looked for.
        expected = ["Deploys", "Alerts"] if board["uid"] == "sightglass-overview" else ["Deploys"]
        assert [annotation["name"] for annotation in board["annotations"]["list"]] == expected
        assert [link["tags"] for link in board["links"]] == [["sightglass"]]
        assert not any("placement" in shown for shown in (*board["links"], *board["annotations"]["list"]))
        assert "sightglass" in board["tags"]
        assert board["editable"] is False


def test_a_picker_of_one_value_is_not_shown() -> None:
    shown = {
        name: [variable["name"] for variable in board["templating"]["list"] if not variable.get("hide")]
        for name, board in DASHBOARDS.items()
    }
    assert shown == {
        "overview": [],
        "edge": ["route"],
        "api": ["job", "instance", "route"],
        "workers": ["job", "instance"],
        "model": ["job", "instance"],
        "jobs": ["instance"],
        "monitoring": ["job"],
        "telemetry": [],
    }


@pytest.mark.parametrize(("name", "title"), [("jobs", "Duration"), ("model", "Inference duration")])
def test_quantiles_of_few_events_are_taken_over_minutes(name: str, title: str) -> None:
    (panel,) = (panel for panel in panels(DASHBOARDS[name]) if panel["title"] == title)
    assert panel["interval"] == "5m"


def test_a_panel_of_rare_samples_says_what_it_waits_for() -> None:
    """A stack that is younger than the interval may have none, and that is no fault."""
    rare = [panel for board in DASHBOARDS.values() for panel in panels(board) if panel.get("interval")]
    assert [panel["title"] for panel in rare if "5 minutes" not in panel["fieldConfig"]["defaults"]["noValue"]] == []
    assert len(rare) >= 3


def test_latencies_of_the_api_lead_to_traces() -> None:
    source = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert [link["name"] for link in source["jsonData"]["exemplarTraceIdDestinations"]] == ["trace_id"]
    with_exemplars = [p for p in panels(DASHBOARDS["api"]) if any(target.get("exemplar") for target in p["targets"])]
    assert [panel["title"] for panel in with_exemplars] == ["Quantiles"]


def test_grafana_is_told_where_they_are() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())["services"]["grafana"]
    assert "./grafana:/etc/sightglass-grafana:ro" in compose["volumes"]
    told = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / compose["env_file"]).read_text(), re.MULTILINE))
    # By TELEMETRY, where that is unset the tree without logs and traces.
    provisioning = compose["environment"]["GF_PATHS_PROVISIONING"]
    assert provisioning == "/etc/sightglass-grafana/telemetry/${TELEMETRY:-false}"
    assert (ROOT / "grafana/telemetry/false").resolve() == ROOT / "grafana/provisioning"
    provider = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/sightglass.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/etc/sightglass-grafana/dashboards"
    assert provider["disableDeletion"] is False  # a dashboard that is no longer here is no longer there
    assert provider["folderUid"] == "sightglass"
    home = told["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == "/etc/sightglass-grafana/dashboards/overview.json"


def test_alertmanager_is_a_source_too() -> None:
    (source,) = yaml.safe_load((ROOT / "grafana/provisioning/datasources/alertmanager.yml").read_text())["datasources"]
    services = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())["services"]
    assert (source["type"], source["url"]) == ("alertmanager", "http://alertmanager:9093")
    assert set(services["alertmanager"]["networks"]) & set(services["grafana"]["networks"])
