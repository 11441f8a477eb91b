"""The base, its components and the chart: they say what the Compose file says, and a cluster would take them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate
import pytest
import yaml

from api.privacy.jobs import depth
from deploy import chart, composed, generate, notified
from deploy.composed import ROOT, Service
from deploy.files import NGINX_FILES
from monitoring.alerts import logs_url
from sightglass.server.settings import ServerSettings
from tests.kubernetes.manifests import (
    BASE,
    CHART,
    COMPONENTS,
    OVERLAYS,
    VALUES,
    Object,
    merged,
    objects,
    of_chart,
    rendered,
)

VERSIONS = ("1.30", "1.33", "1.37")  # preStop's sleep is on from the first
EACH_COMPONENT = sorted(path for path in COMPONENTS.iterdir())
EVERYTHING: Object = {
    "settings": {"DATABASE_URL": "postgresql://shop@database/shop", "TRUSTED_PROXIES": "10.0.0.0/24"},
    "jobs": {"enabled": True, "autoscaling": {"enabled": True}},
    "monitoring": {"enabled": True, "alertmanager": {"enabled": True}},
    "gateway": {"enabled": True},
    "ingress": {"enabled": True},
    "tls": {"certManager": {"enabled": True}},
}
VALUES_FILES = sorted(CHART.glob("values*.yaml"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
NOTES = (CHART / "templates/NOTES.txt").read_text()
ANSWERS = (CHART / "templates/tests/answers.yaml").read_text()


def refused(changes: Object) -> str:
    """What the schema has against these values beside the chart's own, as Helm hands them to it; nothing, if taken."""

    def lines(errors: Any) -> Iterator[str]:
        for error in errors:
            yield f"{'.'.join(map(str, error.absolute_path))}: {error.validator}: {error.message}"
            yield from lines(error.context)

    return "\n".join(lines(jsonschema.Draft7Validator(SCHEMA).iter_errors(merged(VALUES, changes))))


def noted(line: str, changes: Object) -> str:
    """Return what `helm install` says in the one conditional line that has this in it."""
    (about,) = re.findall(rf"^\{{\{{- if [^\n]*\n[^\n]*{line}[^\n]*\n\{{\{{- end \}}\}}$", NOTES, re.MULTILINE)
    return rendered(about, merged(VALUES, changes))


def key(one: Object) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def by_key(found: Any) -> dict[tuple[str, str], Object]:
    listed = list(found)
    named = {key(one): one for one in listed}
    assert len(named) == len(listed)
    return named


PLAIN = by_key(objects(BASE))
ALL = by_key(objects(BASE, *EACH_COMPONENT))


def pod(name: str) -> Object:
    spec: Object = ALL["Deployment", name]["spec"]["template"]["spec"]
    return spec


def container(name: str) -> Object:
    (one,) = pod(name)["containers"]
    found: Object = one
    return found


def test_the_generated_files_are_what_the_definition_makes() -> None:
    differing = [path for path, text in generate.files().items() if path.read_text() != text]
    assert not differing, "python -m deploy"


def test_nothing_is_left_of_what_is_generated_no_more() -> None:
    made = set(generate.files())
    marked = {
        path
        for room in ("deploy/k8s", "deploy/helm", "docker", "grafana")
        for path in (ROOT / room).rglob("*")
        if path.suffix in {".yaml", ".yml"}
        and "python -m deploy" in path.read_text()
        and not any(parent.is_symlink() for parent in path.parents)
    }
    assert marked <= made


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cluster_takes_every_object(version: str) -> None:
    ours = [one for one in ALL.values() if not is_custom(one)]
    assert len(ours) > 15
    for one in ours:
        kubernetes_validate.validate(one, version, strict=True)


def is_custom(one: Object) -> bool:
    """An object that only an operator's own schemas know."""
    group: str = one["apiVersion"].partition("/")[0]
    return group.endswith((".coreos.com", ".sh", "cert-manager.io", "gateway.networking.k8s.io"))


def test_a_name_that_no_cluster_knows_is_found() -> None:
    wrong = json.loads(json.dumps(ALL["Deployment", "api"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def without_annotations(one: Object) -> Object:
    """What the chart has of checksums, Kustomize has in names."""
    copy: Object = json.loads(json.dumps(one))
    if copy["kind"] == "Deployment":
        about = copy["spec"]["template"]["metadata"]
        about["annotations"] = {k: v for k, v in about["annotations"].items() if not k.startswith("checksum/")}
    return copy


def test_the_chart_as_it_is_makes_the_base() -> None:
    made = by_key(of_chart())
    assert made.pop(("ConfigMap", "nginx"))["data"] == {
        name: (ROOT / "docker" / path).read_text() for name, path in NGINX_FILES.items()
    }
    expected = {k: one for k, one in PLAIN.items() if k[0] != "Namespace"}
    assert {k: without_annotations(one) for k, one in made.items()} == expected


def test_the_chart_with_everything_on_makes_the_components_too() -> None:
    made = by_key(of_chart(EVERYTHING))
    for component in EACH_COMPONENT:
        for one in objects(component):
            theirs = without_annotations(made[key(one)])
            if key(one) == ("Deployment", "jobs"):  # KEDA's to say
                assert one["spec"].pop("replicas") == 1
            assert theirs == one
    api = without_annotations(made["Deployment", "api"])["spec"]["template"]["spec"]
    patch = yaml.safe_load((COMPONENTS / "jobs/api.yaml").read_text())["spec"]["template"]["spec"]
    assert api["volumes"] == pod("api")["volumes"] + patch["volumes"]
    mounts = patch["containers"][0]["volumeMounts"]
    assert api["containers"][0]["volumeMounts"] == container("api")["volumeMounts"] + mounts


def test_the_last_job_process_is_not_ended_while_it_is_at_the_last_job() -> None:
    """It would begin it again at the next start, and be ended again: `job_queue_depth` is 0 then."""
    (trigger,) = ALL["ScaledObject", "jobs"]["spec"]["triggers"]
    assert (trigger["metadata"]["valueLocation"], trigger["metadata"]["activationTargetValue"]) == (
        depth.JOBS_UNFINISHED._name,
        "0",
    )


def test_keda_may_ask_what_it_asks() -> None:
    (trigger,) = ALL["ScaledObject", "jobs"]["spec"]["triggers"]
    url = httpx.URL(trigger["metadata"]["url"])
    policy = ALL["NetworkPolicy", "keda"]["spec"]
    (rule,) = policy["ingress"]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == url.host.partition(".")[0]
    assert rule["ports"] == [{"port": url.port, "protocol": "TCP"}]
    (side,) = rule["from"]
    assert side["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "keda"}


@pytest.mark.parametrize(
    ("changes", "multiplied"),
    [({}, True), ({"replicas": 5}, True), ({"replicas": 1}, False), ({"shareLimits": True}, False)],
)
def test_helm_says_that_limits_multiply_where_they_do(changes: Object, *, multiplied: bool) -> None:
    assert bool(noted(r" times RATE_LIMIT\.", {"edge": changes})) == multiplied


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, False),
        ({"gateway": {"enabled": True}}, True),
        ({"ingress": {"enabled": True}}, True),
        ({"ingress": {"enabled": True}, "edge": {"service": {"type": "ClusterIP"}}}, False),
    ],
)
def test_helm_says_that_there_is_a_way_past_the_gateway(changes: Object, *, said: bool) -> None:
    assert bool(noted("edge.service.type=ClusterIP", changes)) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, False),
        ({"monitoring": {"enabled": True}}, True),
        ({"monitoring": {"enabled": True}, "networkPolicy": {"enabled": False}}, False),
    ],
)
def test_helm_says_from_where_scrapes_come(changes: Object, *, said: bool) -> None:
    there = {"networkPolicy": {"monitoringNamespace": "observability"}}
    assert ("observability" in noted("scrapes are dropped", merged(there, changes))) == said


