"""Under counted load no request fails, and Prometheus tells of each, whatever is replaced."""

import json
import ssl
from functools import partial
from typing import Any

import pytest
from cryptography import x509

from monitoring.alerts import TARGETS_GONE
from scripts.cluster.layout import FIRST, NODE_ADDRESS, SECOND
from scripts.cluster.processes import ClusterError, run
from tests.cluster import runbook
from tests.cluster.cluster import CHART, KEYS, NAMESPACE, Installation, helm, kubectl
from tests.cluster.stories import Stories
from tests.support.waiting import eventually

SECRETS = "Another certificate, other keys"


def test_pods_are_as_restricted_as_can_be(installed: Installation) -> None:
    assert len(installed.pods("api")) == len(installed.pods("nginx")) == 2
    warned = kubectl("label", "--dry-run=server", "namespace", "shop", "pod-security.kubernetes.io/enforce=restricted")
    assert "violate" not in warned


def test_the_runbook_s_looks_tell_something(installed: Installation) -> None:
    for pod in (next(iter(installed.pods("api"))), next(iter(installed.pods("nginx")))):
        commands = runbook.looks(pod)
        assert len(commands) == 3
        for command in commands:
            assert run(*command.split())


def test_a_volume_that_was_restored_is_the_release_s(installed: Installation) -> None:
    claim = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "none",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    runs = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "runs"}, "spec": claim}
    installed.cluster.file("runs.yaml", json.dumps(runs))
    with_jobs = installed.cluster.file("jobs.json", json.dumps({"jobs": {"enabled": True, "oneNode": True}}))
    upgrade = ("upgrade", NAMESPACE, str(CHART), "-f", f"{installed.cluster.directory}/shop.yaml", "-f", with_jobs)
    installed.cluster.follow("After a disaster", among=slice(0, 1))
    with pytest.raises(ClusterError, match="invalid ownership metadata"):
        helm(*upgrade, "--dry-run=server")
    installed.cluster.follow("After a disaster", among=slice(1, 3))
    helm(*upgrade, "--dry-run=server")
    kubectl("delete", "pvc", "runs", "--wait=false")


def test_the_rollouts_of_the_api_and_of_the_edge(installed: Installation) -> None:
    installed.cluster.joined.result()
    with installed.loaded() as load:
        load.phase = "rollouts"
        run("kubectl", "cordon", FIRST.name)
        edge = installed.cluster.pool.submit(installed.rollout, "nginx")
        installed.cluster.follow(SECRETS, among=slice(2, None))
        installed.ready("api")
        edge.result()
    assert kubectl("exec", "deployment/api", "--", "printenv", "SECRET_GREETING") == "hello\n"
    assert {*installed.pods("api").values(), *installed.pods("nginx").values()} == {SECOND.name}


def test_a_drain_of_one_of_two_nodes(installed: Installation) -> None:
    with installed.loaded() as load:
        load.phase = "drain"
        run("kubectl", "uncordon", FIRST.name)
        installed.cluster.follow("After a disaster", NODE=SECOND.name, among=slice(3, 4))
        installed.ready("api")
        installed.ready("nginx")
    assert {*installed.pods("api").values(), *installed.pods("nginx").values()} == {FIRST.name}


def test_an_update_and_its_rollback(installed: Installation, stories: Stories) -> None:
    assert stories  # from here on

    def image() -> str:
        return kubectl("get", "deployment", "api", "-o", "jsonpath={.spec.template.spec.containers[0].image}")

    def former() -> str:
        """Return the revision that the runbook leads back to."""
        history = json.loads(helm("history", NAMESPACE, "-o", "json"))
        return str(max(one["revision"] for one in history if one["status"] == "superseded"))

    with installed.loaded() as load:
        load.phase = "update"
        installed.cluster.write(image=runbook.IMAGES[1])
        installed.cluster.follow("Update")
        assert image() == runbook.IMAGES[1]
        load.phase = "rollback"
        installed.cluster.follow("Rollback", REVISION=former())
        installed.cluster.write()
        assert image() == runbook.IMAGES[0]
        installed.ready("api")


def served(installed: Installation) -> str:
    """Return the subject of the certificate that the edge shows."""
    port = int(installed.url.rpartition(":")[2])
    shown = x509.load_pem_x509_certificate(ssl.get_server_certificate((NODE_ADDRESS, port)).encode())
    return shown.subject.rfc4514_string()


def keys() -> str:
    """Return the API keys that a replica finds; there may be none yet."""
    try:
        return kubectl("exec", "deployment/api", "--", "cat", "/run/keys/api_keys")
    except ClusterError:
        return ""


def test_another_certificate_is_served_without_a_restart(installed: Installation) -> None:
    pods = {*installed.pods("nginx"), *installed.pods("api")}
    assert "new" not in served(installed)
    with installed.loaded() as load:
        load.phase = "certificate"
        installed.cluster.follow(SECRETS, among=slice(0, 2))
        # The Service keeps a client with one edge.
        eventually(lambda: "new" in served(installed), partial(served, installed))
    eventually(lambda: keys() == KEYS)
    assert {*installed.pods("nginx"), *installed.pods("api")} == pods


def test_a_foreign_application_by_image_and_variables_alone(stories: Stories) -> None:
    stories.foreign.result()


def test_prometheus_has_the_rules(installed: Installation) -> None:
    def rules() -> list[Any]:
        groups = installed.cluster.prometheus.get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    eventually(lambda: {rule["health"] for rule in rules()} == {"ok"}, rules)
    assert installed.cluster.prometheus.get("query", query=TARGETS_GONE)["result"] == []
    assert {"APIDown", "EdgeDown", "JobQueueOld", "EdgeGatewayErrors"} <= {rule["name"] for rule in rules()}
