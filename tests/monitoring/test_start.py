"""How Prometheus starts: on the last good configuration where there is a broken one; how many replicas it expects."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from monitoring.live import Prometheus
from monitoring.telemetry import JOBS as TELEMETRY
from tests.stack import ROOT, Stack, eventually

RULES = "docker/prometheus/rules/causes.yml"
RELOADED = 'prometheus_config_last_reload_successful{job="prometheus"}'
EXPECTED = 'stack:replicas:expected{job="api"}'


@contextmanager
def instead(file: Path, text: str) -> Iterator[None]:
    """Put another text into a file for a while."""
    before = file.read_text()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)


def groups(stack: Stack) -> set[str]:
    return {group["name"] for group in Prometheus(stack.prometheus_url).rule_groups()}


def test_broken_rules_do_not_stop_it_and_are_told_of(stack: Stack) -> None:
    eventually(lambda: stack.value(RELOADED) == 1, lambda: "no configuration was loaded")
    before = groups(stack)
    with instead(stack.directory / RULES, "groups: ["):
        stack.compose("restart", "prometheus")
        stack.compose("up", "--detach", "--no-deps", "--wait", "prometheus")
        eventually(lambda: stack.value(RELOADED) == 0, lambda: stack.logs("prometheus"))
        assert groups(stack) == before
        assert "the last good one is used" in stack.logs("prometheus", tail=200)
    stack.compose("kill", "--signal", "HUP", "prometheus")
    eventually(lambda: stack.value(RELOADED) == 1, lambda: stack.logs("prometheus"))
    assert groups(stack) == before


@pytest.mark.parametrize("broken", ["global: [", "", "scrape_configs: [{job_name: a, bogus: 1}]"])
def test_a_broken_configuration_alone_is_no_start(stack: Stack, broken: str) -> None:
    """Where there never was a good one, what is wrong is said."""
    with instead(stack.directory / "docker/prometheus.yml", broken or "rule_files: [missing.yml]"):
        command = ["run", "--rm", "--no-deps", "-T", "--volume", "/prometheus", "prometheus"]
        result = stack.compose(*command, check=False)
    assert result.returncode == 1
    assert "FAILED" in result.stderr


def test_a_replica_less_than_expected_is_an_alert(stack: Stack) -> None:
    def state() -> str:
        rules = [r for g in Prometheus(stack.prometheus_url).rule_groups() for r in g["rules"]]
        (found,) = (str(r["state"]) for r in rules if r["name"] == "ReplicaMissing")
        return found

    def expect(number: str) -> None:
        stack.compose("exec", "-T", "prometheus", "sh", "/etc/sightglass/prometheus/expect.sh", number)

    eventually(lambda: stack.value(EXPECTED) == 1, lambda: str(stack.query(EXPECTED)))
    expect("2")
    try:
        eventually(lambda: state() in {"pending", "firing"}, state)
    finally:
        expect("1")
    eventually(lambda: state() == "inactive", state)


@pytest.mark.parametrize(("before", "given", "argument", "after"), [
    (None, "3", "--at-start", 3), ("3 of 3", "3", "--at-start", 3), ("5 of 3", "3", "--at-start", 5),
    ("5 of 3", "4", "--at-start", 4), ("5 of 3", "1", "--at-start", 1), (None, "", "--at-start", 1),
])  # fmt: skip
def test_what_was_said_last_counts_until_the_setting_changes(
    tmp_path: Path, before: str | None, given: str, argument: str, after: int
) -> None:
    file = tmp_path / "expected.yml"
    if before:
        number, setting = before.split(" of ")
        file.write_text(f"# API_REPLICAS={setting}\nvector({number})\n")
    assert expected(file, given, argument).returncode == 0
    assert f"vector({after}), labels: {{job: api}}" in file.read_text()


@pytest.mark.parametrize("jobs", ["0", "1", "3"])
def test_the_number_of_job_processes_is_the_settings(tmp_path: Path, jobs: str) -> None:
    file = tmp_path / "expected.yml"
    for before, argument in (("7", "--at-start"), (jobs, "--at-start")):
        assert expected(file, "2", argument, JOBS_REPLICAS=before).returncode == 0
    assert f"vector({jobs}), labels: {{job: jobs}}" in file.read_text()
    assert "vector(2), labels: {job: api}" in file.read_text()


def test_what_keeps_logs_and_traces_is_expected_where_it_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "expected.yml"
    for wanted, there in (("true", TELEMETRY.split("|")), ("", []), ("true", TELEMETRY.split("|")), ("false", [])):
        assert expected(file, "3", "--at-start", TELEMETRY=wanted).returncode == 0
        rules = yaml.safe_load(file.read_text())["groups"][0]["rules"]
        assert [one["labels"]["job"] for one in rules if one["record"] == "stack:telemetry:expected"] == there
        assert {one["labels"]["job"]: one["expr"] for one in rules}["api"] == "vector(3)"


def test_what_is_no_number_of_job_processes_is_refused(tmp_path: Path) -> None:
    result = expected(tmp_path / "expected.yml", "2", "--at-start", JOBS_REPLICAS="few")
    assert (result.returncode, result.stderr) == (2, "JOBS_REPLICAS=few: not allowed; expected a whole number\n")


@pytest.mark.parametrize("value", ["two", "-1", "1\n2", "1.5", "99999"])
def test_what_is_no_number_of_replicas_is_refused_in_one_line(tmp_path: Path, value: str) -> None:
    result = expected(tmp_path / "expected.yml", value, "--at-start")
    assert result.returncode == 2
    shown = value.replace("\n", "?")
    assert result.stderr == f"API_REPLICAS={shown}: not allowed; expected a whole number\n"


def expected(file: Path, given: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"EXPECTED": str(file), "API_REPLICAS": given} | more
    command = ["sh", str(ROOT / "docker/prometheus/expect.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
