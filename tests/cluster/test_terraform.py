"""deploy/terraform's HCL is in form, and what stands in the cluster is applied to a real API server by it."""

from pathlib import Path
from typing import Any

import pytest

from scripts.cluster.processes import ClusterError, run
from tests.cluster.cluster import Cluster
from tests.cluster.stories import Stories
from tests.cluster.tofu import TERRAFORM, Tofu


@pytest.fixture(scope="module")
def tofu(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Tofu:
    """OpenTofu with the provider that is built here, on a copy of the module."""
    del cluster  # which has the definitions
    return Tofu(tmp_path_factory.mktemp("tofu"))


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
cidr = "10.0.0.0/16"
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
        ("kubernetes", "10.0.0.0/16", "fd00::/64", "cidr: expected an IPv4 range"),
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


def test_the_module_brings_an_installation_changes_it_and_takes_it_away(stories: Stories) -> None:
    stories.by_tofu.result()


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
