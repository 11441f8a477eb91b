"""The three workloads: the edge, the API and its replicas, and what works on jobs."""

from typing import Any

from deploy.composed import Probe, Service, Setting, exposed
from deploy.files import NGINX_FILES
from deploy.leaves import Also, Flow, InChart, Only, Value, When, key_name
from sightglass.server.settings import ServerSettings

Object = dict[str, Any]

NAME = "sightglass"
API, JOBS, NGINX = "api", "jobs", "nginx"
NGINX_PODS = "nginx-pods"
"""The service that names each edge, ready or not: whom the API believes about clients' addresses."""
METRICS = "metrics"
_CONFIGURATION = "/etc/sightglass"
TEMPORARY = "/tmp"  # noqa: S108 - each container's own
EDGE_METRICS_PORT = Service(NGINX).probe.port
API_PORT, API_METRICS_PORT = exposed()
CLUSTER_DOMAIN = Value("clusterDomain", "cluster.local")

# For how long the cluster's DNS may still give an address that is no longer, or not yet, a ready replica's: CoreDNS'
# `ttl`, 30 s with kubeadm.
DNS_SECONDS = 30
LAST_SCRAPE_SECONDS = 20
"""What is counted last is told as well: Prometheus comes every ten seconds, and answers take their time."""
DRAIN = Value("drainSeconds", DNS_SECONDS + LAST_SCRAPE_SECONDS)
"""Between a replica's end being known and SIGTERM: whoever has its address from the DNS may still come."""
EDGE_DRAIN = Value("edge.drainSeconds", 15)
EDGE_LAST_SCRAPE = Value("edge.lastScrapeSeconds", LAST_SCRAPE_SECONDS)
EDGE_DELAY = Value("edge.readyAfterSeconds", DNS_SECONDS)
"""Before an edge serves: until then a replica may not know it, and not believe what it says of clients."""

_THERE = ("name", "emptyDir")
"""The keys of a volume whose conditions say whether it is there and the pod's own."""

START_PERIOD = "API_START_PERIOD"
"""A variable of `.env` that no container reads: it is the startup probes'."""
_START_PROBE_SECONDS = 2

JOBS_ENABLED = When("jobs.enabled", default=False)
JOBS_VOLUME = When("jobs.volume", default=True)
WITH_VOLUME = When("jobs.enabled", default=False, also=(JOBS_VOLUME.path,))
AUTOSCALED = When("autoscaling.enabled", default=True)
BY_HAND = When("autoscaling.enabled", default=False, negated=True)


