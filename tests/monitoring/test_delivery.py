"""docker/alertmanager/start.sh: settings become receivers, wrong ones end the start with one line."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

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


MAILBOXES = [
    "night@example.org",
    "Ops <b@example.org>",
    '"Ops, the night shift" <b@example.org>',
    "o'brien@example.org",
    "Grüße an alle <team+alerts@mail.example.org>",
    "Ops Team <root@localhost>",
]


@pytest.mark.parametrize("to", [*MAILBOXES, ", ".join(MAILBOXES), "a@example.org,b@example.org", " a@b.c , d@e.f "])
def test_mail_goes_to_lists_as_alertmanager_takes_them(tmp_path: Path, to: str) -> None:
    result = start(tmp_path, **everything(tmp_path) | {"ALERT_EMAIL_TO": to, "ALERT_EMAIL_FROM": MAILBOXES[1]})
    assert (result.returncode, result.stderr) == (0, "")
    mail = receivers(tmp_path)["operators"]["email_configs"][0]
    assert (mail["to"], mail["from"]) == (to, MAILBOXES[1])


@given(
    st.lists(st.tuples(st.text("abc .,'\u00fc", max_size=9), st.text("abc+-_'", min_size=1, max_size=9)), min_size=1)
)
@settings(max_examples=50)
def test_any_list_that_follows_the_rfc_is_taken_as_it_is(people: list[tuple[str, str]]) -> None:
    to = ", ".join(f'"{name}" <{local}@example.org>' if name else f"{local}@example.org" for name, local in people)
    with tempfile.TemporaryDirectory() as path:
        directory = Path(path)
        result = start(directory, **everything(directory) | {"ALERT_EMAIL_TO": to})
        assert (result.returncode, result.stderr) == (0, "")
        assert receivers(directory)["operators"]["email_configs"][0]["to"] == to


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALERT_GROUP_WAIT", "0s"),
        ("ALERT_GROUP_INTERVAL", "1h30m"),
        ("ALERT_REPEAT_INTERVAL", "2d"),
        ("ALERT_EMAIL_SMARTHOST", "[2001:db8::25]:587"),
        ("ALERT_EMAIL_SMARTHOST", "mail_relay:65535"),
        ("ALERT_WEBHOOK_URL", "http://user:pass@hooks_relay:8080/a%20b?c#d"),
        ("ALERT_WEBHOOK_URL", "https://[::1]:8443"),
    ],
)
def test_what_alertmanager_takes_is_passed_on(tmp_path: Path, name: str, value: str) -> None:
    result = start(tmp_path, **everything(tmp_path) | {name: value})
    assert (result.returncode, result.stderr) == (0, "")
    assert value in (tmp_path / "alertmanager.yml").read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALERT_WEBHOOK_URL", "http://"),
        ("ALERT_WEBHOOK_URL", "http://host:port/"),
        ("ALERT_WEBHOOK_URL", "http://host:99999/"),
        ("ALERT_WEBHOOK_URL", "https://host/%zz"),
        ("ALERT_WEBHOOK_URL", "https://host/{{ x }}"),
        ("ALERT_HEARTBEAT_URL", "https://?x"),
        ("ALERT_SLACK_WEBHOOK_FILE", "/tmp"),
        ("ALERT_EMAIL_TO", "a@b.c d@e.f"),
        ("ALERT_EMAIL_TO", "a@b.c; d@e.f"),
        ("ALERT_EMAIL_TO", "a@b.c,"),
        ("ALERT_EMAIL_TO", "a@b.c,,d@e.f"),
        ("ALERT_EMAIL_TO", "Ops <b@example.org"),
        ("ALERT_EMAIL_TO", "Ops b@example.org"),
        ("ALERT_EMAIL_TO", "Ops, all <b@example.org>, <>"),
        ("ALERT_EMAIL_TO", '"Ops <b@example.org>'),
        ("ALERT_EMAIL_TO", "a..b@example.org"),
        ("ALERT_EMAIL_TO", "{{ x }}@example.org"),
        ("ALERT_EMAIL_TO", "@example.org"),
        ("ALERT_EMAIL_TO", ","),
        ("ALERT_EMAIL_FROM", "a@b.c, d@e.f"),
        ("ALERT_EMAIL_SMARTHOST", "mail.example.org:0"),
        ("ALERT_EMAIL_SMARTHOST", "mail.example.org:70000"),
        ("ALERT_EMAIL_SMARTHOST", ":25"),
        ("ALERT_EMAIL_SMARTHOST", "::1:25"),
        ("ALERT_GROUP_INTERVAL", "0s"),
        ("ALERT_GROUP_INTERVAL", "0h0m"),
        ("ALERT_REPEAT_INTERVAL", "0d"),
        ("ALERT_GROUP_WAIT", "s"),
        ("ALERT_GROUP_WAIT", "-5s"),
        ("ALERT_GROUP_WAIT", "1m1h"),
        ("ALERT_GROUP_INTERVAL", "1.5h"),
        ("ALERT_REPEAT_INTERVAL", "999999999999h"),
        ("ALERT_WEBHOOK_URL", "hooks.example.org"),
        ("ALERT_WEBHOOK_URL", "https://a' b"),
        ("ALERT_WEBHOOK_URL", "https://a\n      - url: https://b"),
        ("ALERT_WEBHOOK_URL_FILE", "/no/such/file"),
        ("ALERT_SLACK_WEBHOOK_FILE", "relative"),
        ("ALERT_HEARTBEAT_URL", "ftp://a"),
        ("ALERT_EMAIL_TO", "nobody"),
        ("ALERT_EMAIL_TO", "a@b.c\nd@e.f"),
        ("ALERT_EMAIL_FROM", "'x"),
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
    values = {
        name: value if not value.startswith("/") else "/etc/hostname" for name, value in everything(tmp_path).items()
    }
    assignments = [argument for pair in values.items() for argument in ("--env", "=".join(pair))]
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
