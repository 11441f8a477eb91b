"""What a chart has beside its objects: values, each with its line of explanation, and their schema."""

import json
from collections.abc import Iterable
from typing import Any

from deploy.composed import Service, Setting
from deploy.leaves import Value, When, values, yaml_text
from deploy.scaling import JOBS_PER_REPLICA
from deploy.workloads import API, CLUSTER_DOMAIN, EDGE_DRAIN, EDGE_LAST_SCRAPE, LAST_SCRAPE_SECONDS, NGINX, START_PERIOD

SETTINGS = sorted(
    {value.name for name in (NGINX, API) for value in Service(name).environment.values() if isinstance(value, Setting)}
    | {START_PERIOD}
)
"""The variables of `.env` that a container gets, or a probe."""

# One process a pod: /ready speaks for all of it, and replicas are what there are more of.
DEFAULT_SETTINGS = {
    "WEB_CONCURRENCY": "1",
    "JOBS_LAST_SCRAPE": str(LAST_SCRAPE_SECONDS),
    **Service(API).defaults,
}

EXPLAINED = {
    "image": "The API's image: the shipped service's, or yours with the stack laid over it (docs/delivery.md).",
    "imagePullSecrets": "Secrets of a registry that wants a password: [{name: registry}].",
    "settings": "The variables of .env.template, by the same names.",
    "env": "The application's own variables; those that are secret stand in the Secret that envSecret names.",
    "envSecret": "A Secret whose keys are variables of the application's; it need not be there.",
    "runAsUser": "Of an image that has a user of its own, that one's number: the API's and the job processes' pods'.",
    "runAsGroup": "Its group, which volumes belong to as well.",
    "podLabels": "Of all pods, beside their own.",
    "podAnnotations": "The same.",
    "nodeSelector": "Of the API's pods; the edge and the jobs have their own.",
    "serviceAccountName": "By which a cloud knows the API's and the job processes' pods; it is there beforehand.",
    "resources": "Of each API pod. The autoscaler goes by what is requested.",
    "replicas": "API pods, where nothing scales them.",
    "drainSeconds": "Between a pod's end being known and SIGTERM: old answers of the DNS (30 s), then a last scrape.",
    "clusterDomain": "What service names of the cluster end in.",
    "autoscaling": "The API's pods, by the share that they use of the processor time they request.",
    "autoscaling.minReplicas": "With 1 no drain takes the node that has it.",
    "autoscaling.enabled": "false: `replicas` pods.",
    "edge": "NGINX.",
    "edge.shareLimits": "true: all edges together allow a client what the settings say; each allows its share.",
    "edge.image": "NGINX 1.27.3 or later with njs.",
    "edge.replicas": "Each has limits of its own: a client that reaches all of them may take as many times RATE_LIMIT.",
    "edge.drainSeconds": "After its end is known it takes connections for as long as a balancer still sends it some.",
    "edge.lastScrapeSeconds": "Then those kept alive end, and Prometheus reads the last counts, before SIGQUIT.",
    "edge.readyAfterSeconds": "Before it serves: as long as the DNS may not know it yet, and the API not believe it.",
    "edge.service.type": "LoadBalancer, NodePort or ClusterIP.",
    "edge.service.externalTrafficPolicy": "Local: clients' own addresses, by nodes with an edge alone; or Cluster.",
    "edge.service.loadBalancerClass": "Which of several balancers; empty, the cluster's default.",
    "edge.service.loadBalancerSourceRanges": "Whom a balancer lets in, as CIDR ranges; empty, everybody.",
    "edge.service.sessionAffinity": "ClientIP, or None for a cloud that makes no balancer with it, as AWS.",
    "tls": "The certificate NGINX shows.",
    "tls.secretName": "The Secret (kubernetes.io/tls) that has it.",
    "tls.crt": "Or the certificate itself, PEM, without certManager: --set-file tls.crt=… --set-file tls.key=…",
    "tls.certManager.enabled": "Or one that cert-manager orders, by DNS-01, or by HTTP-01 through the Ingress.",
    "jobs": "Background jobs. They want settings.DATABASE_URL, as no volume of several nodes can hold their SQLite.",
    "jobs.databaseInSecret": "true: the Secret that envSecret names has SIGHTGLASS_DATABASE_URL.",
    "jobs.oneNode": "true: the cluster has one node, of whose own disk the volume is: SQLite may be there.",
    "jobs.volume": "One for documents and results, written to from all nodes; false with settings.DOCUMENTS_URL.",
    "jobs.storageClass": "A class with ReadWriteMany, or with oneNode ReadWriteOnce; empty, the cluster's default.",
    "jobs.nodeSelector": "Spot nodes, for instance: a job that loses its node begins again elsewhere.",
    "jobs.autoscaling.enabled": "By KEDA, which must be there, down to none.",
    "jobs.autoscaling.cooldownSeconds": "Without any job, before the last ones end.",
    "jobs.autoscaling.jobsPerReplica": "Jobs that wait or are worked on, for each pod.",
    "networkPolicy.enabled": "All is denied but what is named. The cluster's network must enforce policies.",
    "networkPolicy.monitoringNamespace": "Where Prometheus and the collector of traces are.",
    "networkPolicy.kedaNamespace": "Where KEDA is.",
    "networkPolicy.dnsNamespace": "Where the cluster's DNS is.",
    "networkPolicy.dnsPeers": "Who answers beside, as a cache on each node: [{ipBlock: {cidr: 169.254.20.10/32}}].",
    "networkPolicy.ingress": "Who may reach the edge, as NetworkPolicy's peers: that gateway alone; empty, everybody.",
    "networkPolicy.egress": "Where the application may go beside, as NetworkPolicy's rules.",
    "networkPolicy": "Who may reach whom.",
    "monitoring": "For a Prometheus operator, and a Grafana with its sidecar, that are there.",
    "monitoring.enabled": "PodMonitor, PrometheusRules, dashboards.",
    "monitoring.alertmanager": "Routes and receivers, as an AlertmanagerConfig.",
    "monitoring.alertmanager.webhooks": "Who is told, as webhookConfigs; a Secret of the namespace has the address.",
    "monitoring.alertmanager.slack": "The same as slackConfigs, …",
    "monitoring.alertmanager.emails": "… and as emailConfigs.",
    "gateway": "Where TLS ends before NGINX. Its addresses are settings.TRUSTED_PROXIES.",
    "ingress": "The same.",
    "monitoring.labels": "What that Prometheus selects by.",
    "gateway.enabled": "A route of a gateway that ends TLS.",
    "ingress.enabled": "A route of an Ingress controller that ends TLS.",
    "ingress.annotations": "Sizes and times are NGINX's to judge; with another settings.UPSTREAM_TIMEOUT, its seconds.",
}
"""By path."""