@pytest.mark.parametrize(
    ("changes", "there", "gone"),
    [
        ({"networkPolicy": {"enabled": False}}, ("Deployment", "api"), ("NetworkPolicy", "default-deny")),
        ({"autoscaling": {"enabled": False}}, ("Deployment", "api"), ("HorizontalPodAutoscaler", "api")),
        ({"tls": {"crt": "c", "key": "k"}}, ("Secret", "tls"), ("Certificate", "tls")),
        ({"jobs": {"enabled": True}}, ("PersistentVolumeClaim", "runs"), ("ScaledObject", "jobs")),
        ({"jobs": {"enabled": True}}, ("PersistentVolumeClaim", "runs"), ("NetworkPolicy", "keda")),
        (
            {"jobs": {"enabled": True, "autoscaling": {"enabled": True}}, "networkPolicy": {"enabled": False}},
            ("ScaledObject", "jobs"),
            ("NetworkPolicy", "keda"),
        ),
        ({"jobs": {"autoscaling": {"enabled": True}}}, ("Deployment", "api"), ("ScaledObject", "jobs")),
        ({"jobs": {"autoscaling": {"enabled": True}}}, ("Deployment", "api"), ("NetworkPolicy", "keda")),
        ({}, ("NetworkPolicy", "default-deny"), ("NetworkPolicy", "http01-solver")),
        (
            {"tls": {"certManager": {"enabled": True}}},
            ("NetworkPolicy", "http01-solver"),
            ("Secret", "tls"),
        ),
        (
            {"tls": {"certManager": {"enabled": True}}, "networkPolicy": {"enabled": False}},
            ("Certificate", "tls"),
            ("NetworkPolicy", "http01-solver"),
        ),
    ],
)
def test_values_switch_parts_on_and_off(changes: Object, there: tuple[str, str], gone: tuple[str, str]) -> None:
    made = by_key(of_chart(changes))
    assert there in made
    assert gone not in made


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"jobs": {"enabled": True}}, ("PersistentVolumeClaim", "runs")),
        ({"tls": {"crt": "c", "key": "k"}}, ("Secret", "tls")),  # an update does not say it again
    ],
)
def test_helm_does_not_delete_what_could_not_be_made_again(changes: Object, kept: tuple[str, str]) -> None:
    assert by_key(of_chart(changes))[kept]["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_cert_manager_s_answer_is_reached() -> None:
    assert ALL["NetworkPolicy", "http01-solver"]["spec"] == {
        "podSelector": {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": 8089, "protocol": "TCP"}]}],
    }


def test_an_ingress_controller_refuses_and_cuts_nothing_that_nginx_does_not() -> None:
    (seconds,) = re.findall(r"^# UPSTREAM_TIMEOUT=([0-9]+)$", (ROOT / ".env.template").read_text(), re.MULTILINE)
    told = {"proxy-body-size": "0", "proxy-request-buffering": "off"}
    told |= dict.fromkeys(("proxy-read-timeout", "proxy-send-timeout"), seconds)
    found = ALL["Ingress", "nginx"]["metadata"]["annotations"]
    assert found == {f"nginx.ingress.kubernetes.io/{name}": value for name, value in told.items()}


LOCAL = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"


@pytest.mark.parametrize("jobs", [{}, {"enabled": True}, {"volume": False}, {"enabled": True, "volume": False}])
def test_no_pod_keeps_a_node_that_a_cluster_autoscaler_would_take(jobs: Object) -> None:
    deployments = [one for one in of_chart({"jobs": jobs}) if one["kind"] == "Deployment"]
    assert len(deployments) == 2 + bool(jobs.get("enabled"))
    for one in deployments:
        template = one["spec"]["template"]
        volumes = {volume["name"] for volume in template["spec"]["volumes"] if "emptyDir" in volume}
        named = template["metadata"]["annotations"][LOCAL].split(",")
        assert len(volumes) == len(named) > 0
        assert volumes == set(named)


def test_nor_does_one_whose_jobs_are_elsewhere() -> None:
    patches = yaml.safe_load_all((COMPONENTS / "jobs-elsewhere/patches.yaml").read_text())
    changed = {one["metadata"]["name"]: one["spec"]["template"] for one in patches if one["kind"] == "Deployment"}
    assert set(changed) == {"api", "jobs"}
    for name, template in changed.items():
        (own,) = template["spec"]["volumes"]
        before = ALL["Deployment", name]["spec"]["template"]["metadata"]["annotations"][LOCAL]
        assert template["metadata"]["annotations"] == {LOCAL: f"{before},{own['name']}"}


def test_a_budget_keeps_one_that_is_ready_and_none_that_is_not() -> None:
    budgets = [one["spec"] for (kind, _), one in PLAIN.items() if kind == "PodDisruptionBudget"]
    assert [(one["minAvailable"], one["unhealthyPodEvictionPolicy"]) for one in budgets] == [(1, "AlwaysAllow")] * 2


def test_without_an_autoscaler_the_values_say_how_many() -> None:
    made = by_key(of_chart({"autoscaling": {"enabled": False}, "replicas": 5}))
    assert made["Deployment", "api"]["spec"]["replicas"] == 5
    assert "replicas" not in PLAIN["Deployment", "api"]["spec"]  # else each apply would undo the autoscaler's


def rules() -> list[Object]:
    groups = [one["spec"]["groups"] for (kind, _), one in ALL.items() if kind == "PrometheusRule"]
    return [rule for some in groups for group in some for rule in group["rules"]]


def test_rules_are_about_what_is_scraped_here() -> None:
    found = rules()
    alerts = {rule["alert"] for rule in found if "alert" in rule}
    assert {"APIDown", "EdgeDown", "JobQueueOld", "JobStateFailing", "EdgeGatewayErrors", "ErrorBudgetBurn"} <= alerts
    assert not alerts & {"TargetMissing", "Watchdog", "HostMemoryLow", "BackupTooOld", "LogsNotReceived"}
    assert "PrometheusBlind" not in alerts  # by its name in Compose it would be so always
    assert not alerts & {"EdgeProbeFailing", "CertificateExpiring", "DatabaseDown", "DatabaseConnectionsShort"}
    # The one that is not Compose's word for word.
    (ours,) = [rule for rule in found if rule.get("alert") == "TargetDown"]
    whole = [yaml.safe_load((ROOT / f"docker/prometheus/rules/{name}.yml").read_text()) for name in ("causes", "slo")]
    every = [rule for one in whole for group in one["groups"] for rule in group["rules"]]
    (theirs,) = [rule for rule in every if rule.get("alert") == "TargetDown"]
    lines = {"logs_url": logs_url('{service.name=~"api|jobs|nginx"}')}
    annotations = theirs["annotations"] | lines
    assert ours == theirs | {"expr": 'up{job=~"api|jobs|nginx"} == 0', "for": "5m", "annotations": annotations}
    assert all(rule in every for rule in found if rule != ours)


def test_a_pod_that_ends_or_begins_is_no_target_that_is_down() -> None:
    """Not as long as it may take by default."""
    (waits,) = [rule["for"] for rule in rules() if rule.get("alert") == "TargetDown"]
    seconds = int(waits.removesuffix("m")) * 60
    for name in WORKLOADS:
        started = container(name).get("startupProbe", {"periodSeconds": 0, "failureThreshold": 0})
        assert pod(name)["terminationGracePeriodSeconds"] < seconds
        assert started["periodSeconds"] * started["failureThreshold"] < seconds


def test_what_a_rule_reads_of_other_rules_is_recorded_here() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    read = {name for rule in rules() for name in re.findall(r"\b[A-Za-z_]\w*(?::\w+)+", rule["expr"])}
    assert "slo:sli_error:ratio_rate5m" in read
    assert read <= recorded


def test_alerts_are_routed_as_in_compose() -> None:
    """All but the heartbeat, whose alert is not here; and what silences what, where the alert that does is here."""
    written = yaml.safe_load(notified.FILE.read_text())
    spec = ALL["AlertmanagerConfig", "sightglass"]["spec"]
    route = spec["route"]
    assert (route["groupBy"], route["groupWait"]) == (written["route"]["group_by"], written["route"]["group_wait"])
    assert [(one["matchers"], one["repeatInterval"]) for one in route["routes"]] == [
        ([{"name": "severity", "matchType": "=", "value": "page"}], "1h")
    ]
    sources = [rule["sourceMatch"][0]["value"] for rule in spec["inhibitRules"]]
    assert set(sources) <= notified.alerts()
    # Not a missing replica's, the prober's, a blind Prometheus', and what the prober says of the certificate.
    assert len(sources) == len(written["inhibit_rules"]) - 4
    assert not {"ReplicaMissing", "TargetDown", "PrometheusBlind"} & set(sources)
    # Not the cluster's own Watchdog, where the operator adds no matcher of the namespace's.
    (ours,) = route["matchers"]
    assert (ours["name"], ours["matchType"]) == ("alertname", "=~")
    assert ours["value"].split("|") == sorted({rule["alert"] for rule in rules() if "alert" in rule})
    (target,) = spec["inhibitRules"][0]["targetMatch"]
    assert target == {
        "name": "alertname",
        "matchType": "=~",
        "value": "EdgeGatewayErrors|ErrorBudgetBurn|EdgeProbeFailing|WorkerHung",
    }
    assert spec["inhibitRules"][-1]["equal"] == ["slo"]
    assert [one["name"] for one in spec["receivers"]] == [route["receiver"]]


def test_whoever_is_told_of_alerts_is_the_values_to_say() -> None:
    slack = [{"apiURL": {"name": "alertmanager", "key": "slack"}, "channel": "#shop"}]
    told = {"monitoring": {"alertmanager": {"enabled": True, "webhooks": [], "slack": slack}}}
    (receiver,) = by_key(of_chart(told))["AlertmanagerConfig", "sightglass"]["spec"]["receivers"]
    assert (receiver["webhookConfigs"], receiver["slackConfigs"]) == ([], slack)


@pytest.mark.parametrize("matcher", ["alertname", "= page", "severity > page"])
def test_a_matcher_that_cannot_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, matcher: str
) -> None:
    written = yaml.safe_load(notified.FILE.read_text())
    written["inhibit_rules"][0]["target_matchers"] = [matcher]
    monkeypatch.setattr(notified, "FILE", tmp_path / "alertmanager.yml")
    notified.FILE.write_text(yaml.safe_dump(written))
    with pytest.raises(ValueError, match=r"alertmanager\.yml: .*: expected NAME OPERATOR VALUE"):
        notified.alertmanager_config()


@pytest.mark.parametrize(
    ("changes", "edges"),
    [({}, "1"), ({"replicas": 5}, "1"), ({"shareLimits": True}, "2"), ({"shareLimits": True, "replicas": 5}, "5")],
)
def test_edges_share_a_client_s_limits_where_the_values_say_so(changes: Object, edges: str) -> None:
    made = by_key(of_chart({"edge": changes}))["Deployment", "nginx"]["spec"]["template"]["spec"]
    environment = {entry["name"]: entry for entry in made["containers"][0]["env"]}
    assert environment["EDGES"] == {"name": "EDGES", "value": edges}
    assert environment["RATE_LIMIT"]["valueFrom"]["configMapKeyRef"]["key"] == "RATE_LIMIT"


@pytest.mark.parametrize(
    ("changes", "policy"),
    [
        ({}, "Local"),
        ({"type": "NodePort"}, "Local"),
        ({"type": "NodePort", "externalTrafficPolicy": "Cluster"}, "Cluster"),
        ({"type": "ClusterIP"}, None),
    ],
)
def test_clients_from_outside_keep_their_addresses_but_where_the_values_say_so(
    changes: Object, policy: str | None
) -> None:
    spec = by_key(of_chart({"edge": {"service": changes}}))["Service", "nginx"]["spec"]
    assert (spec["type"], spec.get("externalTrafficPolicy")) == (changes.get("type", "LoadBalancer"), policy)


def test_a_cloud_s_balancer_may_be_without_affinity() -> None:
    balanced = {"sessionAffinity": "None", "annotations": {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"}}
    service = by_key(of_chart({"edge": {"service": balanced}}))["Service", "nginx"]
    assert (service["spec"]["sessionAffinity"], service["metadata"]["annotations"]) == (*balanced.values(),)
    assert PLAIN["Service", "nginx"]["spec"]["sessionAffinity"] == "ClientIP"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"edge": {"service": {"sessionAffinity": "Cookie"}}}, SCHEMA)


def test_which_balancer_and_whom_it_lets_in_are_the_values_to_say() -> None:
    said = {"loadBalancerClass": "internal", "loadBalancerSourceRanges": ["10.0.0.0/8"]}
    assert refused({"edge": {"service": said}}) == ""
    spec = by_key(of_chart({"edge": {"service": said}}))["Service", "nginx"]["spec"]
    assert {name: spec[name] for name in said} == said
    assert not said.keys() & PLAIN["Service", "nginx"]["spec"].keys()  # empty, the first would be no class at all
    for name, value in said.items():
        assert "LoadBalancer" in refused({"edge": {"service": {name: value, "type": "ClusterIP"}}})
    assert refused({"edge": {"service": {"type": "ClusterIP"}}}) == ""


def test_a_volume_of_the_one_node_need_not_be_for_many() -> None:
    def modes(**jobs: bool) -> Any:
        changes = {"jobs": {"enabled": True, **jobs}, "settings": {"DATABASE_URL": "postgresql://a@b/c"}}
        return by_key(of_chart(changes))["PersistentVolumeClaim", "runs"]["spec"]["accessModes"]

    assert modes() == ["ReadWriteMany"]
    assert modes(oneNode=True) == ["ReadWriteOnce"]


# ── What both worlds share (docs/kubernetes.md lists it) ─────────────────────────────────────────────────────────────

WORKLOADS = ("nginx", "api", "jobs")
# Directories of the one host, and the password of the Valkey that Compose runs.
NOT_IN_THE_CLUSTER = {"/srv/app", "/models", "/data", "/run/valkey", "/run/database"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_image_command_and_user_are_compose_s(name: str) -> None:
    service, one = Service(name), container(name)
    assert (one["image"], one.get("command"), one.get("args")) == (service.image, service.entrypoint, service.command)
    context = pod(name)["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == service.user


@pytest.mark.parametrize("name", WORKLOADS)
def test_limits_grace_and_hardening_are_compose_s(name: str) -> None:
    service, one = Service(name), container(name)
    assert one["resources"]["limits"] == {"cpu": service.cpus, "memory": service.memory}
    hook = one.get("lifecycle", {}).get("preStop", {})
    sleeps = [hook["sleep"]["seconds"]] if "sleep" in hook else map(int, hook["exec"]["command"][2:] if hook else [])
    last_scrape = int(chart.DEFAULT_SETTINGS["JOBS_LAST_SCRAPE"]) if name == "jobs" else 0
    assert pod(name)["terminationGracePeriodSeconds"] == service.grace_seconds + sum(sleeps) + last_scrape
    read_only, dropped, options = service.hardening
    assert one["securityContext"] == {
        "readOnlyRootFilesystem": read_only,
        "capabilities": {"drop": dropped},
        "allowPrivilegeEscalation": "no-new-privileges:true" not in options,
    }
    assert (read_only, dropped, options) == (True, ["ALL"], ["no-new-privileges:true"])


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_variable_of_compose_s_is_there(name: str) -> None:
    service = Service(name)
    found = {entry["name"]: entry for entry in container(name)["env"]}
    assert set(found) - set(service.environment) == ({"NAMESPACE", "UPSTREAM", "EDGES"} if name == "nginx" else set())
    for variable, value in service.environment.items():
        if isinstance(value, composed.Setting):
            reference = {"name": "settings", "key": value.name, "optional": True}
            assert found[variable]["valueFrom"] == {"configMapKeyRef": reference}
        elif variable != "SIGHTGLASS_FORWARDED_ALLOW_NAMES":
            assert found[variable]["value"] == value
    if name != "nginx":
        assert found["SIGHTGLASS_FORWARDED_ALLOW_NAMES"]["value"] == "nginx-pods"
        assert PLAIN["Service", "nginx-pods"]["spec"]["publishNotReadyAddresses"] is True


@pytest.mark.parametrize("name", WORKLOADS)
def test_what_compose_mounts_is_mounted(name: str) -> None:
    mounted = {mount["mountPath"] for mount in container(name)["volumeMounts"]}
    if name == "api":
        mounted |= {"/app/runs"}  # with the component jobs
    wanted = {re.sub(r"^/run/keys/.*", "/run/keys", target) for target in Service(name).mounts}
    wanted |= {"/tmp"}
    assert mounted == wanted - NOT_IN_THE_CLUSTER
    # There a cloud mounts what tells it who a pod is (Pod Identity, IRSA); in a read-only volume it could not.
    assert not any(path.startswith(("/run/secrets", "/var/run/secrets")) for path in mounted)


def test_clients_keys_are_for_the_api_alone() -> None:
    for name in WORKLOADS:
        here = [volume for volume in pod(name)["volumes"] if volume.get("secret", {}).get("secretName") == "api-keys"]
        there = [target for target in Service(name).mounts if target.startswith("/run/keys")]
        assert len(here) == len(there) == (name == "api")


def pods_of(changes: Object) -> dict[str, Object]:
    """Each workload's pod, of the chart with jobs."""
    made = of_chart(merged({"jobs": {"enabled": True}}, changes))
    return {one["metadata"]["name"]: one["spec"]["template"] for one in made if one["kind"] == "Deployment"}


def test_an_image_s_own_user_is_the_application_s_alone() -> None:
    own = {"runAsUser": 1000650000, "runAsGroup": 7}
    assert refused(own) == ""
    contexts = {name: one["spec"]["securityContext"] for name, one in pods_of(own).items()}
    users = {name: (one["runAsUser"], one["runAsGroup"], one["fsGroup"]) for name, one in contexts.items()}
    assert users == {"api": (1000650000, 7, 7), "jobs": (1000650000, 7, 7), "nginx": (101, 101, 101)}
    assert "runAsUser" in refused({"runAsUser": 0})
    # To Helm a value is a float, which prints as 1.00065e+09.
    printed = (CHART / "templates/api.yaml").read_text()
    assert re.findall(r"(?:runAs\w+|fsGroup): \{\{ .*?( \| int64)? \}\}", printed) == [" | int64"] * 3


def test_pods_have_the_values_labels_and_annotations_beside_their_own() -> None:
    more = {"podLabels": {"team": "shop"}, "podAnnotations": {"sidecar.istio.io/inject": "false"}}
    assert refused(more) == ""
    before, after = pods_of({}), pods_of(more)
    assert set(after) == {"api", "jobs", "nginx"}
    for name, one in after.items():
        assert one["metadata"]["labels"] == before[name]["metadata"]["labels"] | more["podLabels"]
        assert one["metadata"]["annotations"] == before[name]["metadata"]["annotations"] | more["podAnnotations"]


@pytest.mark.parametrize("kind", ["podLabels", "podAnnotations"])
def test_a_pod_s_own_labels_and_annotations_stay(kind: str) -> None:
    own = {name for one in pods_of({}).values() for name in one["metadata"][kind.removeprefix("pod").lower()]}
    assert len(own) > 1
    for name in own:
        assert kind in refused({kind: {name: "other"}})
    assert kind in refused({kind: {"numbered": 1}})


@pytest.mark.parametrize(("name", "parent"), [("api", None), ("jobs", "jobs"), ("nginx", "edge")])
def test_each_has_nodes_of_its_own(name: str, parent: str | None) -> None:
    said = {"nodeSelector": {"pool": "own"}, "tolerations": [{"key": "own", "operator": "Exists"}]}
    changes = {parent: said} if parent else said
    assert refused(changes) == ""
    there = {name for name, one in pods_of(changes).items() if one["spec"]["nodeSelector"] == said["nodeSelector"]}
    assert there == {name}
    assert pods_of(changes)[name]["spec"]["tolerations"] == said["tolerations"]


def test_helm_s_test_asks_with_what_the_edge_s_image_has() -> None:
    """An application's own image need have neither Python nor curl."""
    asking, *policies = yaml.safe_load_all(rendered(ANSWERS, VALUES))
    (one,) = asking["spec"]["containers"]
    assert one["image"] == Service("nginx").image
    assert asking["spec"]["securityContext"]["runAsUser"] == Service("nginx").user[0]
    check = composed._file()["services"]["nginx"]["healthcheck"]["test"]
    assert check[1] == "curl"
    assert "curl " in one["command"][2]
    for each in (asking, *policies):
        kubernetes_validate.validate(each, VERSIONS[0], strict=True)
    # It may ask NGINX whomever else networkPolicy.ingress lets in.
    asked = {tuple(each["spec"]["policyTypes"]): each["spec"] for each in policies}
    labels = asking["metadata"]["labels"]
    assert asked["Egress",]["podSelector"]["matchLabels"] == labels
    assert asked["Ingress",]["podSelector"] == PLAIN["Deployment", "nginx"]["spec"]["selector"]
    (rule,) = asked["Ingress",]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": labels}}]
    assert {port["port"] for port in rule["ports"]} == {Service("nginx").ports[1]}


@pytest.mark.parametrize(("ready", "status"), [(200, 0), (503, 22)])
def test_helm_s_test_fails_where_nginx_is_not_ready(tmp_path: Path, ready: int, status: int) -> None:
    asking, *_ = yaml.safe_load_all(rendered(ANSWERS, VALUES))
    command = asking["spec"]["containers"][0]["command"]
    (tmp_path / "curl").write_text(f"""#!/bin/sh
    case "$*" in
        *" https://nginx/health") ;;
        *" https://nginx/ready") [ {ready} = 200 ] || exit 22 ;;
        *) exit 3 ;;
    esac
    """)
    (tmp_path / "curl").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(command, env=path, check=False).returncode == status
    assert {"--fail", "--retry-all-errors", "--insecure"} <= set(command[2].split())


def test_the_application_s_pods_have_the_service_account_of_the_values() -> None:
    made = by_key(of_chart({"jobs": {"enabled": True}, "serviceAccountName": "shop"}))
    accounts = {
        name: one["spec"]["template"]["spec"].get("serviceAccountName")
        for (kind, name), one in made.items()
        if kind == "Deployment"
    }
    assert accounts == {"api": "shop", "jobs": "shop", "nginx": None}
    assert pod("api")["serviceAccountName"] == "default"


@pytest.mark.parametrize("name", WORKLOADS)
def test_probes_ask_what_compose_asks(name: str) -> None:
    service, one = Service(name), container(name)
    asked = one["livenessProbe" if name == "jobs" else "readinessProbe"]
    assert (asked["httpGet"], asked["timeoutSeconds"], asked["failureThreshold"]) == (
        {"path": service.probe.path, "port": service.probe.port},
        service.probe.seconds_allowed,
        service.probe.failures,
    )
    assert one["livenessProbe"]["periodSeconds"] == service.probe.seconds_between
    if name == "api":
        started = one["startupProbe"]
        assert started["periodSeconds"] * started["failureThreshold"] == service.start_seconds


def test_an_edge_that_cannot_read_its_files_again_ends_no_earlier(tmp_path: Path) -> None:
    """An upgrade brings the next version's files to it."""
    shutil.copy(ROOT / "docker/nginx/retire.sh", tmp_path)
    (tmp_path / "reload.sh").write_text("echo refused; exit 1\n")
    (tmp_path / "sleep").write_text('#!/bin/sh\necho "$1"\n')
    (tmp_path / "sleep").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run(["sh", tmp_path / "retire.sh", "15", "20"], env=path, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.split()) == (0, ["15", "refused", "20"])


def api_of(settings: Object) -> Object:
    spec: Object = by_key(of_chart({"settings": settings}))["Deployment", "api"]["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("grace", ["300", 300, ""])
def test_the_api_has_the_time_to_end_that_it_is_told_it_has(grace: Any) -> None:
    seconds = int(grace or ServerSettings().api_stop_grace)
    assert api_of({"API_STOP_GRACE": grace})["terminationGracePeriodSeconds"] == seconds + VALUES["drainSeconds"]


@pytest.mark.parametrize("period", [None, "300", 300, "", "1", 7])
@pytest.mark.parametrize("name", ["api", "jobs"])
def test_an_application_has_the_time_to_start_that_it_is_given(name: str, period: Any) -> None:
    settings = {} if period is None else {"API_START_PERIOD": period}
    jsonschema.validate({"settings": settings}, SCHEMA)
    made = by_key(of_chart({"settings": settings, "jobs": {"enabled": True}}))["Deployment", name]
    probe = made["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    seconds = int(period or Service("api").start_seconds)
    assert seconds <= probe["periodSeconds"] * probe["failureThreshold"] < seconds + probe["periodSeconds"]


@pytest.mark.parametrize("timeout", [None, "20", 300])
def test_a_worker_that_hangs_is_replaced_before_its_pod_is(timeout: Any) -> None:
    (one,) = api_of({} if timeout is None else {"GUNICORN_TIMEOUT": timeout})["containers"]
    probe = one["livenessProbe"]
    patient = probe["periodSeconds"] * (probe["failureThreshold"] - 1)
    assert patient > int(timeout or ServerSettings().gunicorn_timeout)
    assert probe["periodSeconds"] == Service("api").probe.seconds_between


@pytest.mark.parametrize("name", ["API_START_PERIOD", "API_STOP_GRACE", "GUNICORN_TIMEOUT"])
def test_seconds_that_are_reckoned_with_are_whole_ones(name: str) -> None:
    taken: list[Any] = [1, "90", 86400, ""]
    refused: list[Any] = ["2m", "0", 0, "90.5", 90.5, -1, True]
    for value in taken:
        jsonschema.validate({"settings": {name: value}}, SCHEMA)
    for value in refused:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"settings": {name: value}}, SCHEMA)


@pytest.mark.parametrize("period", [None, "900"])
def test_a_start_that_is_allowed_is_progress(period: str | None) -> None:
    made = by_key(
        of_chart({"settings": {} if period is None else {"API_START_PERIOD": period}, "jobs": {"enabled": True}})
    )
    for name in ("api", "jobs"):
        spec = made["Deployment", name]["spec"]
        probe = spec["template"]["spec"]["containers"][0]["startupProbe"]
        assert spec["progressDeadlineSeconds"] == probe["periodSeconds"] * probe["failureThreshold"] + 600


def test_nginx_listens_where_compose_publishes() -> None:
    ports = [port["containerPort"] for port in container("nginx")["ports"]]
    assert ports == [*Service("nginx").ports, Service("nginx").probe.port]
    assert [port["containerPort"] for port in container("api")["ports"]] == composed.exposed()


def joined() -> Iterator[tuple[str, str]]:
    """Which pairs of ours the policies let talk."""
    component = "app.kubernetes.io/component"
    for policy in (one for (kind, _), one in PLAIN.items() if kind == "NetworkPolicy"):
        own = policy["spec"]["podSelector"].get("matchLabels", {}).get(component)
        if own:
            for rule in [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]:
                for side in [*rule.get("from", []), *rule.get("to", [])]:
                    if "podSelector" in side:
                        yield own, side["podSelector"]["matchLabels"][component]


def test_policies_join_only_what_compose_s_networks_join() -> None:
    pairs = {frozenset(pair) for pair in joined()}
    assert pairs == {frozenset(("nginx", "api"))}
    for one, other in pairs:
        assert Service(one).networks & Service(other).networks
    denied = PLAIN["NetworkPolicy", "default-deny"]["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_where_the_application_may_go_the_edge_may_not() -> None:
    database = {"to": [{"ipBlock": {"cidr": "10.0.9.0/24"}}]}
    policies = by_key(of_chart({"networkPolicy": {"egress": [database]}}))
    led = [one["spec"] for (kind, _), one in policies.items() if kind == "NetworkPolicy"]
    (application,) = [one for one in led if database in one.get("egress", [])]
    assert application["podSelector"] == {
        "matchLabels": {"app.kubernetes.io/name": "sightglass"},
        "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": ["api", "jobs"]}],
    }


def test_the_dns_may_be_a_cache_on_the_node() -> None:
    cache = [{"ipBlock": {"cidr": "169.254.20.10/32"}}]
    asked = PLAIN["NetworkPolicy", "dns"]["spec"]["egress"]
    assert len(asked) == 1  # a rule that names nobody would lead everywhere
    with_cache = by_key(of_chart({"networkPolicy": {"dnsPeers": cache}}))["NetworkPolicy", "dns"]["spec"]["egress"]
    assert with_cache == [*asked, {"to": cache, "ports": asked[0]["ports"]}]


def test_the_edge_is_open_to_whom_the_values_name() -> None:
    gateway = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateway"}}}]
    policy = by_key(of_chart({"networkPolicy": {"ingress": gateway}}))["NetworkPolicy", "nginx"]
    clients, scrapes = policy["spec"]["ingress"]
    everybody, same = PLAIN["NetworkPolicy", "nginx"]["spec"]["ingress"]
    assert clients == {**everybody, "from": gateway}
    assert scrapes == same


def test_metrics_and_the_api_s_port_are_open_to_nobody_outside() -> None:
    for rule in PLAIN["NetworkPolicy", "nginx"]["spec"]["ingress"]:
        ports = {port["port"] for port in rule["ports"]}
        assert "from" in rule or ports == set(Service("nginx").ports)
    for name in ("api", "jobs"):
        assert all("from" in rule for rule in PLAIN["NetworkPolicy", name]["spec"]["ingress"])
    outside = [port["targetPort"] for port in PLAIN["Service", "nginx"]["spec"]["ports"]]
    assert outside == Service("nginx").ports


def change_compose(monkeypatch: pytest.MonkeyPatch, service: str, path: list[str], value: Any) -> None:
    whole = json.loads(json.dumps(composed._file()))
    node = whole["services"][service]
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    monkeypatch.setattr(composed, "_file", lambda: whole)


@pytest.mark.parametrize(
    ("service", "path", "value"),
    [
        ("nginx", ["image"], "nginx:1.31"),
        ("nginx", ["entrypoint"], ["/bin/sh"]),
        ("nginx", ["user"], "102:102"),
        ("nginx", ["ports"], ["80:8081", "443:8443"]),
        ("nginx", ["environment", "MORE"], None),
        ("nginx", ["tmpfs"], ["/tmp:size=128m"]),
        ("nginx", ["stop_grace_period"], "80s"),
        ("nginx", ["healthcheck", "test"], ["CMD", "curl", "http://127.0.0.1:9113/other"]),
        ("nginx", ["deploy", "resources", "limits", "memory"], "2g"),
        ("api", ["environment", "SIGHTGLASS_PORT"], 8001),
        ("api", ["environment", "SIGHTGLASS_MORE"], "${MORE:-}"),
        ("api", ["stop_grace_period"], "60s"),
        ("api", ["healthcheck", "start_period"], "60s"),
        ("api", ["deploy", "resources", "limits", "cpus"], "3.0"),
        ("jobs", ["command"], ["true"]),
        ("jobs", ["stop_grace_period"], "20s"),
        ("jobs", ["healthcheck", "test"], ["CMD", "python3", "healthcheck.py", "9464", "/other"]),
    ],
)
def test_another_word_in_compose_is_another_word_in_both(
    monkeypatch: pytest.MonkeyPatch, service: str, path: list[str], value: Any
) -> None:
    change_compose(monkeypatch, service, path, value)
    differing = {str(path) for path, text in generate.files().items() if path.read_text() != text}
    assert any("/k8s/" in path for path in differing)
    assert any("/helm/" in path for path in differing)


def test_the_api_and_the_jobs_are_of_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    change_compose(monkeypatch, "api", ["image"], "other")
    with pytest.raises(ValueError, match="image: two defaults"):
        generate.files()


# ── Values, settings, overlays ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", VALUES_FILES, ids=lambda path: path.name)
def test_values_files_fit_the_schema(path: Path) -> None:
    values = merged(yaml.safe_load((CHART / "values.yaml").read_text()), yaml.safe_load(path.read_text()))
    jsonschema.validate(values, SCHEMA)


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"RATE_LIMITS": "10"}},
        {"settings": {"RATE_LIMIT": ["10"]}},
        {"edge": {"replica": 3}},
        {"edge": {"service": {"type": "External"}}},
        {"edge": {"service": {"externalTrafficPolicy": "local"}}},
        {"replicas": "three"},
        {"drainSeconds": 0},
        {"autoscaling": {"minReplicas": 0}},
        {"env": {"A B": "c"}},
        {"image": {"repository": "x"}},
        {"enabled": True},
        {"edge": {"tolerations": {"key": "a"}}},
        {"jobs": {"autoscaling": {"jobsPerReplica": "5"}}},
        {"jobs": {"autoscaling": {"jobsPerReplica": 0}}},
        {"jobs": {"autoscaling": {"jobsPerReplica": 2.5}}},
    ],
)
def test_a_value_that_nobody_reads_or_of_another_kind_is_refused(changes: Object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changes, SCHEMA)


