"""What the Prometheus operator, and Grafana's sidecar, are told: targets, rules and dashboards."""

from functools import cache
from typing import Any

import yaml

from deploy.composed import ROOT
from deploy.leaves import InChart, Value
from deploy.workloads import METRICS, NAME, Object

RULES = {path.stem: path for path in sorted((ROOT / "docker/prometheus/rules").glob("*.yml"))}
DASHBOARDS = sorted(path for room in ("dashboards", "service") for path in (ROOT / "grafana" / room).glob("*.json"))
# What another namespace's Prometheus looks for, if it looks for anything in particular.
_SELECTED = Value("monitoring.labels", {"release": "prometheus"})


def _metadata(name: str) -> Object:
    return {"name": name, "labels": _SELECTED}


def pod_monitor() -> Object:
    """Give the targets; the job of each is its component's name, as it is in docker/prometheus.yml."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": _metadata(NAME),
        "spec": {
            "jobLabel": "app.kubernetes.io/component",
            "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "podMetricsEndpoints": [{"port": METRICS, "interval": "10s", "scrapeTimeout": "5s"}],
        },
    }


def rules() -> list[Object]:
    """Give the rules of docker/prometheus/rules."""
    return [_rule(name, groups=_groups(name)) for name in RULES]


def rule_template(name: str) -> Object:
    """Give the same for the chart, which has those files."""
    return _rule(name, groups=InChart(f'(.Files.Get "files/rules/{name}.yml" | fromYaml).groups | toYaml | nindent 4'))


def _rule(name: str, groups: Any) -> Object:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": _metadata(f"{NAME}-{name}"),
        "spec": {"groups": groups},
    }


@cache
def _groups(name: str) -> Any:
    return yaml.safe_load(RULES[name].read_text())["groups"]
