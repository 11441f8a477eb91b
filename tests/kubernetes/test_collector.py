"""The collector of a cluster's nodes: what Compose's does with a line and a span, and as little allowed."""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy import collector
from deploy.composed import ROOT, Service
from tests.kubernetes.manifests import Object, objects

DIRECTORY = ROOT / "deploy/k8s/collector"
OBJECTS = {one["kind"]: one for one in objects(DIRECTORY)}
POD: Object = OBJECTS["DaemonSet"]["spec"]["template"]["spec"]
HERE = yaml.safe_load((DIRECTORY / "collector.yml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker/telemetry/collector.yml").read_text())
SERVICE = Service("collector", ROOT / "docker/telemetry/compose.yml")


@pytest.mark.parametrize("version", ["1.30", "1.33", "1.37"])
def test_a_cluster_takes_it(version: str) -> None:
    for one in OBJECTS.values():
        kubernetes_validate.validate(one, version, strict=True)


def test_what_is_done_with_a_line_is_compose_s() -> None:
    operators, theirs = HERE["receivers"]["file_log"]["operators"], COMPOSE["receivers"]["file_log"]["operators"]
    shared = [one for one in operators if one in theirs]
    assert shared == operators[3:]
    assert [one["type"] for one in shared][:2] == ["retain", "json_parser"]
    assert shared == theirs[-len(shared) :]


@pytest.mark.parametrize(
    "path", [("processors",), ("extensions",), ("service", "pipelines"), ("service", "extensions")]
)
def test_how_it_is_handed_on_is_compose_s(path: tuple[str, ...]) -> None:
    ours: Any = HERE
    theirs: Any = COMPOSE
    for name in path:
        ours, theirs = ours[name], theirs[name]
    assert ours == theirs
    for name, exporter in COMPOSE["exporters"].items():
        assert HERE["exporters"][name]["sending_queue"] == exporter["sending_queue"]
        assert HERE["exporters"][name]["retry_on_failure"] == exporter["retry_on_failure"]


def test_every_variable_of_the_configuration_is_set() -> None:
    read = set(re.findall(r"\$\{env:([A-Z_]+)\}", (DIRECTORY / "collector.yml").read_text()))
    (container,) = POD["containers"]
    given = {entry["name"] for entry in container["env"]} | set(collector.SETTINGS)
    assert read <= given
    assert set(collector.SETTINGS) <= read


def test_image_limits_and_hardening_are_compose_s() -> None:
    (container,) = POD["containers"]
    assert (container["image"], container["args"]) == (SERVICE.image, SERVICE.command)
    assert container["resources"]["limits"] == {"cpu": SERVICE.cpus, "memory": SERVICE.memory}
    context = container["securityContext"]
    assert context == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False
    writable = [mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["places"]


def test_traces_come_where_installations_send_them() -> None:
    (endpoint,) = re.findall(r"http://(\S+):(\d+)", (ROOT / "deploy/k8s/base/settings.env").read_text())
    ports = {port["name"]: port["port"] for port in OBJECTS["Service"]["spec"]["ports"]}
    assert endpoint == (f"{OBJECTS['Service']['metadata']['name']}.{collector.NAMESPACE}", str(ports["otlp"]))
    assert OBJECTS["Service"]["spec"]["internalTrafficPolicy"] == "Local"