DATABASE = "postgresql://a@b/c"


@pytest.mark.parametrize(
    "known",
    [
        {"settings": {"DATABASE_URL": DATABASE}},
        {"env": {"SIGHTGLASS_DATABASE_URL": DATABASE}},
        {"jobs": {"databaseInSecret": True}},
        {"jobs": {"oneNode": True}},
    ],
    ids=lambda known: next(iter(known[next(iter(known))])),
)
def test_jobs_whose_pods_would_share_sqlite_are_refused(known: Object) -> None:
    on: Object = {"jobs": {"enabled": True}}
    assert refused(merged(on, known)) == ""
    assert "DATABASE_URL" in refused(on)
    for empty in ({"settings": {"DATABASE_URL": ""}}, {"env": {"SIGHTGLASS_DATABASE_URL": ""}}):
        assert "DATABASE_URL" in refused({**on, **empty})
    # Without a volume they would share nothing, of one node either.
    alone: Object = {"jobs": {"volume": False}, "settings": {"DOCUMENTS_URL": "s3://d"}}
    assert bool(refused(merged(merged(on, alone), known))) == ("oneNode" in known.get("jobs", {}))


@pytest.mark.parametrize("documents", [{}, {"DOCUMENTS_URL": ""}])
def test_jobs_without_a_volume_are_refused_where_they_would_be_lost(documents: Object) -> None:
    elsewhere = {"settings": {"DATABASE_URL": DATABASE, **documents}, "jobs": {"enabled": True, "volume": False}}
    assert "DOCUMENTS_URL" in refused(elsewhere)
    assert refused(merged(elsewhere, {"settings": {"DOCUMENTS_URL": "s3://d"}})) == ""
    assert refused(merged(elsewhere, {"jobs": {"enabled": False}})) == ""
    assert refused(merged(elsewhere, {"jobs": {"volume": True}})) == ""


