"""What the Prometheus operator, and Grafana's sidecar, are told: targets, rules and dashboards."""

import re
from functools import cache
from typing import Any

import yaml

from deploy.composed import ROOT
from deploy.leaves import InChart, Value
from deploy.workloads import API, JOBS, METRICS, NAME, NGINX, Object
from monitoring.alerts import logs_url

RULES = {path.stem: path for path in sorted((ROOT / "docker/prometheus/rules").glob("*.yml"))}
DASHBOARDS = sorted(path for room in ("dashboards", "service") for path in (ROOT / "grafana" / room).glob("*.json"))
# What another namespace's Prometheus looks for, if it looks for anything in particular.
_SELECTED = Value("monitoring.labels", {"release": "prometheus"})


def metadata(name: str) -> Object:
    """Give an object's own metadata, with what an operator selects it by."""
    return {"name": name, "labels": _SELECTED}


_NOT_HERE = {"host", "backup", "monitoring", "telemetry"}
"""Groups of rules about what Compose runs beside; a cluster's own monitoring has its own."""
_WITHOUT_SERIES = {"ReplicaMissing"}
"""Alerts whose series Compose alone writes (docker/prometheus/expect.sh)."""
SCRAPED = (API, JOBS, NGINX)
"""The jobs of what is scraped here."""
_EACH = "|".join(SCRAPED)
_ADAPTED = {
    # Of the cluster's own targets others tell. A rollout's pods answer no scrape while they end or begin, which is no
    # news: by default either takes less than this.
    "TargetDown": {"expr": f'up{{job=~"{_EACH}"}} == 0', "for": "5m"},
}
"""What is different here of an alert, which is here whatever its group is."""


def pod_monitor() -> Object:
    """Give the targets; the job of each is its component's name, as it is in docker/prometheus.yml."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(NAME),
        "spec": {
            "jobLabel": "app.kubernetes.io/component",
            "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "podMetricsEndpoints": [
                {
                    "port": METRICS,
                    "interval": "10s",
                    "scrapeTimeout": "5s",
                    # The operator's label of that name would take the place of ours: the replica's.
                    "relabelings": [{"action": "labeldrop", "regex": "container"}],
                }
            ],
        },
    }


def rules() -> list[Object]:
    """Give the rules of docker/prometheus/rules that are about what runs here."""
    return [_rule(name, groups=groups(name)) for name in RULES]


def rule_template(name: str) -> Object:
    """Give the same for the chart, which has them as files: they are templates of Prometheus' own."""
    return _rule(name, groups=InChart(f'(.Files.Get "files/rules/{name}.yml" | fromYaml).groups | toYaml | nindent 4'))


def _rule(name: str, groups: Any) -> Object:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata(f"{NAME}-{name}"),
        "spec": {"groups": groups},
    }


@cache
def groups(name: str) -> list[Any]:
    """Give the groups of rules about what runs here."""
    every = yaml.safe_load(RULES[name].read_text())["groups"]
    found = [{**g, "rules": [_as_here(r) for r in g["rules"] if _is_here(g["name"], r)]} for g in every]
    return [group for group in found if group["rules"]]


def _is_here(group: str, rule: Object) -> bool:
    """Tell whether one of the jobs that a rule is about is scraped here, or it is about none."""
    alert = rule.get("alert")
    if alert in _ADAPTED:
        return True
    if group in _NOT_HERE or alert in _WITHOUT_SERIES:
        return False
    jobs = {job for one_of in re.findall(r'\bjob=~?"([^"]*)"', rule["expr"]) for job in one_of.split("|")}
    return not jobs or bool(jobs & {*SCRAPED})


def _as_here(rule: Object) -> Object:
    adapted = _ADAPTED.get(rule.get("alert", ""))
    if adapted is None:
        return rule
    lines = {"logs_url": logs_url(f'{{service.name=~"{_EACH}"}}')}
    return rule | adapted | {"annotations": rule["annotations"] | lines}
