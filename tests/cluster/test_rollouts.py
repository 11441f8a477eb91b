"""Under counted load no request fails, whatever is replaced."""

import json

import pytest

from tests.cluster.cluster import CHART, Installation, helm, kubectl
from tests.edge.load import Load
from tests.support.waiting import eventually


def loaded(installed: Installation) -> Load:
    return Load(installed.url)


def test_the_first_request_is_answered(installed: Installation) -> None:
    assert len(installed.pods("api")) == len(installed.pods("nginx")) == 2
    print(f"helm install to the first answer through TLS: {installed.seconds:.1f} s")


def test_helm_s_own_test_passes(installed: Installation) -> None:
    assert "Succeeded" in helm("test", "shop")


def test_pods_are_as_restricted_as_can_be(installed: Installation) -> None:
    kubectl("label", "namespace", "shop", "pod-security.kubernetes.io/enforce=restricted")  # warns of pods that are not
    warned = kubectl("label", "--dry-run=server", "namespace", "shop", "pod-security.kubernetes.io/enforce=restricted")
    assert "violate" not in warned


def test_the_api_s_rollout(installed: Installation) -> None:
    before = installed.counted()
    with loaded(installed) as load:
        eventually(lambda: load.total() > 50)
        load.phase = "rollout"
        installed.rollout("api")
        load.phase = "after"
        done = load.total()
        eventually(lambda: load.total() > done + 50)
    assert load.failures == []
    eventually(lambda: (installed.counted() - before).total() == load.sent.total(), installed.counted)
    assert set(installed.counted() - before) == {"200"}


def test_the_edge_s_rollout(installed: Installation) -> None:
    with loaded(installed) as load:
        eventually(lambda: load.total() > 50)
        load.phase = "rollout"
        installed.rollout("nginx")
        load.phase = "after"
        done = load.total()
        eventually(lambda: load.total() > done + 50)
    assert load.failures == []


def test_an_upgrade_and_its_rollback(installed: Installation) -> None:
    values = installed.cluster.file("more.json", json.dumps({"env": {"GREETING": "hello"}}))
    with loaded(installed) as load:
        eventually(lambda: load.total() > 50)
        load.phase = "upgrade"
        helm("upgrade", "shop", str(CHART), "--reuse-values", "-f", values, "--wait", "--timeout=170s")
        assert kubectl("get", "configmap", "env", "-o", "jsonpath={.data.GREETING}") == "hello"
        load.phase = "rollback"
        helm("rollback", "shop", "--wait", "--timeout=170s")
        load.phase = "after"
        done = load.total()
        eventually(lambda: load.total() > done + 50)
    assert load.failures == []
    assert kubectl("get", "configmap", "env", "-o", "jsonpath={.data}") == ""


def test_a_budget_keeps_one_of_each(installed: Installation) -> None:
    eventually(lambda: len(installed.pods("api")) == 2)  # those that end are gone
    first, second = installed.pods("api")

    def evict(pod: str) -> str:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/shop/pods/{pod}/eviction"
        return kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))

    with loaded(installed) as load:
        eventually(lambda: load.total() > 50)
        evict(first)
        with pytest.raises(Exception, match="disruption budget"):
            evict(second)
        kubectl("rollout", "status", "deployment/api", "--timeout=170s")
        eventually(lambda: first not in installed.pods("api"))
    assert load.failures == []
