"""deploy/terraform's HCL is in form, and what stands in the cluster is applied to a real API server by it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.cluster import parts
from scripts.cluster.layout import KUBECONFIG
from scripts.cluster.processes import ClusterError, run
from tests.cluster.cluster import CHART, Cluster, helm
from tests.edge.containers import ROOT
from tests.support.waiting import eventually

TERRAFORM = ROOT / "deploy/terraform"
PROVIDER = "gavinbunney/kubectl"
NAMESPACE = "by-tofu"


@pytest.fixture(scope="module")
def tofu(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> "Tofu":
    """OpenTofu with the provider that is built here, on a copy of the module."""
    del cluster  # which has the definitions
    return Tofu(tmp_path_factory.mktemp("tofu"))


class Tofu:
    """The commands, and the values of their variables."""

    def __init__(self, directory: Path) -> None:
        """Copy the module, say where the provider is, and have Helm write the manifests."""
        self.module = directory / "in-cluster"
        self.module.mkdir()
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


def test_the_hcl_is_in_form(tofu: Tofu) -> None:
    run("tofu", "fmt", "-check", "-recursive", "-diff", str(TERRAFORM))


def planned(directory: Path, variables: Path, values: str) -> str:
    """Have OpenTofu judge values by their variables alone: resources would want the provider."""
    (directory / "variables.tf").write_text(variables.read_text())
    (directory / "terraform.tfvars").write_text(values)
    run("tofu", f"-chdir={directory}", "init", "-no-color", "-input=false")
    return run("tofu", f"-chdir={directory}", "plan", "-no-color", "-input=false")


@pytest.mark.parametrize("environment", sorted((TERRAFORM / "environments").iterdir()), ids=lambda path: path.name)
def test_an_environment_s_values_are_taken(cluster: Cluster, tmp_path: Path, environment: Path) -> None:
    values = (environment / "terraform.tfvars").read_text()
    assert "No changes." in planned(tmp_path, TERRAFORM / "variables.tf", values)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("environment", '"production"', "environment: expected dev, staging or prod"),
        ("account_id", '"1234"', "account_id: expected twelve digits"),
        ("region", '"Frankfurt"', "region: expected one of AWS"),
        ("cidr", '"fd00::/64"', "cidr: expected an IPv4 range"),
        ("zones", "1", "zones: expected 2, 3 or 4"),
        ("kubernetes_version", '"1.9"', "kubernetes_version: expected 1.30 or later"),
        ("admins", "[]", "admins: expected ARNs of IAM roles"),
        ("api_allowed_cidrs", '["0.0.0.0/0"]', "api_allowed_cidrs: expected IPv4 ranges"),
        ("node_groups", "{}", "node_groups: expected one or more"),
        (
            "redis",
            '{ node_type = "cache.t4g.small", nodes = 0, snapshot_days = 0 }',
            "redis: expected null, or one node",
        ),
        ("tags", '{ "aws:x" = "y" }', "tags: expected no names"),
    ],
)
def test_a_value_that_is_not_allowed_is_one_line(
    cluster: Cluster, tmp_path: Path, name: str, value: str, told: str
) -> None:
    (tmp_path / "later.auto.tfvars").write_text(f"{name} = {value}\n")  # counts before the others
    values = (TERRAFORM / "environments/prod/terraform.tfvars").read_text()
    with pytest.raises(ClusterError, match=told):
        planned(tmp_path, TERRAFORM / "variables.tf", values)


MODULES = {
    "kubernetes": """
name = "a"
kubernetes_version = "1.33"
subnet_ids = ["a", "b"]
admins = ["arn:aws:iam::000000000000:role/admin"]
api_allowed_cidrs = ["192.0.2.0/24"]
node_groups = { base = { instance_types = ["t3.large"], least = 2, most = 4 } }
log_days = 30
deletion_protection = true
""",
    "networking": 'name = "a"\ncidr = "10.0.0.0/16"\nzones = 3\nsingle_nat_gateway = true\n',
}


@pytest.mark.parametrize(
    ("module", "now", "then", "told"),
    [
        ("kubernetes", "", "", None),
        ("networking", "", "", None),
        ("networking", "/16", "/21", "cidr: expected an IPv4 range of /16 to /20"),
        ("networking", "zones = 3", "zones = 5", "zones: expected 2, 3 or 4"),
        ("kubernetes", "192.0.2.0/24", "192.0.2.0/0", "api_allowed_cidrs: expected IPv4 ranges"),
        ("kubernetes", "1.33", "1.29", "kubernetes_version: expected 1.30"),
        ("kubernetes", "least = 2", "least = 1", "node_groups: expected a group that is not spot"),
        ("kubernetes", "most = 4", "most = 1", "node_groups: expected least <= most"),
        ("kubernetes", "most = 4", "most = 4, spot = true", "node_groups: expected a group that is not spot"),
        ("kubernetes", ":role/", ":user/", "admins: expected ARNs of IAM roles"),
        ("kubernetes", '"a", "b"', '"a"', "subnet_ids: expected two or more"),
        ("kubernetes", "= 30", "= 31", "log_days: expected 7"),
    ],
)
def test_a_module_says_what_it_takes(
    cluster: Cluster, tmp_path: Path, module: str, now: str, then: str, told: str | None
) -> None:
    values = MODULES[module].replace(now, then, 1) if now else MODULES[module]
    variables = TERRAFORM / "modules" / module / "variables.tf"
    if told is None:
        assert "No changes." in planned(tmp_path, variables, values)
    else:
        with pytest.raises(ClusterError, match=told):
            planned(tmp_path, variables, values)


def test_the_module_brings_an_installation_changes_it_and_takes_it_away(tofu: Tofu) -> None:
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


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"namespace": "By_Tofu"}, "namespace: expected a DNS label"),
        ({"manifests": "/none.yaml"}, "manifests: expected a file"),
        ({"secrets": {"tls": {"store": "aws", "key": ""}}}, "secrets: expected a key for each"),
    ],
)
def test_a_wrong_value_is_one_line(tofu: Tofu, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ClusterError, match=told):
        tofu("plan", **changes)


def test_a_secret_among_the_manifests_is_refused(tofu: Tofu) -> None:
    tofu.write({"tls": {"crt": "c", "key": "k"}})
    with pytest.raises(ClusterError, match="without a Secret"):
        tofu("plan")
