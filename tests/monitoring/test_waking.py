"""The API is stopped, and who is to be woken is; it is started again, and they hear of that too."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from monitoring.live import Prometheus, ask, interpolate, panels
from tests.monitoring.test_queries import DASHBOARDS, long_window, window
from tests.stack import ROOT, Stack, eventually

Notification = dict[str, Any]

LIST = 'night@example.org, Ops <ops@example.org>, "Day shift, all of it" <day@example.org>'


class Receiver:
    """The container that gets the notifications."""

    def __init__(self, name: str) -> None:
        self.name = name

    def received(self, path: str) -> list[Any]:
        """Return the bodies of what came by ``path``, oldest first."""
        logs = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True).stdout
        return [one["body"] for one in map(json.loads, logs.splitlines()) if one["path"] == path]

    def webhooks(self, alert: str, status: str) -> list[Notification]:
        return [
            body
            for body in self.received("/operators")
            if body["groupLabels"].get("alertname") == alert and body["status"] == status
        ]


@pytest.fixture(scope="module")
def receiver(stack: Stack) -> Iterator[Receiver]:
    """Alertmanager with every kind of receiver set, by settings and a file, and quicker than people would want it."""
    name = f"{stack.project}-receiver"
    secrets = stack.directory / "secrets"
    secrets.mkdir()
    (secrets / "slack").write_text(f"http://{name}:8080/slack")
    with stack.env_file.open("a") as file:
        file.write(
            f"ALERT_WEBHOOK_URL=http://{name}:8080/operators\n"
            f"ALERT_HEARTBEAT_URL=http://{name}:8080/heartbeat\n"
            "ALERT_SLACK_WEBHOOK_FILE=/run/secrets/slack\nALERT_SECRETS_DIR=./secrets\n"
            f"ALERT_EMAIL_TO='{LIST}'\nALERT_EMAIL_FROM='Sightglass <sightglass@example.org>'\n"
            f"ALERT_EMAIL_SMARTHOST={name}:2525\nALERT_EMAIL_REQUIRE_TLS=false\n"
            "ALERT_GROUP_WAIT=1s\nALERT_GROUP_INTERVAL=2s\n"
            "DOCS_URL=https://docs.example.org\nGRAFANA_URL=https://grafana.example.org\n"
        )
    script = f"{ROOT / 'tests/monitoring'}:/receiver:ro"
    run = ["run", "--detach", "--no-deps", "--name", name, "--volume", script, "--entrypoint", "python3", "api"]
    stack.compose(*run, "/receiver/receiver.py")
    try:
        # As anything that is notified, it is outside: the application's network has no way to Alertmanager, or back.
        subprocess.run(["docker", "network", "connect", f"{stack.project}_outside", name], check=True)
        stack.compose("up", "--detach", "--no-deps", "--wait", "prometheus", "alertmanager")
        yield Receiver(name)
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=True)


@pytest.fixture(scope="module")
def outage(stack: Stack, receiver: Receiver) -> Iterator[list[Notification]]:
    """What was received of APIDown when the API was stopped; it is started again afterwards."""
    stack.compose("stop", "--timeout", "1", "api")
    try:
        eventually(
            lambda: bool(receiver.webhooks("APIDown", "firing")),
            lambda: f"APIDown did not arrive: {receiver.received('/operators')}",
        )
        yield receiver.webhooks("APIDown", "firing")
    finally:
        stack.compose("up", "--detach", "--no-deps", "--wait", "api")


def assert_inhibited(stack: Stack, given: list[tuple[dict[str, str], bool]]) -> None:
    """Give Alertmanager these alerts, and see which of them it inhibits."""
    now = datetime.now(UTC)
    mark = {"test": now.isoformat()}
    posted = [{"labels": labels | mark, "endsAt": (now + timedelta(minutes=2)).isoformat()} for labels, _ in given]
    with httpx.Client(base_url=stack.alertmanager_url, trust_env=False) as alertmanager:
        assert alertmanager.post("/api/v2/alerts", json=posted).status_code == 200

        def inhibited() -> list[tuple[dict[str, str], bool]]:
            found = alertmanager.get("/api/v2/alerts", params={"filter": f'test="{mark["test"]}"'}).json()
            states = {frozenset(alert["labels"].items()): bool(alert["status"]["inhibitedBy"]) for alert in found}
            return [(labels, states.get(frozenset((labels | mark).items()), False)) for labels, _ in given]

        eventually(lambda: inhibited() == given, lambda: f"given {given}\nfound {inhibited()}")
        over = [alert | {"endsAt": now.isoformat()} for alert in posted]
        assert alertmanager.post("/api/v2/alerts", json=over).status_code == 200


def test_the_worse_form_of_an_alert_inhibits_the_lesser(stack: Stack, receiver: Receiver) -> None:
    assert not receiver.webhooks("APIDown", "firing")
    burn, certificate = {"alertname": "ErrorBudgetBurn"}, {"alertname": "CertificateExpiring"}
    assert_inhibited(
        stack,
        [
            (burn | {"slo": "availability", "severity": "page", "window": "1h"}, False),
            (burn | {"slo": "availability", "severity": "ticket", "window": "1d"}, True),
            (burn | {"slo": "latency", "severity": "ticket", "window": "1d"}, False),
            (certificate | {"severity": "page", "instance": "a"}, False),
            (certificate | {"severity": "ticket", "instance": "a"}, True),
            (certificate | {"severity": "ticket", "instance": "b"}, False),
            ({"alertname": "TargetDown", "job": "blackbox", "severity": "ticket"}, False),
            ({"alertname": "TargetDown", "job": "probe", "severity": "ticket"}, True),
            ({"alertname": "TargetDown", "job": "node", "severity": "ticket"}, False),
            ({"alertname": "TargetDown", "job": "nginx", "severity": "ticket"}, False),
            ({"alertname": "EdgeProbeFailing", "severity": "page"}, False),
        ],
    )


def test_without_an_edge_neither_the_prober_nor_its_target_is_news(stack: Stack, receiver: Receiver) -> None:
    assert not receiver.webhooks("APIDown", "firing")
    assert_inhibited(
        stack,
        [
            ({"alertname": "EdgeDown", "severity": "page"}, False),
            ({"alertname": "EdgeProbeFailing", "severity": "page"}, True),
            ({"alertname": "TargetDown", "job": "nginx", "severity": "ticket"}, True),
            ({"alertname": "TargetDown", "job": "node", "severity": "ticket"}, False),
        ],
    )


def test_a_page_says_what_where_and_what_to_do(outage: list[Notification]) -> None:
    assert len(outage) == 1
    (alert,) = outage[0]["alerts"]
    assert alert["labels"] == {"alertname": "APIDown", "severity": "page", "environment": "production"}
    assert alert["annotations"]["summary"] == "No instance of the API answers"
    assert alert["annotations"]["runbook_url"] == "https://docs.example.org/runbook.md#apidown"
    assert alert["annotations"]["dashboard_url"] == "https://grafana.example.org/d/sightglass-overview"


@pytest.mark.usefixtures("outage")
def test_it_comes_to_the_chat_and_by_mail_too(receiver: Receiver) -> None:
    def messages() -> list[Any]:
        attached = [message["attachments"][0] for message in receiver.received("/slack")]
        return [one for one in attached if "APIDown" in one["title"]]

    def mails() -> list[Any]:
        return [mail for mail in receiver.received("mail") if "APIDown" in mail]

    eventually(lambda: messages() and mails(), lambda: "not everywhere")
    assert receiver.received("recipients")[0] == ["night@example.org", "ops@example.org", "day@example.org"]
    (message,) = messages()
    assert message["title"] == "[FIRING 1] APIDown (production)"
    assert "No instance of the API answers" in message["text"]
    assert "https://docs.example.org/runbook.md#apidown" in message["text"]
    (mail,) = mails()
    assert "Subject: [FIRING 1] APIDown (production)" in mail
    assert "To: night@example.org" in mail
    assert "https://docs.example.org/runbook.md#apidown" in mail


@pytest.mark.usefixtures("outage")
def test_what_is_empty_when_healthy_is_not_now(stack: Stack) -> None:
    prometheus = Prometheus(stack.prometheus_url)
    overview = DASHBOARDS["overview"]
    (table,) = (p for p in panels(overview) if p["title"] == "Firing alerts" and p["type"] == "table")
    firing = {one.labels["alertname"] for one in ask(prometheus, table["targets"][0], window(), {})}
    assert "APIDown" in firing
    (annotation,) = (a for a in overview["annotations"]["list"] if a["name"] == "Alerts")
    (fired,) = prometheus.range(interpolate(annotation["target"]["expr"], window(), {}), long_window())
    assert fired.points[-1][1] >= 1


@pytest.mark.usefixtures("outage")
def test_the_consequences_of_an_outage_are_inhibited(stack: Stack) -> None:
    """Alertmanager is given what the outage would bring with time, and what it would not."""
    assert_inhibited(
        stack,
        [
            ({"alertname": "EdgeProbeFailing", "severity": "page"}, True),
            ({"alertname": "EdgeGatewayErrors", "severity": "ticket"}, True),
            ({"alertname": "ErrorBudgetBurn", "slo": "latency", "severity": "page", "window": "1h"}, True),
            ({"alertname": "ModelNotReady", "job": "api", "severity": "ticket"}, True),
            ({"alertname": "ModelNotReady", "job": "jobs", "severity": "ticket"}, False),
            ({"alertname": "WorkerHung", "severity": "ticket"}, True),
            ({"alertname": "ReplicaMissing", "job": "api", "severity": "ticket"}, True),
            ({"alertname": "ReplicaMissing", "job": "jobs", "severity": "ticket"}, False),
            ({"alertname": "TargetDown", "job": "api", "severity": "ticket"}, True),
            ({"alertname": "TargetDown", "job": "node", "severity": "ticket"}, False),
            ({"alertname": "HostMemoryLow", "severity": "ticket"}, False),
        ],
    )


def test_the_end_is_announced(stack: Stack, receiver: Receiver, outage: list[Notification]) -> None:
    assert outage
    stack.compose("up", "--detach", "--no-deps", "--wait", "api")
    eventually(
        lambda: bool(receiver.webhooks("APIDown", "resolved")),
        lambda: f"APIDown was not resolved: {receiver.received('/operators')}",
    )
    assert len(receiver.webhooks("APIDown", "firing")) == 1


@pytest.mark.usefixtures("receiver")
def test_with_a_receiver_somebody_is_notified(stack: Stack) -> None:
    prometheus = Prometheus(stack.prometheus_url)
    stack.wait_for_value("sum(up{job='alertmanager'})", 1)
    eventually(lambda: "NobodyNotified" not in prometheus.firing(), lambda: "NobodyNotified fires with a receiver")


def test_the_watchdog_is_heard_and_wakes_nobody(receiver: Receiver) -> None:
    eventually(lambda: bool(receiver.received("/heartbeat")), lambda: "no heartbeat")
    alerts = [alert["labels"]["alertname"] for body in receiver.received("/heartbeat") for alert in body["alerts"]]
    assert set(alerts) == {"Watchdog"}
    assert not receiver.webhooks("Watchdog", "firing")