# Values that no object has as a leaf.
OTHERS = (
    Value("edge.shareLimits", False),
    Value("settings", DEFAULT_SETTINGS),
    Value("env", {}),
    CLUSTER_DOMAIN,
    EDGE_DRAIN,
    EDGE_LAST_SCRAPE,
    JOBS_PER_REPLICA,
    Value("jobs.databaseInSecret", False),
    Value("jobs.oneNode", False),
    Value("tls.crt", ""),
    Value("tls.key", ""),
)
ORDER = [
    *("image", "imagePullSecrets", "settings", "env", "envSecret", "serviceAccountName", "runAsUser", "runAsGroup"),
    *("podLabels", "podAnnotations", "resources", "nodeSelector", "tolerations", "replicas", "autoscaling"),
    *("drainSeconds", "clusterDomain", "edge", "tls", "jobs", "networkPolicy", "monitoring"),
    *("gateway", "ingress"),
]


def collected(objects: Iterable[Any]) -> dict[str, Any]:
    """Return the default of each value, by path.

    Raises:
        ValueError: one has two.

    """
    found: dict[str, Any] = {}
    leaves = [leaf for node in objects for leaf in values(node)]
    for leaf in [*leaves, *OTHERS]:
        if isinstance(leaf, Value) and found.setdefault(leaf.path, leaf.default) != leaf.default:
            raise ValueError(f"{leaf.path}: two defaults")
    for leaf in leaves:
        if isinstance(leaf, When) and leaf.equals is None and leaf.path not in found:
            found[leaf.path] = leaf.default is not leaf.negated
    return found


