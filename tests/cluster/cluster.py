"""A cluster under test: commands, and the chart in it."""

import json
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from scripts.cluster.layout import NODE_ADDRESS
from scripts.cluster.processes import run
from tests.cluster import runbook
from tests.cluster.api_server import ask
from tests.cluster.prometheus import Prometheus
from tests.edge.containers import ROOT
from tests.edge.load import Load
from tests.support.certificates import self_signed
from tests.support.waiting import eventually

CHART = ROOT / "deploy/helm/sightglass"
NAMESPACE, FOREIGN, ELSEWHERE = "shop", "foreign", "elsewhere"
AGAIN = "HTTP/2, sent again"
"""What a connection's end has met in its first moment: it may have been counted or not."""


def kubectl(*arguments: str, namespace: str = NAMESPACE, given: str | None = None, seconds: float = 300) -> str:
    """Run kubectl in a namespace of the chart's."""
    return run("kubectl", "-n", namespace, *arguments, given=given, seconds=seconds)


def helm(*arguments: str, namespace: str = NAMESPACE, seconds: float = 300) -> str:
    """Run Helm in the same."""
    return run("helm", "-n", namespace, *arguments, seconds=seconds)


KEYS = "one of nobody's\n"
OF_API = {"predict", "upload"}
"""What a load sends that is no question about health."""
OF_API_ROUTE = {NAMESPACE: "/api/v1/predict", FOREIGN: "/books/{number}"}


