"""As many replicas as there is work for, and no request fails on the way."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.cluster.layout import HERE, SECOND
from scripts.cluster.processes import ClusterError, run
from tests.cluster import runbook
from tests.cluster.api_server import ask
from tests.cluster.cluster import NAMESPACE, Installation, kubectl
from tests.edge.load import TEXT, Load
from tests.support.waiting import eventually


class Trickle(Load):
    """One request a second, which leaves a replica far below its target."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._threads = self._threads[:1]

    def _keep_alive(self) -> None:
        with self._open() as client:
            while not self._stop.wait(1):
                self._check("predict", client.post("/api/v1/predict", json=TEXT))


@pytest.fixture(scope="module")
def measured(installed: Installation) -> Iterator[Installation]:
    """The chart, and what tells its autoscaler how much the pods use."""
    installed.cluster.beside.result()
    api = str(HERE / "metrics-api.yaml")
    run("kubectl", "apply", "-f", api)
    wait = ("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=170s")
    run("kubectl", *wait, seconds=180)
    yield installed
    run("kubectl", "delete", "-f", api, "-f", str(HERE / "metrics-server.yaml"), "--wait=false")


UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1, "Ki": 2**10, "Mi": 2**20}
"""What amounts are told in (Kubernetes' quantities)."""


def amount(text: str) -> float:
    """Return processors or bytes."""
    number = text.rstrip("numKMi")
    return int(number) * UNITS[text.removeprefix(number)]


def told_of_pods(api: str) -> dict[str, Any]:
    """Return what an API says of each pod's one container."""
    found = ask(f"/{api}/namespaces/{NAMESPACE}/pods")["items"]
    return {one["metadata"]["name"]: (one.get("containers") or one["spec"]["containers"])[0] for one in found}


def test_at_rest_a_pod_takes_less_than_it_requests(measured: Installation) -> None:
    def used() -> dict[str, Any]:
        return told_of_pods("apis/metrics.k8s.io/v1beta1")

    def at_rest() -> bool:
        takes, made = used(), told_of_pods("api/v1")
        return all(
            name in takes and amount(takes[name]["usage"][what]) <= amount(made[name]["resources"]["requests"][what])
            for name in (*measured.pods("api"), *measured.pods("nginx"))
            for what in ("cpu", "memory")
        )

    eventually(at_rest, used)
    print(*(f"{name}: {one['usage']}" for name, one in used().items()), sep="\n")


def test_the_autoscaler_goes_up_with_the_load_and_down_after_it(measured: Installation) -> None:
    def replicas() -> int:
        return measured.wanted("api")

    def told() -> str:
        return measured.kubectl("describe", "hpa", "api")

    load, as_much = Load(measured.url), Load(measured.url)
    with measured.loaded(Trickle(measured.url), load, as_much, least=5):
        assert replicas() == 2
        begun = time.monotonic()
        with load, as_much:
            eventually(lambda: replicas() > 2, told, 120)
            print(f"more replicas {time.monotonic() - begun:.0f} s after the load began")
            measured.ready("api")
        eventually(lambda: replicas() == 2, told, 600)
        measured.ready("api")


def test_more_replicas_by_hand(installed: Installation) -> None:
    installed.cluster.write(autoscaling={**installed.cluster.values()["autoscaling"], "minReplicas": 4})
    installed.cluster.follow("Scaling")
    eventually(lambda: installed.wanted("api") == 4)
    installed.ready("api")


def test_a_budget_keeps_one_of_each(installed: Installation) -> None:
    edges = list(installed.pods("nginx"))

    def evict(pod: str) -> str:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/shop/pods/{pod}/eviction"
        return kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))

    evict(edges[0])
    with pytest.raises(ClusterError, match="disruption budget"):
        evict(edges[1])
    installed.cluster.follow("After a disaster", NODE=SECOND.name, among=slice(4, 5))


def test_every_command_of_the_runbook_was_run(installed: Installation) -> None:
    del installed
    assert {line for lines in runbook.sections().values() for line in lines} == runbook.followed