def labels(component: str) -> dict[str, str]:
    """Name a component, as selectors do."""
    return {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": component}


def metadata(name: str, component: str | None = None, **more: Any) -> Object:
    """Give an object's own metadata."""
    return {"name": name, "labels": labels(component or name), **more}


def _environment(service: Service, overridden: dict[str, Any]) -> list[Object]:
    """Give the variables: those of `.env` by reference to the ConfigMap `settings`, each where it is there."""

    def variable(name: str, value: str | Setting) -> Object:
        if name in overridden:
            return Flow(name=name, value=overridden[name])
        if isinstance(value, Setting):
            key = {"name": "settings", "key": value.name, "optional": True}
            return Flow(name=name, valueFrom={"configMapKeyRef": key})
        return Flow(name=name, value=value)

    return [variable(name, value) for name, value in service.environment.items()]


def _probe(probe: Probe, path: str | None = None, **changes: Any) -> Object:
    return {
        "httpGet": {"path": path or probe.path, "port": probe.port},
        "periodSeconds": probe.seconds_between,
        "timeoutSeconds": probe.seconds_allowed,
        "failureThreshold": probe.failures,
        **changes,
    }


def _start_probe(probe: Probe, path: str | None = None) -> Object:
    return _probe(probe, path, periodSeconds=_START_PROBE_SECONDS, failureThreshold=_start_failures())


def _container(service: Service, image: Any, requests: dict[str, str], values: str) -> Object:
    read_only, dropped, options = service.hardening
    command = {"command": service.entrypoint} if service.entrypoint else {}
    arguments = {"args": service.command} if service.command else {}
    return {
        "name": service.name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        **command,
        **arguments,
        "securityContext": {
            "readOnlyRootFilesystem": read_only,
            "allowPrivilegeEscalation": "no-new-privileges:true" not in options,
            "capabilities": {"drop": dropped},
        },
        "resources": Value(
            f"{values}resources",
            {"requests": requests, "limits": {"cpu": service.cpus, "memory": service.memory}},
        ),
    }


def _pod(
    service: Service,
    container: Object,
    volumes: list[Object],
    grace: Any,
    user: tuple[Any, Any],
    values: str,
    **more: Any,
) -> Object:
    own, group = user
    same = {"labelSelector": {"matchLabels": labels(service.name)}}
    hosts = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", **same}
    # Not as a second constraint of this kind: the scheduler's score leaves out nodes that lack one of them.
    zones = {"weight": 100, "podAffinityTerm": {"topologyKey": "topology.kubernetes.io/zone", **same}}
    return {
        "metadata": {
            "labels": _and(labels(service.name), "podLabels"),
            "annotations": _and({**_checksums(service.name), **removable(volumes)}, "podAnnotations"),
        },
        "spec": {
            "automountServiceAccountToken": False,
            # A Service called metrics would set METRICS_PORT to an address.
            "enableServiceLinks": False,
            "imagePullSecrets": Value("imagePullSecrets", []),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": own,
                "runAsGroup": group,
                "fsGroup": group,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": grace,
            "topologySpreadConstraints": [hosts],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [zones]}},
            "nodeSelector": Value(f"{values}nodeSelector", {}),
            "tolerations": Value(f"{values}tolerations", []),
            **more,
            "containers": [container],
            "volumes": volumes,
        },
    }


def _and(own: dict[str, Any], path: str) -> dict[Any, Any]:
    return {**own, Also(path): None}


def _checksums(component: str) -> Object:
    """Give what makes other pods of the same image: Kustomize does it by names with a hash."""
    of_settings = {"checksum/settings": InChart("list .Values.settings .Values.env | toJson | sha256sum")}
    if component != NGINX:
        return of_settings
    return {**of_settings, "checksum/files": InChart('include (print $.Template.BasePath "/files.yaml") . | sha256sum')}


def removable(volumes: list[Object]) -> Object:
    """Tell the cluster autoscaler which volumes keep no node: what is of the pod alone ends with it."""
    always: list[str] = []
    sometimes: list[str] = []
    for volume in volumes:
        name = next(iter(volume.values()))
        conditions = [f"({key.when.expression})" for key in volume if key_name(key) in _THERE and isinstance(key, Only)]
        if "emptyDir" in map(key_name, volume):
            if conditions:
                sometimes.append(f'(ternary ",{name}" "" (and {" ".join(conditions)}))')
            else:
                always.append(name)
    names = ",".join(always)
    more = InChart(" ".join([f'printf "{names}{"%s" * len(sometimes)}"', *sometimes]), otherwise=names)
    return {"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": more if sometimes else names}


def _deployment(component: str, replicas: Any, pod: Object, **more: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(component),
        "spec": {
            **replicas,
            "revisionHistoryLimit": 10,
            "selector": {"matchLabels": labels(component)},
            # One more starts before one ends.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": pod,
            **more,
        },
    }


def _plus(seconds: int, *more: Value) -> InChart:
    paths = " ".join(f".Values.{one.path}" for one in more)
    return InChart(f"add {seconds} {paths}", otherwise=seconds + sum(one.default for one in more))


def _setting(name: str, default: int) -> str:
    """Give the expression of a number among the settings, which need not be there."""
    return f"(default {default} .Values.settings.{name})"


def _stop_grace(service: Service) -> InChart:
    """Give how long the API may take to end, which it is told too: old addresses first, then its own time."""
    own = _setting("API_STOP_GRACE", service.grace_seconds)
    return InChart(f"add {own} .Values.{DRAIN.path}", otherwise=service.grace_seconds + DRAIN.default)


