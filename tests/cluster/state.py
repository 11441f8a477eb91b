"""What keeps the state of jobs in the cluster: PostgreSQL, started as Compose does, and a server of S3's protocol."""

import json
from typing import Any

from scripts.cluster.layout import FIRST
from scripts.cluster.processes import run
from tests.edge.containers import ROOT
from tests.support.servers import BUCKET, KEY, SECRET

Object = dict[str, Any]

NAMESPACE = "state"
DATABASE, S3 = "postgres", "s3"
PORTS = {DATABASE: 5432, S3: 7070}
PASSWORD = "one-of-the-tests"
AWS = f"[default]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n"
SECRETS = {"database": PASSWORD, "aws": AWS}
"""What the chart's Secret `state` has."""
SETTINGS = {
    "DATABASE_URL": f"postgresql://sightglass@{DATABASE}.{NAMESPACE}.svc.cluster.local/sightglass",
    "DOCUMENTS_URL": f"s3://{BUCKET}/here",
    "AWS_ENDPOINT_URL": f"http://{S3}.{NAMESPACE}.svc.cluster.local:{PORTS[S3]}",
    "AWS_DEFAULT_REGION": "us-east-1",
}
EGRESS = {
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}],
    "ports": [{"port": port} for port in PORTS.values()],
}
_HOME, _SCRIPTS = "/var/lib/postgresql", "/etc/sightglass/postgres"


def start(images: dict[str, str]) -> None:
    """Start both, whose images the first node has."""
    run("kubectl", "apply", "-f", "-", given="\n---\n".join(map(json.dumps, _objects(images))))
    for name in PORTS:
        run("kubectl", "-n", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=170s", seconds=180)


def select(query: str) -> list[str]:
    """Ask the database, as its administrator; returns the lines."""
    asked = ("psql", "-Atqc", query, "-U", "postgres", "sightglass")
    return run("kubectl", "-n", NAMESPACE, "exec", f"deployment/{DATABASE}", "--", *asked).splitlines()


def _objects(images: dict[str, str]) -> list[Object]:
    scripts = {path.name: path.read_text() for path in (ROOT / "docker/postgres").glob("*.sh")}
    database = _deployment(
        *(DATABASE, images[DATABASE], 999),
        {_HOME: {"emptyDir": {}}, "/var/run/postgresql": {"emptyDir": {}}, "/tmp": {"emptyDir": {}}}
        | {_SCRIPTS: {"configMap": {"name": DATABASE}}}
        | {"/run/database": {"secret": {"secretName": DATABASE, "defaultMode": 0o440}}},
        command=["/bin/sh", f"{_SCRIPTS}/start.sh"],
        readinessProbe=_often({"exec": {"command": ["pg_isready", "--quiet", "--host=127.0.0.1"]}}),
    )
    bucket = _deployment(
        *(S3, images[S3], 65534),
        {"/data": {"emptyDir": {}}, "/tmp": {"emptyDir": {}}},
        # A bucket is a directory.
        command=["sh", "-c", f"mkdir -p /data/{BUCKET} && exec versitygw --port :{PORTS[S3]} posix --nometa /data"],
        env=[{"name": "ROOT_ACCESS_KEY", "value": KEY}, {"name": "ROOT_SECRET_KEY", "value": SECRET}],
        readinessProbe=_often({"tcpSocket": {"port": PORTS[S3]}}),
    )
    named = {"name": DATABASE, "namespace": NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": named, "data": scripts},
        {"apiVersion": "v1", "kind": "Secret", "metadata": named, "stringData": {"sightglass": PASSWORD}},
        database,
        bucket,
        *(_service(name) for name in PORTS),
    ]


def _often(probe: Object) -> Object:
    return {**probe, "periodSeconds": 1, "timeoutSeconds": 5}


def _deployment(name: str, image: str, user: int, mounts: dict[str, Object], **container: Any) -> Object:
    volumes = {f"v{number}": (target, source) for number, (target, source) in enumerate(mounts.items())}
    one = {
        "name": name,
        "image": image,
        "imagePullPolicy": "Never",
        "volumeMounts": [{"name": volume, "mountPath": target} for volume, (target, _) in volumes.items()],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **container,
    }
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": FIRST.name},
        "securityContext": {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user},
        "terminationGracePeriodSeconds": 5,
        "containers": [one],
        "volumes": [{"name": volume, **source} for volume, (_, source) in volumes.items()],
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _service(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": name}, "ports": [{"port": PORTS[name]}]},
    }
