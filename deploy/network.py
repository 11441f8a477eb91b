"""Who is reached by which name, and who may reach whom: all else is denied."""

from typing import Any

from deploy.composed import Service
from deploy.files import upstream_seconds
from deploy.leaves import InChart, Only, Value, When
from deploy.workloads import (
    API,
    API_METRICS_PORT,
    API_PORT,
    EDGE_METRICS_PORT,
    JOBS,
    METRICS,
    NAME,
    NGINX,
    NGINX_PODS,
    Object,
    labels,
    metadata,
)

OTLP_PORT = 4318
DNS_PORT = 53
SOLVER_PORT = 8089
"""cert-manager's own."""
MONITORING = Value("networkPolicy.monitoringNamespace", "monitoring")
_CLASS = Value("edge.service.loadBalancerClass", "", "quote")
_RANGES = Value("edge.service.loadBalancerSourceRanges", [])
_FROM_OUTSIDE = When("edge.service.type", default=True, equals="ClusterIP", negated=True)


def services() -> list[Object]:
    """Give the services: every replica of the API by its own address, as NGINX balances by itself."""
    http, https = Service(NGINX).ports
    headless = {"clusterIP": "None"}
    return [
        _service(API, API, {"http": API_PORT, METRICS: API_METRICS_PORT}, headless),
        _service(
            NGINX,
            NGINX,
            {"http": (80, http), "https": (443, https)},
            {
                "type": Value("edge.service.type", "LoadBalancer"),
                # Clients keep their addresses, …
                Only("externalTrafficPolicy", _FROM_OUTSIDE): Value("edge.service.externalTrafficPolicy", "Local"),
                # … and each stays with one edge, whose limits count for it.
                "sessionAffinity": Value("edge.service.sessionAffinity", "ClientIP"),
                Only("loadBalancerClass", When(_CLASS.path, default=False)): _CLASS,
                Only("loadBalancerSourceRanges", When(_RANGES.path, default=False)): _RANGES,
            },
            annotations=Value("edge.service.annotations", {}),
        ),
        _service(NGINX_PODS, NGINX, {METRICS: EDGE_METRICS_PORT}, {**headless, "publishNotReadyAddresses": True}),
    ]


def _service(name: str, component: str, ports: dict[str, Any], spec: dict[Any, Any], **more: Any) -> Object:
    both = {name: port if isinstance(port, tuple) else (port, port) for name, port in ports.items()}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, component, **more),
        "spec": {
            **spec,
            "selector": labels(component),
            "ports": [{"name": n, "port": port, "targetPort": target} for n, (port, target) in both.items()],
        },
    }


def policies() -> list[Object]:
    """Give the policies; which pairs they join, docker-compose.prod.yml's networks join too."""
    http, https = Service(NGINX).ports
    edge = {"podSelector": _pods(NGINX)}
    monitoring = _namespace(MONITORING)
    dns = [{"port": DNS_PORT, "protocol": protocol} for protocol in ("UDP", "TCP")]
    peers = Value("networkPolicy.dnsPeers", [])
    clients = Value("networkPolicy.ingress", [])
    return [
        _policy("default-deny", {}, ["Ingress", "Egress"]),
        _policy(
            "dns",
            {},
            ["Egress"],
            egress=[
                {"to": [_namespace(Value("networkPolicy.dnsNamespace", "kube-system"))], "ports": dns},
                {Only("to", When(peers.path, default=False)): peers, "ports": dns},
            ],
        ),
        _policy(
            NGINX,
            _pods(NGINX),
            ["Ingress", "Egress"],
            ingress=[
                {"ports": _ports(http, https), Only("from", When(clients.path, default=False)): clients},
                {"from": [monitoring], "ports": _ports(EDGE_METRICS_PORT)},
            ],
            egress=[_to(API, API_PORT, API_METRICS_PORT)],
        ),
        _policy(
            API,
            _pods(API),
            ["Ingress", "Egress"],
            ingress=[
                {"from": [edge], "ports": _ports(API_PORT, API_METRICS_PORT)},
                {"from": [monitoring], "ports": _ports(API_METRICS_PORT)},
            ],
            egress=[{"to": [monitoring], "ports": _ports(OTLP_PORT)}],
        ),
        _policy(
            JOBS,
            _pods(JOBS),
            ["Ingress", "Egress"],
            ingress=[{"from": [monitoring], "ports": _ports(Service(JOBS).probe.port)}],
            egress=[{"to": [monitoring], "ports": _ports(OTLP_PORT)}],
        ),
        _policy(
            "application",
            _pods(API, JOBS),
            ["Egress"],
            egress=Value("networkPolicy.egress", []),
        ),
    ]


