"""The tool that draws: it finds each kind of fault, in a dashboard that has just that one."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.conftest import ENDS, MINUTES
from tests.stack import ROOT, free_ports
from tests.support.drawing import draw

PANEL: dict[str, Any] = {
    "id": 1,
    "type": "timeseries",
    "title": "Up",
    "gridPos": {"x": 0, "y": 0, "w": 12, "h": 8},
    "targets": [{"refId": "A", "expr": "up", "legendFormat": "{{job}} {{instance}}", "range": True}],
    "fieldConfig": {"defaults": {"unit": "short"}, "overrides": []},
    "options": {"legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}},
}
STAT = {
    "type": "stat",
    "options": {"colorMode": "value", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
    "targets": [{"refId": "A", "expr": "sum(up)", "instant": True}],
}
TABLE = {
    "type": "table",
    "options": {"showHeader": True},
    "gridPos": {"x": 0, "y": 0, "w": 8, "h": 8},
    "targets": [{"refId": "A", "expr": 'up{job="probe"}', "instant": True, "format": "table"}],
    "transformations": [{"id": "filterFieldsByName", "options": {"include": {"names": ["instance", "job"]}}}],
}
WIDE = {**TABLE, "gridPos": {"x": 0, "y": 0, "w": 4, "h": 8}}


def defaults(**settings: Any) -> dict[str, Any]:
    return {"fieldConfig": {"defaults": settings, "overrides": []}}


def targets(**settings: Any) -> dict[str, Any]:
    return {"targets": [{**PANEL["targets"][0], **settings}]}


def override(setting: str, value: Any) -> dict[str, Any]:
    matched = {"matcher": {"id": "byName", "options": "x"}, "properties": [{"id": setting, "value": value}]}
    return {"fieldConfig": {"defaults": {}, "overrides": [matched]}}


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "query": (targets(expr="sum("), "query A: invalid parameter"),
    "no data": (targets(expr="no_such_metric"), "No data"),
    "nothing but NaN": (targets(expr="0 * up / 0"), "No data"),
    "variable": (targets(expr='up{job=~"$missing"}'), "unknown variable $missing"),
    "type": ({"type": "no-such-panel"}, "unknown type no-such-panel"),
    "unit": (defaults(unit="furlongs"), "unknown unit furlongs"),
    "unit of an override": (override("unit", "furlongs"), "unknown unit furlongs"),
    "colour": (defaults(color={"mode": "fixed", "fixedColor": "greenish"}), "unknown colour greenish"),
    "colour of an override": (override("color", {"mode": "fixed", "fixedColor": "rot"}), "unknown colour rot"),
    "colour of a threshold": (
        defaults(thresholds={"mode": "absolute", "steps": [{"value": None, "color": "reddish"}]}),
        "unknown colour reddish",
    ),
    "colour of a mapping": (
        defaults(mappings=[{"type": "value", "options": {"1": {"text": "up", "color": "limey"}}}]),
        "unknown colour limey",
    ),
    "setting": (defaults(units="s"), "unknown setting units"),
    "setting of a graph": (defaults(custom={"lineWeight": 2}), "unknown setting custom.lineWeight"),
    "setting of another type": (STAT | defaults(custom={"lineWidth": 2}), "unknown setting custom.lineWidth"),
    "transformation": ({"transformations": [{"id": "shuffle", "options": {}}]}, "unknown transformation shuffle"),
    "names": (targets(legendFormat="target"), "two series of one name"),
    "title cut": (
        {"gridPos": {"x": 0, "y": 0, "w": 2, "h": 8}, "title": "Whether all of it is up"},
        "text cut: Whether",
    ),
    "cell cut": (WIDE, "text cut: https://nginx:8443/ready"),
    "columns out of sight": (WIDE | {"transformations": []}, "columns out of sight"),
}


def board(**panel: Any) -> dict[str, Any]:
    return {"title": "One panel", "panels": [{**copy.deepcopy(PANEL), **panel}]}


ANNOTATION = {"name": "Deploys", "enable": True, "iconColor": "blue"}
VARIABLE = {"name": "job", "type": "query", "query": {"query": "label_values(no_such_metric, job)"}}
BOARDS = {
    "right": board(),
    "right number": board(**STAT),
    "right table": board(**TABLE),
    "right to be empty": board(**targets(expr="no_such_metric"), **defaults(noValue="Not yet")),
    "allowed to be empty": board(**targets(expr="no_such_metric"), title="Allowed"),
    "annotation of old": board() | {"annotations": {"list": [ANNOTATION | {"expr": "up"}]}},
    "annotation without a name": board() | {"annotations": {"list": [ANNOTATION | {"target": {"expr": "up"}}]}},
    "annotation without a query": board() | {"annotations": {"list": [ANNOTATION | {"target": {"refId": "A"}}]}},
    "variable": board() | {"templating": {"list": [VARIABLE]}},
} | {f"panel {fault}": board(**panel) for fault, (panel, _) in FAULTS.items()}


def faults(prometheus: str, directory: Path, boards: dict[str, Any]) -> list[str]:
    paths = [directory / f"{name}.json" for name in boards]
    for path, content in zip(paths, boards.values(), strict=True):
        path.write_text(json.dumps(content))
    options = ("--allow", "Allowed")
    drawing = draw(prometheus, *paths, to=ENDS["load"], minutes=MINUTES, out=directory, options=options)
    assert drawing.status == int(bool(drawing.faults))
    assert all((directory / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in boards)
    return drawing.faults


@pytest.fixture(scope="module")
def found(lived: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is found in each of the dashboards, drawn in one go."""
    all_of_them = faults(lived, tmp_path_factory.mktemp("faults"), BOARDS)
    return {
        name: [fault.partition(": ")[2] for fault in all_of_them if fault.startswith(f"{name}: ")] for name in BOARDS
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(found: dict[str, list[str]], fault: str) -> None:
    panel, expected = FAULTS[fault]
    assert f"{panel.get('title', 'Up')}: {expected}" in "\n".join(found[f"panel {fault}"])


@pytest.mark.parametrize("name", [name for name in BOARDS if name.startswith(("right", "allowed"))])
def test_nothing_is_found_where_nothing_is_wrong(found: dict[str, list[str]], name: str) -> None:
    assert found[name] == []


@pytest.mark.parametrize("name", [name for name in BOARDS if name.startswith("annotation")])
def test_an_annotation_without_a_query_is_found(found: dict[str, list[str]], name: str) -> None:
    assert found[name] == ["annotation Deploys: no target with expr and refId"]


def test_a_variable_that_offers_nothing_is_found(found: dict[str, list[str]]) -> None:
    assert found["variable"] == ["variable job: it offers no value"]


def test_a_prometheus_that_is_not_there_is_said(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    assert "ECONNREFUSED" in faults(f"http://127.0.0.1:{port}", tmp_path, {"right": board()})[0]


def test_the_packages_are_of_the_line_of_the_grafana_that_is_run() -> None:
    """They are not published for every patch release of an image."""
    pinned = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())["services"]["grafana"]["image"]
    packages = json.loads((ROOT / "monitoring/draw/package.json").read_text())["dependencies"]
    (version,) = {packages[f"@grafana/{name}"] for name in ("data", "schema", "ui")}
    line = re.search(r"grafana/grafana:(\d+\.\d+)\.", pinned)
    assert line is not None
    assert version.startswith(f"{line[1]}.")


def test_the_lock_file_names_no_host() -> None:
    lock = json.loads((ROOT / "monitoring/draw/package-lock.json").read_text())["packages"]
    assert [name for name, package in lock.items() if "resolved" in package] == []
    assert [name for name, package in lock.items() if name and "integrity" not in package] == []