def _start_failures() -> InChart:
    """Give how many failures a start may take, which Compose is told in seconds; rounded up, as none is not one."""
    seconds = Service(API).start_seconds
    own = f"(add {_setting(START_PERIOD, seconds)} {_START_PROBE_SECONDS - 1})"
    return InChart(f"div {own} {_START_PROBE_SECONDS}", otherwise=-(-seconds // _START_PROBE_SECONDS))


def _progress() -> Object:
    """Give when a rollout has come to a stop: Kubernetes' own time, after that which a start may take."""
    seconds, more = Service(API).start_seconds, 600
    return {
        "progressDeadlineSeconds": InChart(f"add {_setting(START_PERIOD, seconds)} {more}", otherwise=seconds + more)
    }


def _hung(probe: Probe) -> InChart:
    """Give after how many failures a pod begins anew: gunicorn replaces the worker that hangs before, and it alone."""
    timeout = ServerSettings().gunicorn_timeout
    own = f"(div {_setting('GUNICORN_TIMEOUT', timeout)} {probe.seconds_between})"
    return InChart(f"add {own} {probe.failures}", otherwise=timeout // probe.seconds_between + probe.failures)


def _text(value: Value) -> InChart:
    return InChart(f".Values.{value.path} | quote", otherwise=str(value.default))


def runs_volume(when: When | None = None) -> Object:
    """Give the volume that the API and job processes share, or each one's own where their state is elsewhere."""
    key: Any = Only("name", when) if when else "name"
    return {
        key: "runs",
        Only("persistentVolumeClaim", JOBS_VOLUME): {"claimName": "runs"},
        Only("emptyDir", When("jobs.volume", default=False, negated=True)): {},
    }


def runs_mount(when: When | None = None) -> Object:
    """Give its place."""
    key: Any = Only("name", when) if when else "name"
    (target,) = [target for target, source in Service(API).mounts.items() if source == "runs"]
    return {key: "runs", "mountPath": target}


def _service_pod(service: Service, container: Object, grace: Any, when: When | None, values: str) -> Object:
    """Give a pod of the application's image: the API's, or one that works on jobs."""
    keys = [target.rpartition("/")[0] for target in service.mounts if target.endswith("/api_keys")]
    (state,) = [target for target in service.mounts if target.endswith("/state")]
    container["env"] = _environment(service, {"SIGHTGLASS_FORWARDED_ALLOW_NAMES": NGINX_PODS})
    # The application's own; what is named above comes before.
    container["envFrom"] = [
        {"configMapRef": {"name": "env", "optional": True}},
        {"secretRef": {"name": Value("envSecret", "env"), "optional": True}},
    ]
    container["volumeMounts"] = [
        {"name": "tmp", "mountPath": TEMPORARY},
        *({"name": "api-keys", "mountPath": directory, "readOnly": True} for directory in keys),
        {"name": "state", "mountPath": state, "readOnly": True},
        runs_mount(when),
    ]
    volumes = [
        {"name": "tmp", "emptyDir": {}},
        *({"name": "api-keys", "secret": _secret("api-keys")} for _ in keys),
        {"name": "state", "secret": _secret("state")},
        runs_volume(when),
    ]
    account = Value("serviceAccountName", "default", "quote")
    user, group = service.user
    # An image of yours may have a user of its own; a large number would be one with a fraction to Helm.
    own = (Value("runAsUser", user, "int64"), Value("runAsGroup", group, "int64"))
    return _pod(service, container, volumes, grace, own, values, serviceAccountName=account)


def _secret(name: str) -> Object:
    return {"secretName": name, "optional": True, "defaultMode": 0o440}


def api() -> Object:
    """Give the API's Deployment."""
    service = Service(API)
    probe = service.probe
    container = _container(service, Value("image", service.image, "quote"), {"cpu": "100m", "memory": "256Mi"}, "")
    container |= {
        "ports": [
            {"name": "http", "containerPort": API_PORT},
            {"name": METRICS, "containerPort": API_METRICS_PORT},
        ],
        # The model may take its time; a fresh replica serves at once, and one that cannot leaves soon.
        "startupProbe": _start_probe(probe, "/health"),
        "readinessProbe": _probe(probe, periodSeconds=2),
        "livenessProbe": _probe(probe, "/health", failureThreshold=_hung(probe)),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN}}},
    }
    pod = _service_pod(service, container, _stop_grace(service), JOBS_ENABLED, "")
    return _deployment(API, {Only("replicas", BY_HAND): Value("replicas", 2)}, pod, **_progress())