@pytest.mark.parametrize("route", ["gateway", "ingress"])
def test_a_route_whose_requests_would_be_redirected_for_ever_is_refused(route: str) -> None:
    on = {route: {"enabled": True}}
    assert refused({**on, "settings": {"TRUSTED_PROXIES": "10.0.0.0/24"}}) == ""
    for settings in ({}, {"TRUSTED_PROXIES": ""}):
        assert "TRUSTED_PROXIES" in refused({**on, "settings": settings})


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("redis://valkey:6379/0", True),
        ("postgresql://shop@database:5432/shop?sslmode=require", True),
        ("unix:///run/valkey.sock?db=0", True),
        ("redis://:password@valkey", False),
        ("rediss://user:pass:word@valkey:6379/0", False),
        ("postgresql://shop:password@database/shop", False),
        ("postgresql://shop@database/shop?sslmode=require&password=p", False),
    ],
)
@pytest.mark.parametrize("name", ["QUEUE_URL", "DATABASE_URL"])
def test_a_password_in_a_config_map_is_refused(name: str, url: str, *, taken: bool) -> None:
    for changes in ({"settings": {name: url}}, {"env": {f"SIGHTGLASS_{name}": url}}):
        said = refused(changes)
        assert (f"SIGHTGLASS_{name} in the Secret {VALUES['envSecret']}" in said) != taken
        assert bool(said) != taken
    assert refused({"settings": {"OTEL_RESOURCE_ATTRIBUTES": "a=b://c:d@e"}}) == ""


