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


def test_both_workers_of_the_api_and_the_job_process_are_seen(stack: Stack) -> None:
    def up() -> dict[str, str]:
        return {s["metric"]["job"]: s["value"][1] for s in stack.query("sum by (job) (sightglass_worker_up)")}

    eventually(lambda: up() == {"api": "2", "jobs": "1"}, lambda: str(up()))
