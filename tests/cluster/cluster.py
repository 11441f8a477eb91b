"""A cluster under test: commands, and the chart in it."""

import json
import ssl
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from scripts.cluster.layout import NODE_ADDRESS
from scripts.cluster.processes import run
from tests.edge.containers import ROOT
from tests.support.certificates import self_signed
from tests.support.waiting import eventually

CHART = ROOT / "deploy/helm/sightglass"
NAMESPACE = "shop"
REQUESTS = "edge_http_requests_total"


def kubectl(*arguments: str, given: str | None = None, seconds: float = 180) -> str:
    """Run kubectl in the chart's namespace."""
    return run("kubectl", "-n", NAMESPACE, *arguments, given=given, seconds=seconds)


def helm(*arguments: str, seconds: float = 300) -> str:
    """Run Helm in the same."""
    return run("helm", "-n", NAMESPACE, *arguments, seconds=seconds)


@dataclass
class Installation:
    """The chart, installed; `seconds` from the first command to the first answer through TLS."""

    cluster: "Cluster"
    seconds: float = 0.0

    @property
    def url(self) -> str:
        """Its address on this machine."""
        ports = json.loads(kubectl("get", "service", "nginx", "-o", "json"))["spec"]["ports"]
        (port,) = [port["nodePort"] for port in ports if port["name"] == "https"]
        return f"https://{NODE_ADDRESS}:{port}"

    def pods(self, component: str) -> list[str]:
        """Name the pods of a component."""
        selector = f"app.kubernetes.io/component={component}"
        return kubectl("get", "pods", "-l", selector, "-o", "name").replace("pod/", "").split()

    def counted(self) -> Counter[str]:
        """What the edges that are there have counted, by status."""
        total: Counter[str] = Counter()
        for pod in self.pods("nginx"):
            text = kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9113/proxy/metrics")
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.name == REQUESTS:
                        total[sample.labels["status"]] += int(sample.value)
        return +total

    def rollout(self, component: str) -> None:
        """Replace every pod of a component, and wait until the former ones are gone."""
        former = set(self.pods(component))
        kubectl("rollout", "restart", f"deployment/{component}")
        kubectl("rollout", "status", f"deployment/{component}", "--timeout=170s")
        eventually(lambda: not former & set(self.pods(component)))


@dataclass
class Cluster:
    """A cluster that has these images."""

    directory: Path
    nginx: str
    service: str

    def values(self) -> dict[str, Any]:
        """The values under which the chart runs here."""
        return {
            "image": self.service,
            "settings": {"RATE_LIMIT": "1000000", "RATE_BURST": "1000000", "CONNECTION_LIMIT": "10000"},
            # This cluster's DNS gives answers of 5 s.
            "drainSeconds": 12,
            "edge": {
                "image": self.nginx,
                "readyAfterSeconds": 5,
                "drainSeconds": 5,
                "service": {"type": "NodePort"},
            },
        }

    def file(self, name: str, content: str) -> str:
        """Write a file for a command."""
        path = self.directory / name
        path.write_text(content)
        return str(path)

    def install(self) -> Installation:
        """Install the chart."""
        _, certificate, key = self_signed("nginx", "localhost")
        crt, key_file = self.file("tls.crt", certificate.decode()), self.file("tls.key", key.decode())
        values = self.file("values.json", json.dumps(self.values()))
        begun = time.monotonic()
        helm(
            *("install", "shop", str(CHART), "--create-namespace", "-f", values),
            *("--set-file", f"tls.crt={crt}", "--set-file", f"tls.key={key_file}"),
        )
        installation = Installation(self)
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

        def answers() -> bool:
            try:
                return httpx.get(f"{installation.url}/ready", verify=trusting).status_code == 200
            except httpx.HTTPError:
                return False

        eventually(answers, lambda: kubectl("get", "pods", "-o", "wide"))
        installation.seconds = time.monotonic() - begun
        kubectl("rollout", "status", "deployment/api", "--timeout=170s")
        kubectl("rollout", "status", "deployment/nginx", "--timeout=170s")
        return installation