@pytest.mark.parametrize(
    ("tls", "about"),
    [
        ({"crt": "c", "key": "k"}, None),
        ({"certManager": {"enabled": True}}, None),
        ({"crt": "c"}, "tls.key"),
        ({"key": "k"}, "tls.crt"),
        ({"crt": "c", "key": "k", "certManager": {"enabled": True}}, "tls.crt"),
    ],
)
def test_half_a_certificate_and_two_are_refused(tls: Object, about: str | None) -> None:
    assert refused({"tls": tls}).startswith(f"{about}: " if about else "")
    assert bool(refused({"tls": tls})) == (about is not None)


def test_jobs_a_replica_are_a_number_here_and_a_text_to_keda() -> None:
    scaled = {"jobs": {"enabled": True, "oneNode": True, "autoscaling": {"enabled": True, "jobsPerReplica": 3}}}
    assert refused(scaled) == ""
    (trigger,) = by_key(of_chart(scaled))["ScaledObject", "jobs"]["spec"]["triggers"]
    assert trigger["metadata"]["targetValue"] == "3"


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"RATE_LIMIT": 10, "TRACING_ENABLED": True, "MIN_CONFIDENCE": 0.5, "SERVER_NAME": "a b"}},
        {"env": {"DEBUG": False, "DATABASE": "x"}, "image": "registry/team/shop:1.2"},
        {"networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}},
    ],
)
def test_values_that_people_write_are_taken(changes: Object) -> None:
    jsonschema.validate(changes, SCHEMA)


