"""Who may reach whom where policies are enforced: pairs that docker-compose.prod.yml's networks join, and no others."""

import json
import re
from collections.abc import Iterator

import pytest

from scripts.cluster import node
from scripts.cluster.layout import NODES
from scripts.cluster.processes import ClusterError, run
from tests.cluster.cluster import NAMESPACE, Installation, kubectl
from tests.support.waiting import eventually

STRANGER = "stranger"


def client(name: str, image: str, labels: dict[str, str]) -> str:
    """Give a pod that can ask, as restricted as all."""
    container = {
        "name": "client",
        "image": image,
        "command": ["sleep", "86400"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    user = {"runAsNonRoot": True, "runAsUser": 101, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"securityContext": user, "containers": [container], "terminationGracePeriodSeconds": 0}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec})


@pytest.fixture(scope="module")
def enforced(installed: Installation) -> Iterator[Installation]:
    """The chart where its policies hold, one pod that has the labels of a job process, and one of another namespace."""
    installed.cluster.joined.result()
    for one in NODES:
        node.enforce_policies(one)
    image = installed.cluster.images["nginx"]
    labels = {"app.kubernetes.io/name": "sightglass", "app.kubernetes.io/component": "jobs"}
    run("kubectl", "create", "namespace", STRANGER)
    for namespace, name in ((NAMESPACE, "jobs"), (STRANGER, STRANGER)):
        kubectl("apply", "-f", "-", namespace=namespace, given=client(name, image, labels))
        kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=170s", namespace=namespace)
    yield installed
    kubectl("delete", "pod", "jobs", "--wait=false")
    run("kubectl", "delete", "namespace", STRANGER, "--wait=false")


def reaches(installed: Installation, who: str, component: str, port: int) -> bool:
    """Tell whether a pod gets a connection to each pod of a component."""
    namespace = STRANGER if who == STRANGER else NAMESPACE
    pod = who if who in (STRANGER, "jobs") else next(iter(installed.pods(who)))
    pods = json.loads(kubectl("get", "pods", "-l", f"app.kubernetes.io/component={component}", "-o", "json"))["items"]
    urls = [f"http://{one['status']['podIP']}:{port}/" for one in pods if one["metadata"]["name"] != pod]
    found = {connects(namespace, pod, url) for url in urls}
    assert len(found) == 1, (who, component, port, found)
    return found.pop()


def connects(namespace: str, pod: str, url: str) -> bool:
    """Tell whether a connection is made, whatever is said on it; curl's 7 and 28 are one that is not."""
    try:
        kubectl("exec", pod, "--", "curl", "-s", "-o", "/dev/null", "--max-time", "30", url, namespace=namespace)
    except ClusterError as error:
        return re.search(r"exit code (7|28)$", str(error)) is None
    return True


@pytest.mark.parametrize(
    ("who", "component", "port", "allowed"),
    [
        ("nginx", "api", 8000, True),
        ("nginx", "api", 9464, True),  # where it learns the API's routes
        ("nginx", "nginx", 9113, False),
        ("jobs", "api", 8000, False),
        ("jobs", "api", 9464, False),
        ("jobs", "nginx", 9113, False),
        (STRANGER, "api", 8000, False),
        (STRANGER, "api", 9464, False),
        (STRANGER, "nginx", 9113, False),
        (STRANGER, "nginx", 8443, True),
    ],
)
def test_who_reaches_whom(enforced: Installation, who: str, component: str, port: int, *, allowed: bool) -> None:
    eventually(lambda: reaches(enforced, who, component, port) is allowed)