def jobs() -> Object:
    """Give the Deployment of what works on jobs."""
    service = Service(JOBS)
    container = _container(service, Value("image", service.image, "quote"), {"cpu": "100m", "memory": "256Mi"}, "jobs.")
    probe = service.probe
    container |= {
        "ports": [{"name": METRICS, "containerPort": probe.port}],
        "startupProbe": _start_probe(probe),
        "livenessProbe": _probe(probe),
    }
    pod = _service_pod(service, container, service.grace_seconds + LAST_SCRAPE_SECONDS, None, "jobs.")
    scaled = When("jobs.autoscaling.enabled", default=True, negated=True)
    return _deployment(JOBS, {Only("replicas", scaled): Value("jobs.replicas", 1)}, pod, **_progress())


def nginx() -> Object:
    """Give the edge's Deployment."""
    service = Service(NGINX)
    probe = service.probe
    http, https = service.ports
    container = _container(
        service, Value("edge.image", service.image, "quote"), {"cpu": "50m", "memory": "64Mi"}, "edge."
    )
    # A client's limits: each edge's own, or a share of what all allow together.
    sharing = InChart("ternary .Values.edge.replicas 1 .Values.edge.shareLimits | quote", otherwise="1")
    upstream = InChart(
        'printf "%s.%s.svc.%s" "api" "$(NAMESPACE)" .Values.clusterDomain',
        otherwise=f"{API}.$(NAMESPACE).svc.{CLUSTER_DOMAIN.default}",
    )
    retire = ["sh", f"{_CONFIGURATION}/nginx/retire.sh", _text(EDGE_DRAIN), _text(EDGE_LAST_SCRAPE)]
    container |= {
        "env": [
            {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "UPSTREAM", "value": upstream},  # whole, as NGINX completes no names
            {"name": "EDGES", "value": sharing},
            *_environment(service, {}),
        ],
        "ports": [
            {"name": "http", "containerPort": http},
            {"name": "https", "containerPort": https},
            {"name": METRICS, "containerPort": EDGE_METRICS_PORT},
        ],
        "readinessProbe": {"initialDelaySeconds": EDGE_DELAY, **_probe(probe, periodSeconds=2)},
        "livenessProbe": _probe(probe),
        "lifecycle": {"preStop": {"exec": {"command": retire}}},
    }
    volumes: dict[str, tuple[str, Object]] = {
        _CONFIGURATION: (
            "nginx",
            {"configMap": {"name": "nginx", "items": [Flow(key=k, path=p) for k, p in NGINX_FILES.items()]}},
        ),
        "/etc/site/nginx": ("site-nginx", {"configMap": {"name": "site-nginx", "optional": True}}),
        "/run/tls": ("tls", {"secret": {"secretName": Value("tls.secretName", "tls"), "defaultMode": 0o440}}),
        "/var/lib/edge": ("edge", {"emptyDir": {}}),
        TEMPORARY: ("tmp", {"emptyDir": {"medium": "Memory", "sizeLimit": service.temporary}}),
    }
    read_only = {_CONFIGURATION, "/etc/site/nginx", "/run/tls"}
    container["volumeMounts"] = [
        {"name": name, "mountPath": target, **({"readOnly": True} if target in read_only else {})}
        for target, (name, _) in volumes.items()
    ]
    pod = _pod(
        service,
        container,
        [{"name": name, **source} for name, source in volumes.values()],
        _plus(service.grace_seconds, EDGE_DRAIN, EDGE_LAST_SCRAPE),
        service.user,
        "edge.",
    )
    return _deployment(NGINX, {"replicas": Value("edge.replicas", 2)}, pod)