def _tree(found: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, default in found.items():
        *parents, last = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = default
    return {name: _enabled_first(tree[name]) for name in ORDER}


def _enabled_first(node: Any) -> Any:
    """Put first whether there is any of it."""
    if not isinstance(node, dict):
        return node
    return {key: _enabled_first(node[key]) for key in sorted(node, key=lambda key: key != "enabled")}


def values_yaml(found: dict[str, Any]) -> str:
    """Write values.yaml: each value's explanation above it."""
    lines: list[str] = []
    path: list[str] = []
    for line in yaml_text(_tree(found)).splitlines():
        key = line.strip().partition(":")[0]
        depth = (len(line) - len(line.lstrip())) // 2
        path = [*path[:depth], key]
        if explained := EXPLAINED.get(".".join(path)):
            lines += ([""] if depth == 0 else []) + [f"{'  ' * depth}# {explained}"]
        lines.append(line)
    return "\n".join(lines).lstrip("\n") + "\n"


def schema(found: dict[str, Any]) -> str:
    """Write values.schema.json: a name that nobody reads is refused, and so is a value of another kind."""
    top = _schema(_tree(found), "")
    top = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart", **top}
    top["properties"]["global"] = {"type": "object"}  # Helm's own
    top["allOf"] = _TOGETHER
    return json.dumps(top, indent=2) + "\n"


def _has(path: str, rule: dict[str, Any]) -> dict[str, Any]:
    """Demand a value, and that it is so."""
    *parents, last = path.split(".")
    found: dict[str, Any] = {"required": [last], "properties": {last: rule}}
    for parent in reversed(parents):
        found = {"required": [parent], "properties": {parent: found}}
    return found


_TRUE = {"const": True}
_GIVEN = {"minLength": 1, "minItems": 1}
_DATABASE = [
    _has("settings.DATABASE_URL", _GIVEN),
    _has("env.SIGHTGLASS_DATABASE_URL", _GIVEN),
    _has("jobs.databaseInSecret", _TRUE),
]
_TOGETHER = [
    # SQLite's write-ahead log is memory that processes share: those of two nodes would ruin it.
    {"if": _has("jobs.enabled", _TRUE), "then": {"anyOf": [*_DATABASE, _has("jobs.oneNode", _TRUE)]}},
    # A job whose process looks into another directory than the API's is lost.
    {
        "if": {"allOf": [_has("jobs.enabled", _TRUE), _has("jobs.volume", {"const": False})]},
        "then": {"allOf": [{"anyOf": _DATABASE}, _has("settings.DOCUMENTS_URL", _GIVEN)]},
    },
    # NGINX would take it for a client that speaks plain HTTP, and redirect it for ever.
    {
        "if": {"anyOf": [_has("gateway.enabled", _TRUE), _has("ingress.enabled", _TRUE)]},
        "then": _has("settings.TRUSTED_PROXIES", _GIVEN),
    },
    # The API server refuses them of another type, amid the update.
    {
        "if": {"anyOf": [_has(f"edge.service.loadBalancer{name}", _GIVEN) for name in ("Class", "SourceRanges")]},
        "then": _has("edge.service.type", {"const": "LoadBalancer"}),
    },
    {"if": _has("tls.crt", _GIVEN), "then": _has("tls.key", _GIVEN)},
    {"if": _has("tls.key", _GIVEN), "then": _has("tls.crt", _GIVEN)},
    # Both would write one Secret.
    {"if": _has("tls.certManager.enabled", _TRUE), "then": _has("tls.crt", {"maxLength": 0})},
]
"""What goes together."""
_SCALAR = {"type": ["string", "number", "boolean"]}
_PASSWORDS = {
    name: {
        **_SCALAR,
        "if": {"type": "string", "pattern": "://[^/@]*:[^/@]+@|[?&]password="},
        # Of what Helm may say of a value, this alone can tell what to do, and it does not print the password.
        "then": {"const": f"without its password, as a ConfigMap has it; with one, {instead} in the Secret env"},
    }
    for name, instead in {
        "QUEUE_URL": "SIGHTGLASS_QUEUE_URL",
        "DATABASE_URL": "the key database in the Secret state, or jobs.databaseInSecret and SIGHTGLASS_DATABASE_URL",
    }.items()
}
"""Of URLs that may have one."""
# A pod's own, by which selectors, other pods of an update and the cluster autoscaler know it.
_POD_OWN = {
    "podLabels": r"^app\.kubernetes\.io/(name|component)$",
    "podAnnotations": "^checksum/|/safe-to-evict-local-volumes$",
}
# What the templates reckon with; they take for 0 what is no number.
_SECONDS = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^([1-9][0-9]{0,4})?$"}]}
_RECKONED = (START_PERIOD, "API_STOP_GRACE", "GUNICORN_TIMEOUT")
_FREE = {
    # Kubernetes' own objects: the API server says what may be in them.
    "resources",
    "nodeSelector",
    "annotations",
    "labels",
    "issuerRef",
}
_LEAST = {
    "runAsUser": 1,
    "runAsGroup": 0,
    "replicas": 0,
    "drainSeconds": 1,  # preStop's sleep of 0 is refused before Kubernetes 1.33
    "edge.replicas": 0,
    "edge.drainSeconds": 0,
    "edge.lastScrapeSeconds": 0,
    "edge.readyAfterSeconds": 0,
    "autoscaling.minReplicas": 1,
    "autoscaling.maxReplicas": 1,
    "autoscaling.targetCPUUtilizationPercentage": 1,
    "autoscaling.scaleDownStabilizationSeconds": 0,
    "jobs.replicas": 0,
    "jobs.autoscaling.pollingSeconds": 1,
    "jobs.autoscaling.cooldownSeconds": 0,
    "jobs.autoscaling.scaleDownStabilizationSeconds": 0,
    "jobs.autoscaling.minReplicas": 0,
    "jobs.autoscaling.maxReplicas": 1,
    "jobs.autoscaling.jobsPerReplica": 1,
}
_ONE_OF = {
    "edge.service.type": ["LoadBalancer", "NodePort", "ClusterIP"],
    "edge.service.externalTrafficPolicy": ["Local", "Cluster"],
    "edge.service.sessionAffinity": ["ClientIP", "None"],
}


def _schema(node: Any, path: str) -> dict[str, Any]:
    name = path.rpartition(".")[2]
    if path == "settings":
        properties = dict.fromkeys(SETTINGS, _SCALAR) | dict.fromkeys(_RECKONED, _SECONDS) | _PASSWORDS
        return {"type": "object", "additionalProperties": False, "properties": properties}
    if path == "env":
        return {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            "properties": {f"SIGHTGLASS_{name}": rule for name, rule in _PASSWORDS.items()},
            "additionalProperties": _SCALAR,
        }
    if path in _POD_OWN:
        own = {"not": {"pattern": _POD_OWN[path]}}
        return {"type": "object", "propertyNames": own, "additionalProperties": {"type": "string"}}
    if name in _FREE:
        return {"type": "object"}
    match node:
        case dict():
            properties = {key: _schema(value, f"{path}.{key}".lstrip(".")) for key, value in node.items()}
            return {"type": "object", "additionalProperties": False, "properties": properties}
        case list():
            return {"type": "array"}
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", "minimum": _LEAST[path]}
    return {"type": "string", **({"enum": _ONE_OF[path]} if path in _ONE_OF else {})}