def test_every_setting_is_one_of_the_template() -> None:
    template = (ROOT / ".env.template").read_text()
    documented = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", template, re.MULTILINE))
    assert set(chart.SETTINGS) <= documented


def test_every_explanation_is_of_a_value() -> None:
    text = (CHART / "values.yaml").read_text()
    for path, explained in chart.EXPLAINED.items():
        assert f"# {explained}\n" in text, path


@pytest.mark.parametrize("overlay", sorted(OVERLAYS.iterdir()), ids=lambda path: path.name)
def test_overlays_change_what_is_there(overlay: Path) -> None:
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    assert kustomization["namespace"].startswith("sightglass")
    names = re.findall(r"^([A-Z0-9_]+)=", (overlay / "settings.env").read_text(), re.MULTILINE)
    assert set(names) <= set(chart.SETTINGS)
    assert "ENVIRONMENT" in names
    for patch in kustomization.get("patches", []):
        operations = yaml.safe_load(patch["patch"])
        for operation in operations if isinstance(operations, list) else []:
            node: Any = ALL[patch["target"]["kind"], patch["target"]["name"]]
            for part in operation["path"].split("/")[1:]:
                node = node[part]
            assert node != operation.get("value")
    for one in [*kustomization["resources"], *kustomization.get("components", [])]:
        assert (overlay / one / "kustomization.yaml").exists()


