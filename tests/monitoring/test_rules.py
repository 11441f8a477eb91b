"""Every rule and alert has a test of its own, and what an alert links to exists."""

import json
import re
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import pytest
import yaml

from monitoring.alerts import EXPECTED_JOBS, OPTIONAL_JOBS
from monitoring.telemetry import JOBS as TELEMETRY
from tests.stack import ROOT, Stack

PROMETHEUS = ROOT / "docker/prometheus"
TESTS = sorted((PROMETHEUS / "tests").glob("*_test.yml"))
RULES = [
    rule
    for path in sorted((PROMETHEUS / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"] for rule in RULES if "alert" in rule}
Shape = tuple[str, str, str]


def shape(alert: str, labels: dict[str, str]) -> Shape:
    """Tell the rules of one alert apart: by name, severity and window."""
    return alert, labels["severity"], labels.get("window", "")


SHAPES = {shape(rule["alert"], rule["labels"]) for rule in RULES if "alert" in rule}


@cache
def cases() -> list[dict[str, Any]]:
    return [case for path in TESTS for case in yaml.safe_load(path.read_text())["tests"]]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool(stack: Stack, path: Any) -> None:
    inside = f"/etc/sightglass/prometheus/tests/{path.name}"
    writable = ["--env", "TMPDIR=/prometheus"]  # nothing else in the container is
    result = stack.compose("exec", "-T", *writable, "prometheus", "promtool", "test", "rules", inside, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_finds_nothing_to_say_about_the_rules(stack: Stack) -> None:
    names = [f"/etc/sightglass/prometheus/rules/{path.name}" for path in (PROMETHEUS / "rules").glob("*.yml")]
    stack.compose("exec", "-T", "prometheus", "promtool", "check", "rules", "--lint=all", "--lint-fatal", *names)


@dataclass(frozen=True)
class Moment:
    """What a case of promtool expects of one alert at one time."""

    case: str
    seconds: int
    shapes: frozenset[Shape]
    """Those that fire."""


def seconds(duration: str) -> int:
    return sum(int(n) * {"h": 3600, "m": 60, "s": 1}[unit] for n, unit in re.findall(r"(\d+)([hms])", duration))


def moments(alert: str) -> list[Moment]:
    """Return what is expected of an alert, the moments of a case in their order."""
    found = [
        Moment(
            case["name"],
            seconds(one["eval_time"]),
            frozenset(shape(alert, expected["exp_labels"]) for expected in one["exp_alerts"]),
        )
        for case in cases()
        for one in case.get("alert_rule_test", ())
        if one["alertname"] == alert
    ]
    return sorted(found, key=lambda moment: (moment.case, moment.seconds))


def test_cases_have_names_of_their_own() -> None:
    names = [(path.name, case["name"]) for path in TESTS for case in yaml.safe_load(path.read_text())["tests"]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("alert", sorted(ALERTS - {"Watchdog"}))
def test_an_alert_is_proved_silent_in_a_case_where_it_never_fires(alert: str) -> None:
    firing = {moment.case for moment in moments(alert) if moment.shapes}
    assert {moment.case for moment in moments(alert)} - firing


@pytest.mark.parametrize("one", sorted(SHAPES - {("Watchdog", "none", "")}), ids=" ".join)
def test_an_alert_is_proved_silent_then_firing_for_a_while_then_silent(one: Shape) -> None:
    for _, moments_of_case in groupby(moments(one[0]), key=lambda moment: moment.case):
        seen = list(moments_of_case)
        fires = [moment.seconds for moment in seen if one in moment.shapes]
        silent = [moment.seconds for moment in seen if one not in moment.shapes]
        if fires and silent and min(silent) < fires[0] and fires[-1] - fires[0] >= 60 and max(silent) > fires[-1]:
            return
    pytest.fail("no case sees it silent, firing, firing a minute later and silent again")


def test_every_severity_of_an_alert_is_seen_firing() -> None:
    assert {shape for alert in ALERTS for moment in moments(alert) for shape in moment.shapes} == SHAPES
    assert {one["alertname"] for case in cases() for one in case.get("alert_rule_test", ())} == ALERTS


def test_every_recorded_series_is_computed_in_a_test() -> None:
    expected = {
        re.match(r"[\w:]+", sample["labels"])[0]  # type: ignore[index]
        for case in cases()
        for one in case.get("promql_expr_test", ())
        for sample in one["exp_samples"]
    }
    assert expected == {rule["record"] for rule in RULES if "record" in rule}


@pytest.mark.parametrize("rule", [pytest.param(r, id=r["alert"]) for r in RULES if "alert" in r])
def test_an_alert_can_be_acted_on(rule: dict[str, Any]) -> None:
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url", "logs_url"}
    assert rule["labels"]["severity"] in {"page", "ticket", "none"}
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert annotations["runbook_url"].rpartition("/runbook.md#")[2] in {heading.lower() for heading in headings}
    uids = {json.loads(path.read_text())["uid"] for path in (ROOT / "grafana").rglob("*.json")}
    assert annotations["dashboard_url"].rpartition("/d/")[2] in uids


def test_the_runbook_has_no_section_without_an_alert() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert set(headings) == ALERTS
    assert len(headings) == len(set(headings))


def test_the_jobs_missed_are_the_jobs_scraped() -> None:
    scraped = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())["scrape_configs"]
    optional = {*OPTIONAL_JOBS, "site", *TELEMETRY.split("|")}
    assert set(EXPECTED_JOBS) | {"api", "jobs"} | optional == {job["job_name"] for job in scraped}


def test_what_is_inhibited_and_routed_are_alerts_there_are() -> None:
    text = (ROOT / "docker/alertmanager.yml").read_text()
    named = {name for names in re.findall(r'alertname =~? "?([\w|]+)', text) for name in names.split("|")}
    assert named <= ALERTS


def test_what_a_blind_prometheus_does_not_find_is_no_news() -> None:
    said = yaml.safe_load((ROOT / "docker/alertmanager.yml").read_text())["inhibit_rules"]
    (target,) = (one["target_matchers"] for one in said if one["source_matchers"] == ["alertname = PrometheusBlind"])
    absent = {rule["alert"] for rule in RULES if "alert" in rule and "absent(" in rule["expr"]} - {"PrometheusBlind"}
    assert {"APIDown", "EdgeDown", "TargetMissing"} <= absent
    assert len(target) == 1
    assert absent <= set(target[0].removeprefix('alertname =~ "').removesuffix('"').split("|")) <= ALERTS
