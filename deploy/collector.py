"""The collector of log lines and traces, one a node: docker/telemetry/collector.yml, of kubelet's files.

Not in the chart: a cluster has one, in the namespace of its monitoring, and reading the node's files wants uid 0 and a
mount of them, which the `restricted` of an application's namespace forbids.
"""

from typing import Any

import yaml

from deploy.composed import ROOT, Service
from deploy.network import OTLP_PORT
from deploy.workloads import METRICS, NAME, Object

NAMESPACE = "monitoring"
COLLECTOR = "collector"
CONFIGURATION = ROOT / "docker/telemetry/collector.yml"
SETTINGS = {
    "NAMESPACES": f"{NAME}*",
    "LOGS_ENDPOINT": "http://victoria-logs:9428/insert/opentelemetry/v1/logs",
    "TRACES_ENDPOINT": "http://jaeger:4318/v1/traces",
}
"""Of the ConfigMap that an overlay changes: the namespaces that are read, as a pattern, and where all of it goes."""
_METRICS_PORT = 8888
_LOGS, _PLACES, _FILES = "/var/log/pods", "/var/lib/otelcol", "/etc/sightglass/telemetry"
_SERVICE = Service(COLLECTOR, ROOT / "docker/telemetry/compose.yml")


def configuration() -> str:
    """Give the configuration: what is done with a line stays, how it is read is kubelet's way."""
    whole: Object = yaml.safe_load(CONFIGURATION.read_text())
    logs = whole["receivers"]["file_log"]
    # NAMESPACE_POD_UID/CONTAINER/RESTARTS.log
    logs["include"] = [f"{_LOGS}/${{env:NAMESPACES}}_*/*/*.log*"]
    logs["exclude"] = [f"{_LOGS}/*/*/*.gz", f"{_LOGS}/*/*/*.tmp"]
    operators = logs["operators"]
    (kept,) = [number for number, one in enumerate(operators) if one["type"] == "retain"]
    logs["operators"] = [
        # Reads a line as containerd or CRI-O writes it, joins those that were cut, and knows from the path whose it is.
        {"type": "container"},
        _move("k8s.namespace.name", "service.namespace"),
        _move("k8s.container.name", "service.name"),
        *operators[kept:],
    ]
    receivers, exporters = whole["receivers"], whole["exporters"]
    receivers["otlp"]["protocols"]["http"]["endpoint"] = f":{OTLP_PORT}"
    exporters["otlp_http/logs"]["logs_endpoint"] = "${env:LOGS_ENDPOINT}"
    exporters["otlp_http/logs"]["headers"]["VL-Stream-Fields"] = "service.namespace,service.name,k8s.pod.name"
    exporters["otlp_http/traces"]["traces_endpoint"] = "${env:TRACES_ENDPOINT}"
    (reader,) = whole["service"]["telemetry"]["metrics"]["readers"]
    reader["pull"]["exporter"]["prometheus"]["host"] = "${env:POD_IP}"
    return yaml.safe_dump(whole, sort_keys=False, width=120)


def objects() -> list[Object]:
    """Give the DaemonSet, and the Service by which traces come to the collector of their own node."""
    labels = {"app.kubernetes.io/name": COLLECTOR}
    ports = {"otlp": OTLP_PORT, METRICS: _METRICS_PORT}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": COLLECTOR, "labels": labels},
        "spec": {
            "internalTrafficPolicy": "Local",
            "selector": labels,
            "ports": [{"name": name, "port": port} for name, port in ports.items()],
        },
    }
    daemons = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": COLLECTOR, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod(ports)},
        },
    }
    return [daemons, service]


def _pod(ports: dict[str, int]) -> Object:
    read_only, dropped, options = _SERVICE.hardening
    user, group = _SERVICE.user
    mounts: dict[str, tuple[str, Object, bool]] = {
        "files": (_FILES, {"configMap": {"name": COLLECTOR}}, True),
        "logs": (_LOGS, {"hostPath": {"path": _LOGS}}, True),
        # How far each file was read, and what the stores have not taken yet: they outlive the pod.
        "places": (_PLACES, {"hostPath": {"path": f"/var/lib/{NAME}-collector", "type": "DirectoryOrCreate"}}, False),
    }
    container = {
        "name": COLLECTOR,
        "image": _SERVICE.image,
        "imagePullPolicy": "IfNotPresent",
        "args": _SERVICE.command,
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "GOMEMLIMIT", "value": _SERVICE.environment["GOMEMLIMIT"]},
        ],
        "envFrom": [{"configMapRef": {"name": f"{COLLECTOR}-settings"}}],
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "securityContext": {
            "readOnlyRootFilesystem": read_only,
            "allowPrivilegeEscalation": "no-new-privileges:true" not in options,
            "capabilities": {"drop": dropped},
        },
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": _SERVICE.cpus, "memory": _SERVICE.memory},
        },
        "readinessProbe": {"tcpSocket": {"port": OTLP_PORT}, "periodSeconds": 10},
        "volumeMounts": [
            {"name": name, "mountPath": target, **({"readOnly": True} if read else {})}
            for name, (target, _, read) in mounts.items()
        ],
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # What the node keeps of containers is root's alone.
        "securityContext": {"runAsUser": user, "runAsGroup": group, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": _SERVICE.grace_seconds,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": name, **source} for name, (_, source, _) in mounts.items()],
    }


def _move(attribute: str, to: str) -> dict[str, Any]:
    return {"type": "move", "from": f'resource["{attribute}"]', "to": f'resource["{to}"]'}
