"""OpenTofu, and what its module does in the cluster."""

import json
from pathlib import Path
from typing import Any

import yaml

from scripts.cluster import parts
from scripts.cluster.layout import KUBECONFIG
from scripts.cluster.processes import run
from tests.cluster.cluster import CHART, helm
from tests.edge.containers import ROOT
from tests.support.waiting import eventually

TERRAFORM = ROOT / "deploy/terraform"
PROVIDER = "gavinbunney/kubectl"
NAMESPACE = "by-tofu"


class Tofu:
    """The commands, and the values of their variables."""

    def __init__(self, directory: Path) -> None:
        """Copy the module, say where the provider is, and have Helm write the manifests."""
        self.module = directory / "in-cluster"
        self.module.mkdir(parents=True)
        for path in (TERRAFORM / "in-cluster").glob("*.tf"):
            (self.module / path.name).write_text(path.read_text())
        self.settings = directory / "tofu.rc"
        overridden = f'"{PROVIDER}" = {json.dumps(str(parts.directory("kubectl-provider")))}'
        self.settings.write_text(f"provider_installation {{\n  dev_overrides {{ {overridden} }}\n}}\n")
        self.manifests = directory / "shop.yaml"
        self.write({})
        self.values: dict[str, Any] = {
            "kubeconfig": str(KUBECONFIG),
            "namespace": NAMESPACE,
            "manifests": str(self.manifests),
            "secrets": {"tls": {"store": "aws", "key": "sightglass/tls", "type": "kubernetes.io/tls"}},
            "wait": False,  # External Secrets, which would bring the certificate, is not here
        }

    def write(self, values: dict[str, Any]) -> set[tuple[str, str]]:
        """Have Helm write the manifests; returns the kind and name of each."""
        given = self.manifests.with_suffix(".json")
        given.write_text(json.dumps(values))
        text = helm("template", "shop", str(CHART), "-n", NAMESPACE, "-f", str(given), "--no-hooks", "--skip-tests")
        self.manifests.write_text(text)
        return {(one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(text) if one}

    def __call__(self, command: str, *arguments: str, **changes: Any) -> str:
        """Run a command on the module."""
        values = self.module / "values.tfvars.json"
        values.write_text(json.dumps({**self.values, **changes}))
        asked = (*arguments, "-no-color", "-input=false", f"-var-file={values}")
        told = (f"TF_CLI_CONFIG_FILE={self.settings}", "CHECKPOINT_DISABLE=1")
        return run("env", *told, "tofu", f"-chdir={self.module}", command, *asked, seconds=300)


def there() -> set[tuple[str, str]]:
    """What of the kinds that the chart has is in the namespace."""
    kinds = "deployment,service,configmap,networkpolicy,poddisruptionbudget,horizontalpodautoscaler,externalsecret"
    found = json.loads(run("kubectl", "-n", NAMESPACE, "get", kinds, "-o", "json"))["items"]
    return {(one["kind"], one["metadata"]["name"]) for one in found} - {("ConfigMap", "kube-root-ca.crt")}


def brings_changes_and_takes_away(tofu: Tofu) -> None:
    """Apply the module, change what it brings, and destroy it."""
    written = tofu.write({"edge": {"service": {"type": "ClusterIP"}}})
    tofu("apply", "-auto-approve")
    assert there() == written | {("ExternalSecret", "tls")}
    labels = json.loads(run("kubectl", "get", "namespace", NAMESPACE, "-o", "json"))["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    again = tofu("plan")
    assert "No changes." in again

    less = tofu.write({"edge": {"service": {"type": "ClusterIP"}, "replicas": 3}, "autoscaling": {"enabled": False}})
    assert written - less == {("HorizontalPodAutoscaler", "api")}
    tofu("apply", "-auto-approve")
    assert there() == less | {("ExternalSecret", "tls")}
    edge = json.loads(run("kubectl", "-n", NAMESPACE, "get", "deployment", "nginx", "-o", "json"))
    assert edge["spec"]["replicas"] == 3

    tofu("destroy", "-auto-approve")
    eventually(lambda: not run("kubectl", "get", "namespace", NAMESPACE, "--ignore-not-found"))
