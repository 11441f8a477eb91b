"""docker/alertmanager/start.sh: settings become receivers, wrong ones end the start with one line."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.live import Prometheus
from tests.stack import ROOT, Stack, eventually

SCRIPT = ROOT / "docker/alertmanager/start.sh"


def start(directory: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a stand-in for Alertmanager that only says how it was called."""
    binary = directory / "alertmanager"
    binary.write_text('#!/bin/sh\necho "$@"\n')
    binary.chmod(0o755)
    environment = {"PATH": f"{directory}:{os.environ['PATH']}", "ALERTMANAGER_RENDER_DIR": str(directory), **settings}
    return subprocess.run(
        ["sh", str(SCRIPT), "--storage.path=/x"], env=environment, capture_output=True, text=True, check=False
    )


def receivers(directory: Path) -> dict[str, dict[str, Any]]:
    rendered = yaml.safe_load((directory / "alertmanager.yml").read_text())
    return {one.pop("name"): one for one in rendered["receivers"]}


def test_nothing_configured_is_said(tmp_path: Path) -> None:
    result = start(tmp_path)
    assert result.returncode == 0
    assert result.stdout.split() == [
        f"--config.file={tmp_path}/alertmanager.yml",
        "--cluster.listen-address=",
        "--storage.path=/x",
    ]
    assert result.stderr == (
        "No ALERT_* receiver is set: alerts are shown by Alertmanager and Grafana and sent to nobody.\n"
    )
    assert receivers(tmp_path) == {"operators": {}, "heartbeat": {}}
    unchanged = yaml.safe_load((ROOT / "docker/alertmanager.yml").read_text())
    rendered = yaml.safe_load((tmp_path / "alertmanager.yml").read_text())
    assert rendered.pop("templates") == [f"{SCRIPT.parent}/*.tmpl"]
    assert rendered == unchanged


def everything(directory: Path) -> dict[str, str]:
    for name in ("slack", "password"):
        (directory / name).write_text("secret-text")
    return {
        "ALERT_WEBHOOK_URL": "https://hooks.example.org/a?b=c&d=e",
        "ALERT_SLACK_WEBHOOK_FILE": str(directory / "slack"),
        "ALERT_EMAIL_TO": "night@example.org",
        "ALERT_EMAIL_FROM": "sightglass@example.org",
        "ALERT_EMAIL_SMARTHOST": "mail.example.org:587",
        "ALERT_EMAIL_USERNAME": "sightglass",
        "ALERT_EMAIL_PASSWORD_FILE": str(directory / "password"),
        "ALERT_HEARTBEAT_URL": "https://deadman.example.org/",
        "ALERT_GROUP_WAIT": "2s",
        "ALERT_GROUP_INTERVAL": "3m",
        "ALERT_REPEAT_INTERVAL": "4h",
    }


def test_every_setting_arrives_and_no_secret_is_copied(tmp_path: Path) -> None:
    result = start(tmp_path, **everything(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    found = receivers(tmp_path)
    assert found["operators"]["webhook_configs"] == [{"url": "https://hooks.example.org/a?b=c&d=e"}]
    slack = found["operators"]["slack_configs"][0]
    assert slack["api_url_file"] == str(tmp_path / "slack")
    mail = found["operators"]["email_configs"][0]
    assert mail["auth_password_file"] == str(tmp_path / "password")
    assert (mail["to"], mail["from"], mail["smarthost"], mail["require_tls"]) == (
        "night@example.org",
        "sightglass@example.org",
        "mail.example.org:587",
        True,
    )
    assert found["heartbeat"]["webhook_configs"] == [{"url": "https://deadman.example.org/", "send_resolved": False}]
    text = (tmp_path / "alertmanager.yml").read_text()
    assert "secret-text" not in text
    route = yaml.safe_load(text)["route"]
    assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == ("2s", "3m", "4h")


def test_the_webhooks_address_may_be_a_secret_too(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("https://hooks.example.org/secret")
    assert start(tmp_path, ALERT_WEBHOOK_URL_FILE=str(tmp_path / "hook")).returncode == 0
    assert receivers(tmp_path)["operators"] == {"webhook_configs": [{"url_file": str(tmp_path / "hook")}]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALERT_WEBHOOK_URL", "hooks.example.org"),
        ("ALERT_WEBHOOK_URL", "https://a' b"),
        ("ALERT_WEBHOOK_URL", "https://a\n      - url: https://b"),
        ("ALERT_WEBHOOK_URL_FILE", "/no/such/file"),
        ("ALERT_SLACK_WEBHOOK_FILE", "relative"),
        ("ALERT_HEARTBEAT_URL", "ftp://a"),
        ("ALERT_EMAIL_TO", "nobody"),
        ("ALERT_EMAIL_TO", "a@b.c\nd@e.f"),
        ("ALERT_EMAIL_FROM", "'@x"),
        ("ALERT_EMAIL_SMARTHOST", "mail.example.org"),
        ("ALERT_EMAIL_USERNAME", "a 'b"),
        ("ALERT_EMAIL_PASSWORD_FILE", "/dev/null"),
        ("ALERT_EMAIL_REQUIRE_TLS", "maybe"),
        ("ALERT_GROUP_WAIT", "soon"),
        ("ALERT_GROUP_INTERVAL", "5 m"),
        ("ALERT_REPEAT_INTERVAL", "1d|x"),
    ],
)
def test_a_wrong_value_ends_the_start_with_one_line(tmp_path: Path, name: str, value: str) -> None:
    result = start(tmp_path, **everything(tmp_path) | {name: value})
    assert result.returncode == 2
    assert result.stdout == ""
    shown = value.replace("\n", "?")
    assert result.stderr.startswith(f"{name}={shown}: not allowed; expected ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("ALERT_EMAIL_TO", "ALERT_EMAIL_FROM"),
        ("ALERT_EMAIL_TO", "ALERT_EMAIL_SMARTHOST"),
        ("ALERT_EMAIL_USERNAME", "ALERT_EMAIL_PASSWORD_FILE"),
    ],
)
def test_half_a_receiver_is_refused(tmp_path: Path, given: str, missing: str) -> None:
    result = start(tmp_path, **everything(tmp_path) | {missing: ""})
    assert result.returncode == 2
    assert result.stderr == f"{missing}=: not allowed; expected a value, because {given} is set\n"


def test_alertmanager_accepts_what_is_rendered(stack: Stack, tmp_path: Path) -> None:
    settings = {
        name: value if not value.startswith("/") else "/etc/hostname" for name, value in everything(tmp_path).items()
    }
    assignments = [argument for pair in settings.items() for argument in ("--env", "=".join(pair))]
    script = (
        "sh /etc/sightglass/alertmanager/start.sh --version && amtool check-config /tmp/alertmanager/alertmanager.yml"
    )
    run = ["run", "--rm", "--no-deps", "-T", *assignments, "--entrypoint", "sh", "alertmanager", "-c", script]
    checked = stack.compose(*run).stdout
    assert "SUCCESS" in checked
    assert "1 templates" in checked


def test_a_heartbeat_alone_is_nobody_notified(stack: Stack) -> None:
    known = 'alertmanager_notifications_total{receiver_name="heartbeat"}'
    stack.set(ALERT_HEARTBEAT_URL="http://127.0.0.1:9/")
    try:
        eventually(lambda: bool(stack.query(known)), lambda: "the heartbeat is not known")
        for _ in range(2):
            stack.wait_for_scrape()  # rules are evaluated as often
        assert "NobodyNotified" in Prometheus(stack.prometheus_url).firing()
    finally:
        stack.set(ALERT_HEARTBEAT_URL="")