@dataclass
class Installation:
    """The chart, installed; `seconds` from the first command to the first answer through TLS."""

    cluster: "Cluster"
    namespace: str
    seconds: float = 0.0

    def kubectl(self, *arguments: str, given: str | None = None, seconds: float = 300) -> str:
        """Run kubectl in its namespace."""
        return kubectl(*arguments, namespace=self.namespace, given=given, seconds=seconds)

    @property
    def url(self) -> str:
        """Its address on this machine."""
        ports = json.loads(self.kubectl("get", "service", "nginx", "-o", "json"))["spec"]["ports"]
        (port,) = [port["nodePort"] for port in ports if port["name"] == "https"]
        return f"https://{NODE_ADDRESS}:{port}"

    def pods(self, component: str) -> dict[str, str]:
        """Name the pods of a component, and each one's node."""
        found = ask(
            f"/api/v1/namespaces/{self.namespace}/pods", labelSelector=f"app.kubernetes.io/component={component}"
        )
        return {one["metadata"]["name"]: one["spec"].get("nodeName", "") for one in found["items"]}

    def wanted(self, component: str) -> int:
        """Return how many pods of a component there are to be."""
        return int(ask(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{component}")["spec"]["replicas"])

    def ready(self, component: str) -> None:
        """Wait until a component is all there, and nothing else of it."""
        self.kubectl("rollout", "status", f"deployment/{component}", "--timeout=280s")
        eventually(lambda: len(self.pods(component)) == self.wanted(component), lambda: self.pods(component))

    def rollout(self, component: str) -> None:
        """Replace every pod of a component, and wait until the former ones are gone."""
        former = set(self.pods(component))
        self.kubectl("rollout", "restart", f"deployment/{component}")
        self.ready(component)
        assert not former & set(self.pods(component))

    @contextmanager
    def loaded(self, load: Load | None = None, *others: Load, least: int = 50) -> Iterator[Load]:
        """Have requests sent meanwhile: none fails, and Prometheus tells of each once, at the edge and at the API.

        `others` are loads that come and go in between.
        """
        self.settle()
        before = self.told()
        with load or Load(self.url) as load:
            sent_until = load.total()
            eventually(lambda: load.total() > sent_until + least)
            yield load
            load.phase = "after"
            sent_until = load.total()
            eventually(lambda: load.total() > sent_until + least)
        loads = (load, *others)
        assert [failure for one in loads for failure in one.failures] == []
        kinds = sum((one.sent for one in loads), Counter[str]())
        sent, unsure = kinds.total(), kinds[AGAIN]
        of_api = sum(count for kind, count in kinds.items() if kind in OF_API)

        def grown() -> tuple[Counter[str], Counter[str]]:
            (edge, api), (edge_before, api_before) = self.told(), before
            return edge - edge_before, api - api_before

        def exact() -> bool:
            edge, api = grown()
            return sent - unsure <= edge.total() <= sent and api == Counter({"200": of_api})

        eventually(exact, lambda: f"{sent} sent, {unsure} of them again, {of_api} to the API: {grown()}")
        # Of one that was sent again the edge may have seen the client leave.
        assert sum((grown()[0] - Counter({"200": sent})).values()) <= unsure, grown()
        print(f"{sent} requests, 0 failed, {unsure} sent again")

    def settle(self) -> None:
        """Wait until Prometheus knows whatever has been counted until now."""
        now = datetime.now(UTC)

        def known() -> bool:
            scraped = self.cluster.prometheus.scraped(self.namespace, now)
            return set(scraped) == {*self.pods("nginx"), *self.pods("api")} and all(scraped.values())

        eventually(known, lambda: self.cluster.prometheus.scraped(self.namespace, now))

    def told(self) -> tuple[Counter[str], Counter[str]]:
        """Return what Prometheus knows to be answered at the edge and at the API, by status.

        kubelet asks the API about its health itself: that is left out there.
        """
        counted, namespace = self.cluster.prometheus.counted, self.namespace
        return (
            counted("edge_http_requests_total", "status", job="nginx", namespace=namespace),
            counted("http_requests_total", "status", job="api", namespace=namespace, route=OF_API_ROUTE[namespace]),
        )


@dataclass
class Cluster:
    """A cluster that has these images."""

    directory: Path
    images: dict[str, str]
    pool: Executor
    """Where whatever goes on beside the tests does so."""
    joined: Future[None]
    """Done when the second node is there."""
    beside: Future[None] = field(init=False)
    """Done when KEDA, metrics-server, and what keeps the state of jobs, are there."""

    @cached_property
    def prometheus(self) -> Prometheus:
        """What scrapes every installation, with the rules and as the PodMonitor of the first."""
        objects = [json.loads(kubectl("get", kind, "-o", "json"))["items"] for kind in ("podmonitor", "prometheusrule")]
        ((monitor,), rules) = objects
        return Prometheus(monitor, rules, (NAMESPACE, FOREIGN, ELSEWHERE))

    def values(self) -> dict[str, Any]:
        """The values under which the chart runs here."""
        return {
            "image": runbook.IMAGES[0],
            "settings": {
                "RATE_LIMIT": "1000000",
                "RATE_BURST": "1000000",
                "CONNECTION_LIMIT": "10000",
                "TLS_CHECK_SECONDS": "1",
            },
            # This cluster's DNS gives answers of 5 s, and its Prometheus comes every two.
            "drainSeconds": 15,
            # A machine that is busy with other things leaves little to use.
            "autoscaling": {
                "minReplicas": 2,
                "maxReplicas": 4,
                "targetCPUUtilizationPercentage": 50,
                "scaleDownStabilizationSeconds": 0,
            },
            "edge": {
                "image": self.images["nginx"],
                "readyAfterSeconds": 5,
                "drainSeconds": 5,
                "lastScrapeSeconds": 8,
                "service": {"type": "NodePort", "externalTrafficPolicy": "Cluster"},  # of a node without an edge, too
            },
            "monitoring": {"enabled": True},
        }

    def file(self, name: str, content: str) -> str:
        """Write a file for a command."""
        path = self.directory / name
        path.write_text(content)
        return str(path)

    def certificate(self, name: str) -> tuple[str, str]:
        """Make a certificate; returns the files of it and of its key."""
        _, certificate, key = self_signed(name, "localhost")
        return self.file(f"{name}.crt", certificate.decode()), self.file(f"{name}.key", key.decode())

    def write(self, **changes: Any) -> None:
        """Write the values that the runbook's commands name."""
        self.file("shop.yaml", json.dumps(self.values() | changes))

    def follow(self, heading: str, *, among: slice = slice(None), **names: str) -> str:
        """Run a section's commands of the runbook, with what it leaves open."""
        return runbook.follow(heading, self.directory, among=among, **names)

    def install_by_runbook(self) -> Installation:
        """Install the chart as the runbook says."""
        runbook.prepare(self.directory)
        self.certificate("tls")
        self.certificate("new")
        self.write()
        self.file("keys.txt", KEYS)
        self.file("secrets.env", "SECRET_GREETING=hello\n")
        assert "Succeeded" in self.follow("The first time")
        return Installation(self, NAMESPACE)

    def install(self, namespace: str = NAMESPACE, **values: Any) -> Installation:
        """Install the chart."""
        crt, key = self.certificate(namespace)
        file = self.file(f"{namespace}.json", json.dumps(self.values() | values))
        begun = time.monotonic()
        helm(
            *("install", namespace, str(CHART), "--create-namespace", "-f", file),
            *("--set-file", f"tls.crt={crt}", "--set-file", f"tls.key={key}"),
            namespace=namespace,
        )
        installation = Installation(self, namespace)
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

        def answers() -> bool:
            try:
                return httpx.get(f"{installation.url}/ready", verify=trusting).status_code == 200
            except httpx.HTTPError:
                return False

        eventually(answers, lambda: installation.kubectl("get", "pods", "-o", "wide"), 300)
        installation.seconds = time.monotonic() - begun
        installation.ready("api")
        installation.ready("nginx")
        return installation
