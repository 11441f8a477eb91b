"""Prometheus scrapes everything that runs, and knows where alerts go."""

import httpx

from tests.stack import Stack, eventually

JOBS = {"api", "jobs", "nginx", "prometheus", "alertmanager", "node", "blackbox", "probe"}


def test_every_target_is_up(stack: Stack) -> None:
    def down() -> set[str]:
        return JOBS - {s["metric"]["job"] for s in stack.query("up == 1")}

    eventually(lambda: not down() and not stack.query("up == 0"), lambda: f"down: {down()} {stack.query('up == 0')}")


def test_alertmanager_is_wired(stack: Stack) -> None:
    def active() -> list[str]:
        answer = httpx.get(f"{stack.prometheus_url}/api/v1/alertmanagers").json()
        return [a["url"] for a in answer["data"]["activeAlertmanagers"]]

    eventually(lambda: len(active()) == 1, lambda: "no Alertmanager known to Prometheus")


def test_the_configuration_passes_promtool(stack: Stack) -> None:
    stack.compose("exec", "-T", "prometheus", "promtool", "check", "config", "/etc/sightglass/prometheus.yml")


def test_both_workers_are_seen(stack: Stack) -> None:
    eventually(lambda: stack.value("sum(sightglass_worker_up)") == 2, lambda: str(stack.query("sightglass_worker_up")))
