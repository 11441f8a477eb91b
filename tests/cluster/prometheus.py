"""Prometheus in the cluster: the chart's own objects say what it scrapes and which rules it has, as to an operator."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import yaml

from scripts.cluster.layout import FIRST
from scripts.cluster.processes import run
from tests.cluster.api_server import ask

Object = dict[str, Any]

NAMESPACE = "monitoring"
IMAGE = "sightglass-cluster-test/prometheus:1"
INTERVAL = "2s"
"""Instead of the ten seconds of the PodMonitor, as pods end sooner here, too."""
_POD = "__meta_kubernetes_pod_"


def scrape_config(monitor: Object, namespaces: Iterable[str]) -> Object:
    """Give what the Prometheus operator makes of a PodMonitor (promcfg.go, generatePodMonitorConfig)."""
    spec = monitor["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    component = _label(spec["jobLabel"])
    return {
        "job_name": f"podMonitor/{monitor['metadata']['namespace']}/{monitor['metadata']['name']}/0",
        "scrape_interval": INTERVAL,
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": list(namespaces)}}],
        "relabel_configs": [
            {"source_labels": [f"{_POD}phase"], "regex": "(Failed|Succeeded)", "action": "drop"},
            *(
                {"source_labels": [_label(name)], "regex": value, "action": "keep"}
                for name, value in spec["selector"]["matchLabels"].items()
            ),
            {"source_labels": [f"{_POD}container_port_name"], "regex": endpoint["port"], "action": "keep"},
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": [f"{_POD}container_name"], "target_label": "container"},
            {"source_labels": [f"{_POD}name"], "target_label": "pod"},
            {"source_labels": [component], "regex": "(.+)", "target_label": "job", "replacement": "${1}"},
            {"target_label": "endpoint", "replacement": endpoint["port"]},
            *endpoint["relabelings"],
        ],
    }


def _label(name: str) -> str:
    return _POD + "label_" + name.replace(".", "_").replace("/", "_")


class Prometheus:
    """A Deployment of one."""

    def __init__(self, monitor: Object, rules: Iterable[Object], namespaces: Iterable[str]) -> None:
        configuration = {
            "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": ["*-rules.yml"],
            "scrape_configs": [scrape_config(monitor, namespaces)],
        }
        files = {"prometheus.yml": yaml.safe_dump(configuration)}
        files |= {f"{one['metadata']['name']}-rules.yml": yaml.safe_dump(one["spec"]) for one in rules}
        run("kubectl", "apply", "-f", "-", given="\n---\n".join(map(json.dumps, _objects(files))))
        run("kubectl", "-n", NAMESPACE, "rollout", "status", "deployment/prometheus", "--timeout=170s", seconds=180)

    def get(self, path: str, **parameters: str) -> Any:
        """Ask its HTTP API."""
        answer = ask(f"/api/v1/namespaces/{NAMESPACE}/services/prometheus:9090/proxy/api/v1/{path}", **parameters)
        assert answer["status"] == "success", answer
        return answer["data"]

    def scraped(self, namespace: str, since: datetime) -> dict[str, bool]:
        """Name the pods of a namespace that it knows, and whether it has asked each of them since."""
        targets = self.get("targets", state="active")["activeTargets"]
        return {
            one["labels"]["pod"]: one["health"] == "up" and datetime.fromisoformat(one["lastScrape"]) > since
            for one in targets
            if one["labels"]["namespace"] == namespace
        }

    def counted(self, counter: str, by: str, **labels: str) -> Counter[str]:
        """Sum a counter over every pod there is or was: the last value that was seen of each."""
        selector = ",".join(f'{name}="{value}"' for name, value in labels.items())
        query = f"sum by ({by}) (last_over_time({counter}{{{selector}}}[1d]))"
        found = self.get("query", query=query)["result"]
        return +Counter({one["metric"][by]: int(one["value"][1]) for one in found})


def _objects(files: dict[str, str]) -> list[Object]:
    named = {"name": "prometheus", "namespace": NAMESPACE}
    labels = {"app": "prometheus"}
    account = {"kind": "ServiceAccount", **named}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "prometheus"}
    container = {
        "name": "prometheus",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "args": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "100m"}},  # whoever has none gets what all others leave
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "files", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/prometheus"},
        ],
    }
    pod = {
        "serviceAccountName": "prometheus",
        "nodeSelector": {"kubernetes.io/hostname": FIRST.name},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "runAsGroup": 65534, "fsGroup": 65534},
        "containers": [container],
        "volumes": [
            {"name": "files", "configMap": {"name": "prometheus"}},
            {"name": "data", "emptyDir": {}},
        ],
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "prometheus"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "prometheus"},
            "roleRef": role,
            "subjects": [account],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": named, "data": files},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": named,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": named,
            "spec": {"selector": labels, "ports": [{"port": 9090}]},
        },
    ]