def keda() -> Object:
    """Give the policy by which KEDA asks the API how many jobs there are."""
    namespace = _namespace(Value("networkPolicy.kedaNamespace", "keda"))
    return _policy("keda", _pods(API), ["Ingress"], ingress=[{"from": [namespace], "ports": _ports(API_METRICS_PORT)}])


def solver() -> Object:
    """Give the policy by which cert-manager's answer to HTTP-01 is reached, by whoever asks."""
    pods = {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}
    return _policy("http01-solver", pods, ["Ingress"], ingress=[{"ports": _ports(SOLVER_PORT)}])


def _policy(name: str, pods: Object, types: list[str], **rules: Any) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "sightglass"}},
        "spec": {"podSelector": pods, "policyTypes": types, **rules},
    }


def _pods(*components: str) -> Object:
    """Select the pods of a component, or of each of several."""
    if len(components) == 1:
        return {"matchLabels": labels(*components)}
    one_of = {"key": "app.kubernetes.io/component", "operator": "In", "values": list(components)}
    return {"matchLabels": {"app.kubernetes.io/name": NAME}, "matchExpressions": [one_of]}


def _namespace(name: Value) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _to(component: str, *ports: int) -> Object:
    return {"to": [{"podSelector": _pods(component)}], "ports": _ports(*ports)}


def _ports(*ports: int) -> list[Object]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def gateway() -> Object:
    """Give the route of a gateway that ends TLS itself; NGINX is told by TRUSTED_PROXIES to believe it."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(NGINX),
        "spec": {
            "parentRefs": Value("gateway.parentRefs", [{"name": "gateway"}]),
            "hostnames": Value("gateway.hostnames", []),
            "rules": [{"backendRefs": [{"name": NGINX, "port": 80}]}],
        },
    }


def ingress() -> Object:
    """Give the same for an Ingress controller."""
    backend = {"service": {"name": NGINX, "port": {"name": "http"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(NGINX, annotations=Value("ingress.annotations", _passed_on())),
        "spec": {
            "ingressClassName": Value("ingress.className", "nginx"),
            "tls": Value("ingress.tls", []),
            "rules": [
                {
                    "host": Value("ingress.host", "shop.example", "quote"),
                    "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
                }
            ],
        },
    }


def _passed_on() -> dict[str, str]:
    """Give what ingress-nginx is told: sizes and times are NGINX's to judge, as its own are 1 MB and 60 s."""
    seconds = upstream_seconds()
    told = {
        "proxy-body-size": "0",
        "proxy-request-buffering": "off",
        "proxy-read-timeout": seconds,
        "proxy-send-timeout": seconds,
    }
    return {f"nginx.ingress.kubernetes.io/{name}": value for name, value in told.items()}


def certificate() -> Object:
    """Give cert-manager's order for the certificate that NGINX shows."""
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": metadata("tls", NGINX),
        "spec": {
            "secretName": Value("tls.secretName", "tls"),
            "dnsNames": Value("tls.certManager.dnsNames", ["shop.example"]),
            "issuerRef": Value("tls.certManager.issuerRef", {"kind": "ClusterIssuer", "name": "letsencrypt"}),
            "privateKey": {"algorithm": "ECDSA", "rotationPolicy": "Always"},
        },
    }


def given_certificate() -> Object:
    """Give the Secret of a certificate that is given with the chart's values."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        # Helm leaves it where it is when an update is not given it again.
        "metadata": {
            "name": Value("tls.secretName", "tls"),
            "labels": labels(NGINX),
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "type": "kubernetes.io/tls",
        "data": {
            "tls.crt": InChart(".Values.tls.crt | b64enc"),
            "tls.key": InChart(".Values.tls.key | b64enc"),
        },
    }
