"""Under counted load no request fails, and Prometheus tells of each, whatever is replaced."""

import json
import ssl
import time
from functools import partial
from typing import Any

import pytest
from cryptography import x509

from scripts.cluster.layout import FIRST, NODE_ADDRESS, SECOND
from scripts.cluster.processes import run
from tests.cluster.cluster import CHART, FOREIGN, Cluster, Installation, helm, kubectl
from tests.edge.load import Load
from tests.support.waiting import eventually


class Books(Load):
    """The same of an application of tests/apps."""

    def _predict(self) -> None:
        with self._open() as client:
            while not self._stop.is_set():
                answer = client.get("/books/7")
                self._check("predict", answer)
                assert answer.json()["pages"] == 7
                time.sleep(0.05)

    def _upload(self, name: str, seconds: float) -> None:
        self._predict()


def test_the_first_request_is_answered(installed: Installation) -> None:
    assert len(installed.pods("api")) == len(installed.pods("nginx")) == 2
    print(f"helm install to the first answer through TLS: {installed.seconds:.1f} s")


def test_helm_s_own_test_passes(installed: Installation) -> None:
    assert "Succeeded" in helm("test", "shop")


def test_pods_are_as_restricted_as_can_be(installed: Installation) -> None:
    kubectl("label", "namespace", "shop", "pod-security.kubernetes.io/enforce=restricted")  # warns of pods that are not
    warned = kubectl("label", "--dry-run=server", "namespace", "shop", "pod-security.kubernetes.io/enforce=restricted")
    assert "violate" not in warned


def test_prometheus_has_the_rules(installed: Installation) -> None:
    def rules() -> list[Any]:
        groups = installed.cluster.prometheus.get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    eventually(lambda: {rule["health"] for rule in rules()} == {"ok"}, rules)
    assert {"APIDown", "JobQueueOld", "EdgeGatewayErrors"} <= {rule["name"] for rule in rules()}


def test_the_api_s_rollout(installed: Installation) -> None:
    installed.cluster.joined.result()
    with installed.loaded() as load:
        load.phase = "rollout"
        installed.rollout("api")
    assert SECOND.name in installed.pods("api").values()


def test_the_edge_s_rollout(installed: Installation) -> None:
    with installed.loaded() as load:
        load.phase = "rollout"
        installed.rollout("nginx")
    assert SECOND.name in installed.pods("nginx").values()


def test_a_drain_of_one_of_two_nodes(installed: Installation) -> None:
    with installed.loaded() as load:
        load.phase = "drain"
        drain = ("drain", SECOND.name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=280s")
        run("kubectl", *drain, seconds=300)
        installed.ready("api")
        installed.ready("nginx")
    assert {*installed.pods("api").values(), *installed.pods("nginx").values()} == {FIRST.name}


def test_an_upgrade_and_its_rollback(installed: Installation) -> None:
    values = installed.cluster.file("more.json", json.dumps({"env": {"GREETING": "hello"}}))
    with installed.loaded() as load:
        load.phase = "upgrade"
        helm("upgrade", "shop", str(CHART), "--reuse-values", "-f", values, "--wait", "--timeout=280s")
        assert kubectl("get", "configmap", "env", "-o", "jsonpath={.data.GREETING}") == "hello"
        load.phase = "rollback"
        helm("rollback", "shop", "--wait", "--timeout=280s")
        installed.ready("api")
    assert kubectl("get", "configmap", "env", "-o", "jsonpath={.data}") == ""


def test_a_budget_keeps_one_of_each(installed: Installation) -> None:
    first, second = installed.pods("api")

    def evict(pod: str) -> str:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/shop/pods/{pod}/eviction"
        return kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))

    with installed.loaded():
        evict(first)
        with pytest.raises(Exception, match="disruption budget"):
            evict(second)
        installed.ready("api")
    assert first not in installed.pods("api")


def served(installed: Installation) -> str:
    """Return the subject of the certificate that the edge shows."""
    port = int(installed.url.rpartition(":")[2])
    shown = x509.load_pem_x509_certificate(ssl.get_server_certificate((NODE_ADDRESS, port)).encode())
    return shown.subject.rfc4514_string()


def test_another_certificate_is_served_without_a_restart(installed: Installation) -> None:
    pods = {*installed.pods("nginx"), *installed.pods("api")}
    crt, key = installed.cluster.certificate("another")
    assert "another" not in served(installed)
    made = ("create", "secret", "tls", "tls", f"--cert={crt}", f"--key={key}", "--dry-run=client", "-o", "yaml")
    with installed.loaded() as load:
        load.phase = "certificate"
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=kubectl(*made))
        # The Service keeps a client with one edge: both are asked, each through its own.
        eventually(lambda: "another" in served(installed), partial(served, installed))
    assert {*installed.pods("nginx"), *installed.pods("api")} == pods


def test_a_foreign_application_by_image_and_variables_alone(cluster: Cluster, installed: Installation) -> None:
    del installed  # its PodMonitor says what is scraped
    variables = {"SIGHTGLASS_APP": "catalogue.main:app", "GREETING": "from the values"}
    books = cluster.install(FOREIGN, image=cluster.images["foreign"], env=variables)
    with books.loaded(Books(books.url)) as load:
        load.phase = "rollout"
        books.rollout("api")
    helm("uninstall", FOREIGN, namespace=FOREIGN)
