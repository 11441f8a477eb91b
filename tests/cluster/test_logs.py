"""The collector that deploy/k8s/collector describes, on a node: a pod's line is in the store, once, with its pod."""

import json
import os
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from scripts.cluster.layout import FIRST, STATE
from scripts.cluster.processes import run
from tests.cluster import prometheus
from tests.cluster.cluster import NAMESPACE, Installation
from tests.edge.containers import ROOT
from tests.support.waiting import eventually

MONITORING = prometheus.NAMESPACE
STORE, PORT = "victoria-logs", 9428


def store(image: str) -> list[dict[str, Any]]:
    """Give VictoriaLogs."""
    named, labels = {"name": STORE, "namespace": MONITORING}, {"app": STORE}
    container = {
        "name": STORE,
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["-storageDataPath=/data", "-inmemoryDataFlushInterval=1s"],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": FIRST.name},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001},
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": named,
            "spec": {"selector": labels, "ports": [{"port": PORT}]},
        },
    ]


def overlay(image: str) -> dict[str, Any]:
    """Give what is changed of the collector: its image, what it reads, and where this cluster has pods' files."""
    patch = [
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image},
        {"op": "add", "path": "/spec/template/spec/nodeSelector", "value": {"kubernetes.io/hostname": FIRST.name}},
        {"op": "replace", "path": "/spec/template/spec/volumes/1/hostPath/path", "value": f"{STATE}/pod-logs"},
        {"op": "replace", "path": "/spec/template/spec/volumes/2/hostPath/path", "value": f"{STATE}/collector"},
    ]
    settings = {"name": "collector-settings", "behavior": "merge", "literals": [f"NAMESPACES={NAMESPACE}"]}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": MONITORING,
        "configMapGenerator": [settings],
        "patches": [{"target": {"kind": "DaemonSet"}, "patch": json.dumps(patch)}],
    }


@pytest.fixture(scope="module")
def collected(installed: Installation) -> Installation:
    """The chart, with the collector and a store beside it."""
    cluster = installed.cluster
    assert cluster.prometheus  # which makes the namespace
    directory = cluster.directory / "collector"
    directory.mkdir()
    resources = [os.path.relpath(ROOT / "deploy/k8s/collector", directory.resolve())]
    kustomization = {**overlay(cluster.images["collector"]), "resources": resources}
    (directory / "kustomization.yaml").write_text(json.dumps(kustomization))
    run("kubectl", "apply", "-f", "-", given="\n---\n".join(map(json.dumps, store(cluster.images[STORE]))))
    run("kubectl", "apply", "-k", str(directory))
    for one in (f"deployment/{STORE}", "daemonset/collector"):
        run("kubectl", "-n", MONITORING, "rollout", "status", one, "--timeout=170s", seconds=180)
    return installed


def found(query: str) -> list[dict[str, str]]:
    """Ask the store."""
    service = f"/api/v1/namespaces/{MONITORING}/services/{STORE}:{PORT}/proxy/select/logsql/query"
    return [
        json.loads(line)
        for line in run("kubectl", "get", "--raw", f"{service}?{urlencode({'query': query})}").splitlines()
    ]


def test_a_line_of_a_pod_is_in_the_store_with_its_pod(collected: Installation) -> None:
    asked: list[str] = []

    def ask() -> str:
        body = {"text": "Nothing.", "language": "en"}
        answer = httpx.post(f"{collected.url}/api/v1/predict", json=body, verify=False, timeout=60)
        assert answer.status_code == 200
        return answer.headers["x-request-id"]

    def whole() -> list[dict[str, str]]:
        """Give the two lines of a request, of which both the edge and the replica are on the collector's node."""
        asked.append(ask())
        lines = found(f"request_id:in({','.join(map(json.dumps, asked))}) status:=200")
        for one in asked:
            both = sorted((line for line in lines if line["request_id"] == one), key=lambda line: line["service.name"])
            if [line["service.name"] for line in both] == ["api", "nginx"]:
                return both
        return []

    eventually(lambda: bool(whole()), lambda: str(asked))
    for line in whole():
        name = line["service.name"]
        assert line["service.namespace"] == NAMESPACE
        assert line["k8s.pod.name"] in collected.pods(name)
