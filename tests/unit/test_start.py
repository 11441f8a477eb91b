"""What `make up` says of what did not start: the lines with the reason, whatever else is in the log."""

import json
from collections.abc import Sequence

import pytest
import yaml

from scripts import start
from scripts.commands import ROOT
from scripts.start import LINES, telling


def entry(message: str, level: str = "INFO", **more: object) -> str:
    return json.dumps({"level": level, "logger": "gunicorn.error", "message": message} | more)


REASON = "APP=main:app: importing it raised KeyError: 'PRICES' (/srv/app/main.py:3)"
# Of two workers, restarted: the reason is once in each start, and not near its end.
START = [
    entry("Starting gunicorn"), entry("Booting worker with pid: 8"), entry("Booting worker with pid: 9"), REASON,
    entry("Worker exiting (pid: 8)"), entry("Worker (pid:9) exited with code 4", "ERROR"),
    entry("Shutting down: Master", "ERROR"), entry("Reason: App failed to load.", "ERROR"),
]  # fmt: skip


@pytest.mark.parametrize("starts", [1, 2, 7])
def test_the_reason_is_shown_once_however_often_it_was_said(starts: int) -> None:
    assert telling(START * starts) == [REASON]


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        ([], []),
        (["only", "", "plain"], ["only", "plain"]),
        ([entry("a"), entry("b"), entry("c"), entry("d")], [entry("b"), entry("c"), entry("d")]),
        ([entry("no model", "ERROR", logger="service"), *START[-4:]], ["no model"]),
        (
            [entry("failed", "CRITICAL", exception={"type": "OSError", "stack": ["a.py:1 in f", "b.py:2 in g"]})],
            ["failed OSError b.py:2 in g"],
        ),
        ([f"{number}" for number in range(100)], [f"{number}" for number in range(100)][-LINES:]),
        (['["a list"]', "12"], ['["a list"]', "12"]),
    ],
)
def test_errors_and_lines_for_people_are_shown(log: Sequence[str], shown: Sequence[str]) -> None:
    assert telling(log) == shown


def container(name: str, status: str, code: int = 0, health: str | None = None, restarts: int = 0) -> dict[str, object]:
    state: dict[str, object] = {"Status": status, "ExitCode": code}
    if health:
        state["Health"] = {"Status": health}
    labels = {"com.docker.compose.service": name}
    return {"Id": name, "State": state, "Config": {"Labels": labels}, "RestartCount": restarts}


STACK = [
    container("setup", "exited"), container("nginx", "created"), container("prometheus", "running", health="healthy"),
    container("api", "restarting", 4, restarts=5),
]  # fmt: skip


def test_only_what_failed_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    logs = {"api": START, "nginx": [], "setup": ["certificate: kept"], "prometheus": ["ready"]}
    monkeypatch.setattr(start, "containers", lambda: STACK)
    monkeypatch.setattr(start, "why", lambda one: telling(logs[one["Id"]]))
    start.report("container sightglass-setup-1 exited (0)\n", {})
    assert capsys.readouterr().err == f"api did not start; the end of its log:\n    {REASON}\n"


def test_what_the_engine_refuses_is_said_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "containers", lambda: [container("prometheus", "running", health="starting")])
    monkeypatch.setattr(start, "why", lambda one: ["starting well"])
    refused = "Error response from daemon: Bind for 0.0.0.0:443 failed: port is already allocated"
    start.report(f" Container sightglass-nginx-1  Starting\n{refused}\n", {})
    assert capsys.readouterr().err == f"{refused}\n"


def test_where_no_container_says_anything_compose_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "containers", lambda: STACK[:3])
    monkeypatch.setattr(start, "why", lambda one: [])
    start.report("Bind for 0.0.0.0:443 failed: port is already allocated\n", {})
    assert capsys.readouterr().err == "Bind for 0.0.0.0:443 failed: port is already allocated\n"


@pytest.mark.parametrize(
    ("one", "removed"),
    [
        (container("api", "restarting", 4, restarts=1), True),
        (container("api", "running", health="starting", restarts=3), True),
        (container("api", "running", health="healthy", restarts=3), False),
        (container("api", "running", health="starting"), False),
        (container("setup", "exited", 2), False),
    ],
)
def test_what_loops_is_made_anew(monkeypatch: pytest.MonkeyPatch, one: dict[str, object], removed: bool) -> None:
    gone: list[object] = []
    monkeypatch.setattr(start, "containers", lambda: [one])
    monkeypatch.setattr(start, "remove", gone.extend)
    start.end_those_that_loop()
    assert gone == ([one["Id"]] if removed else [])


@pytest.mark.parametrize(
    ("value", "profiles"),
    [
        ({}, ["monitoring"]),
        ({"TELEMETRY": "false"}, ["monitoring"]),
        ({"TELEMETRY": "true"}, ["monitoring", "telemetry"]),
        ({"QUEUE_URL": "redis://valkey:6379/0"}, ["monitoring", "valkey"]),
        ({"QUEUE_URL": "redis://elsewhere:6379/0"}, ["monitoring"]),
        ({"QUEUE_URL": "rediss://:secret@valkey.example:6380/1"}, ["monitoring"]),
        ({"DATABASE_URL": "postgresql://sightglass@postgres/sightglass"}, ["monitoring", "postgres"]),
        ({"DATABASE_URL": "postgresql://postgres@elsewhere:5432/postgres"}, ["monitoring"]),
        ({"DATABASE_URL": "postgresql://[postgres"}, ["monitoring"]),
        ({"COMPOSE_PROFILES": "mine, backup,,monitoring"}, ["monitoring", "mine", "backup"]),
        (
            {"COMPOSE_PROFILES": "valkey", "QUEUE_URL": "redis://valkey", "TELEMETRY": "true"},
            ["monitoring", "telemetry", "valkey"],
        ),
    ],
)
def test_a_profile_is_started_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, value: dict[str, str], profiles: list[str]
) -> None:
    monkeypatch.setattr("scripts.environment.read", lambda *_names: value)
    start.compose.cache_clear()
    command = start.compose()
    start.compose.cache_clear()
    assert command == ("docker", "compose", *(word for profile in profiles for word in ("--profile", profile)))


def test_every_service_of_logs_and_traces_is_ended_with_them() -> None:
    services = yaml.safe_load((ROOT / "docker/telemetry/compose.yml").read_text())["services"]
    assert set(start.TELEMETRY) == set(services)
    assert all(service["profiles"] == ["telemetry"] for service in services.values())


def test_what_is_not_to_run_any_more_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.running.project", lambda: "shop")
    monkeypatch.setattr(start, "output", lambda *_: "collector\n")
    assert start.refused({"name": "shop", "services": {"api": {}, "jobs": {}}}) == []