@pytest.mark.parametrize("overlay", sorted(OVERLAYS.iterdir()), ids=lambda path: path.name)
def test_an_overlay_s_autoscaler_asks_its_own_api(overlay: Path) -> None:
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    (replacement,) = kustomization["replacements"]
    source, (target,) = replacement["source"], replacement["targets"]
    assert (source["kind"], source["name"], source["fieldPath"]) == ("Service", "api", "metadata.namespace")
    assert ("Service", "api") in PLAIN
    assert target["fieldPaths"] == ["spec.triggers.0.metadata.url"]
    url = ALL[target["select"]["kind"], target["select"]["name"]]["spec"]["triggers"][0]["metadata"]["url"]
    names = url.split(target["options"]["delimiter"])
    names[target["options"]["index"]] = kustomization["namespace"]
    assert httpx.URL(".".join(names)).host == f"api.{kustomization['namespace']}.svc.cluster.local"


def test_the_chart_s_links_lead_somewhere() -> None:
    links = [path for path in (CHART / "files").iterdir() if path.is_symlink()]
    assert len(links) == 4
    assert all(path.exists() for path in links)


# ── What documents say of values ─────────────────────────────────────────────────────────────────────────────────────


def test_jobs_get_to_the_spot_nodes_that_terraform_makes() -> None:
    terraform = ROOT / "deploy/terraform"
    nodes = (terraform / "modules/kubernetes/nodes.tf").read_text()
    (label,) = re.findall(r'labels += \{ "(\S+)" = tostring\(each\.value\.spot\) \}', nodes)
    taint = re.search(r'content \{\s+key += "(\S+)"\s+value += "(\S+)"\s+effect = "NO_SCHEDULE"', nodes)
    assert taint is not None
    page = (ROOT / "docs/terraform.md").read_text()
    (said,) = [
        one["jobs"] for one in map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)) if "jobs" in one
    ]
    jsonschema.validate({"jobs": said}, SCHEMA)
    assert said["nodeSelector"] == {label: "true"}
    assert said["tolerations"] == [{"key": taint[1], "value": taint[2], "effect": "NoSchedule"}]
    made = by_key(of_chart({"jobs": {"enabled": True, **said}}))["Deployment", "jobs"]["spec"]["template"]["spec"]
    assert (made["nodeSelector"], made["tolerations"]) == (said["nodeSelector"], said["tolerations"])


