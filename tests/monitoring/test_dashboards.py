"""The committed dashboards as Grafana will read them: schema, layout, and the faults such dashboards usually have."""

import copy
import json
import os
import re
import subprocess
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.groups import PANELS as SHOWN_ON
from monitoring.live import panels
from monitoring.rules import cause_rules, slo_rules
from monitoring.slo import load
from tests.stack import ROOT

FILES = sorted((ROOT / "grafana").rglob("*.json"))
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
        assert board["templating"]["list"][0]["name"] == "datasource"
        # Alerts tint the Overview alone: elsewhere their colour would lie over what is looked for.
        expected = ["Deploys", "Verdicts", *(["Alerts"] if board["uid"] == "sightglass-overview" else [])]
        assert [annotation["name"] for annotation in board["annotations"]["list"]] == expected
        (link,) = board["links"]  # to each other, with time and what is chosen
        assert (link["tags"], link["includeVars"], link["keepTime"]) == (["sightglass"], True, True)
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
        "api": ["instance", "route"],
        "workers": ["job", "instance"],
        "model": ["job", "instance"],
        "jobs": ["process"],
        "monitoring": ["scraped"],
        "runbook": [],
        "telemetry": [],
    }


def test_what_is_chosen_means_the_same_on_every_dashboard_that_has_it() -> None:
    """Links hand it on: a name that stands for something else elsewhere would leave a dashboard empty."""
    queries: dict[str, set[str]] = {}
    for board in DASHBOARDS.values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                label = variable["definition"].rpartition(", ")[2].rstrip(")")
                queries.setdefault(variable["name"], set()).add(label)
    assert all(len(labels) == 1 for labels in queries.values())
    assert set(queries) == {"route", "instance", "job", "process", "scraped"}


@pytest.mark.parametrize(("name", "title"), [("jobs", "Duration"), ("model", "Inference duration")])
def test_quantiles_of_few_events_are_taken_over_minutes(name: str, title: str) -> None:
    (panel,) = (panel for panel in panels(DASHBOARDS[name]) if panel["title"] == title)
    assert panel["interval"] == "5m"


def test_a_panel_of_rare_samples_says_what_it_waits_for() -> None:
    """A stack that is younger than the interval may have none, and that is no fault."""
    rare = [panel for board in DASHBOARDS.values() for panel in panels(board) if panel.get("interval")]
    assert [panel["title"] for panel in rare if "5 minutes" not in panel["fieldConfig"]["defaults"]["noValue"]] == []
    assert len(rare) >= 3


@pytest.mark.parametrize("alert", SHOWN_ON)
def test_an_alert_leads_to_its_panel_and_to_its_section_of_the_runbook(alert: str) -> None:
    titles = {
        (name, panel["id"]): panel["title"]
        for name, board in DASHBOARDS.items()
        for row in board["panels"]
        for panel in (row, *row.get("panels", ()))
        if panel["type"] != "row"
    }
    (table,) = (p for p in panels(DASHBOARDS["overview"]) if (p["type"], p["title"]) == ("table", "Firing alerts"))
    led = re.findall(
        rf'"(shown|runbook)", "(\w+)\?viewPanel=panel-(\d+)", "alertname", "{alert}"', table["targets"][0]["expr"]
    )
    assert [(label, titles[board, int(at)]) for label, board, at in led] == [
        ("shown", SHOWN_ON[alert]), ("runbook", alert),
    ]  # fmt: skip
    rules = [rule for group in cause_rules()["groups"] + slo_rules(load())["groups"] for rule in group["rules"]]
    urls = {rule["annotations"]["dashboard_url"] for rule in rules if rule.get("alert") == alert}
    assert {url.rpartition("/d/")[2] for url in urls} == {f"sightglass-{led[0][1]}"}


def test_every_alert_leads_somewhere() -> None:
    rules = [rule for group in cause_rules()["groups"] + slo_rules(load())["groups"] for rule in group["rules"]]
    assert {rule["alert"] for rule in rules if "alert" in rule} == set(SHOWN_ON)


def test_latencies_of_the_api_lead_to_traces() -> None:
    source = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert [link["name"] for link in source["jsonData"]["exemplarTraceIdDestinations"]] == ["$TRACE_LABEL"]
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
    provider, service = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/sightglass.yml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == "/etc/sightglass-grafana/dashboards"
    assert service["options"]["path"] == "/etc/sightglass-grafana/$SERVICE_DASHBOARDS"
    assert service | {key: provider[key] for key in ("name", "options")} == provider
    assert provider["disableDeletion"] is False  # a dashboard that is no longer here is no longer there
    assert provider["folderUid"] == "sightglass"
    home = told["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == "/etc/sightglass-grafana/dashboards/overview.json"


def grafanas_environment(**settings: str) -> dict[str, str]:
    compose = (
        "docker",
        "compose",
        "--env-file",
        "/dev/null",
        "-f",
        "docker-compose.prod.yml",
        "--profile",
        "monitoring",
    )
    given = {"PATH": os.environ["PATH"], **settings}
    command = [*compose, "config", "--format", "json"]
    shown = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=True)
    environment: dict[str, str] = json.loads(shown.stdout)["services"]["grafana"]["environment"]
    return environment


@pytest.mark.parametrize(("app", "directory"), [({}, "service"), ({"APP": "shop.main:app"}, "no-service")])
def test_what_only_the_shipped_service_has_is_beside_it_alone(app: dict[str, str], directory: str) -> None:
    assert grafanas_environment(**app)["SERVICE_DASHBOARDS"] == directory
    there = {path.stem for path in (ROOT / "grafana" / directory).iterdir() if path.suffix == ".json"}
    assert there == ({"model", "jobs"} if directory == "service" else set())


@pytest.mark.parametrize(("name", "board"), DASHBOARDS.items())
def test_a_dashboard_of_any_application_asks_for_nothing_of_the_services(name: str, board: dict[str, Any]) -> None:
    asked = " ".join(target["expr"] for panel in panels(board) for target in panel["targets"])
    of_the_service = re.search(r"\b(sightglass_model_|model_|pii_detected|jobs_total|job_(duration|queue))", asked)
    assert bool(of_the_service) == (name in {"model", "jobs"}), of_the_service


@pytest.mark.parametrize(("url", "label"), [({}, ""), ({"TRACE_URL": "https://traces.example.org/"}, "trace_id")])
def test_a_trace_is_linked_where_there_is_somewhere_to_go(url: dict[str, str], label: str) -> None:
    """An exemplar has no label of an empty name."""
    assert grafanas_environment(**url)["TRACE_LABEL"] == label


def test_alertmanager_is_a_source_too() -> None:
    (source,) = yaml.safe_load((ROOT / "grafana/provisioning/datasources/alertmanager.yml").read_text())["datasources"]
    services = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())["services"]
    assert (source["type"], source["url"]) == ("alertmanager", "http://alertmanager:9093")
    assert set(services["alertmanager"]["networks"]) & set(services["grafana"]["networks"])