def test_pods_get_to_what_tells_them_who_they_are_and_to_the_bucket() -> None:
    page = (ROOT / "docs/terraform.md").read_text()
    blocks = [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    (said,) = [one for one in blocks if "networkPolicy" in one]
    jsonschema.validate(said, SCHEMA)
    made = by_key(of_chart(said))
    account = made["Deployment", "api"]["spec"]["template"]["spec"]["serviceAccountName"]
    assert f"--service-account {account} " in page
    egress = made["NetworkPolicy", "application"]["spec"]["egress"]
    assert [(rule["to"][0]["ipBlock"]["cidr"], rule["ports"]) for rule in egress] == [
        ("169.254.170.23/32", [{"port": 80}]),
        ("0.0.0.0/0", [{"port": 443}]),
    ]


def test_no_group_of_nodes_begins_with_none() -> None:
    """Nothing there would make its first node."""
    environments = sorted((ROOT / "deploy/terraform/environments").glob("*/terraform.tfvars"))
    least = [int(number) for path in environments for number in re.findall(r"least *= *([0-9]+)", path.read_text())]
    assert len(least) >= len(environments) == 3
    assert 0 not in least


def test_the_values_that_alerts_lead_to_are_there() -> None:
    """The head of docs/runbook.md says what Compose's words are in a cluster."""
    (table,) = re.findall(
        r"^\| Compose \| in a cluster \|\n(.*?)\n\n", (ROOT / "docs/runbook.md").read_text(), re.M | re.S
    )
    cells = "".join(row.rstrip("|").rpartition("|")[2] for row in table.splitlines())
    named = re.findall(r"`((?:[a-z]+\.)*[a-z][A-Za-z]+)`", cells.replace("`false`", "").replace("`true`", ""))
    assert {"autoscaling.minReplicas", "jobs.resources.limits", "replicas", "settings"} <= set(named)
    for name in named:
        found: Any = VALUES
        for part in name.split("."):
            assert part in found, name
            found = found[part]
