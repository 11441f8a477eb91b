"""deploy/terraform says what the provider takes, refers to what is there, and is closed by default."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.modules import (
    DIRECTORIES,
    TERRAFORM,
    Block,
    arguments,
    broken_references,
    faults,
    labelled,
    module,
    named,
    parsed,
    schema,
    used,
)

ENVIRONMENTS = sorted((TERRAFORM / "environments").iterdir())
IN_CLUSTER = list(labelled(module(TERRAFORM / "in-cluster")["resource"], 2))
EVERY = pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: path.name)


def text(directory: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(directory.glob("*.tf")))


def resource(of: str, type_: str) -> Block:
    """The one of that type in a module."""
    found = labelled(module(TERRAFORM / "modules" / of)["resource"], 2)
    one: Block
    (one,) = [content for kind, _, content in found if kind == type_]
    return one


def test_the_kept_schema_is_of_what_is_used() -> None:
    assert (sorted(schema()["resource"]), sorted(schema()["data"])) == used()


@EVERY
def test_the_provider_knows_every_resource_and_argument(directory: Path) -> None:
    assert not list(faults(module(directory)))


@EVERY
def test_what_is_referred_to_is_there(directory: Path) -> None:
    assert not list(broken_references(text(directory)))
    blocks = module(directory)
    declared = set(named(blocks.get("variable", [])))
    assert set(re.findall(r"\bvar\.(\w+)", text(directory))) == declared
    locals_ = {name for one in blocks.get("locals", []) for name in arguments(one)}
    assert set(re.findall(r"\blocal\.(\w+)", text(directory))) == locals_


@EVERY
def test_every_variable_is_described_typed_and_says_what_is_allowed(directory: Path) -> None:
    for name, variable in named(module(directory)["variable"]).items():
        assert variable["description"].endswith('."'), name
        kind = variable["type"].strip('${}"')
        # A switch and what AWS or another module names have nothing to be checked here.
        free = kind == "bool" or name in {"name", "vpc_id", "client_security_group_id", "kubeconfig", "context"}
        assert bool(variable.get("validation")) or free, name
        for validation in variable.get("validation", []):
            assert re.search(rf'^"{name}: expected ', validation["error_message"]), name


@EVERY
def test_every_output_is_described(directory: Path) -> None:
    for name, output in named(module(directory).get("output", [])).items():
        assert output["description"], name
        assert output["value"], name


@EVERY
def test_versions_are_asked_for(directory: Path) -> None:
    (terraform,) = module(directory)["terraform"]
    assert terraform["required_version"] == '">= 1.10"'  # locks in S3 without a table
    (asked,) = terraform["required_providers"]
    assert all("source" in one and "version" in one for name, one in asked.items() if not name.startswith("__"))


def test_each_module_is_given_what_it_wants() -> None:
    calls = named(module(TERRAFORM)["module"])
    assert sorted(calls) == sorted(path.name for path in (TERRAFORM / "modules").iterdir())
    for name, call in calls.items():
        assert call["source"] == f'"./modules/{name}"'
        wanted = named(module(TERRAFORM / "modules" / name)["variable"])
        given = set(arguments(call)) - {"source"}
        assert given <= set(wanted)
        assert {n for n, variable in wanted.items() if "default" not in variable} <= given
        outputs = set(named(module(TERRAFORM / "modules" / name)["output"]))
        assert set(re.findall(rf"module\.{name}\.(\w+)", text(TERRAFORM))) <= outputs


# ── Environments ─────────────────────────────────────────────────────────────────────────────────────────────────────


def values(environment: Path) -> Block:
    found: Any = parsed((environment / "terraform.tfvars").read_text())
    return arguments(found)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
def test_an_environment_gives_the_variables_that_are_there(environment: Path) -> None:
    wanted = named(module(TERRAFORM)["variable"])
    given = values(environment)
    assert set(given) <= set(wanted)
    assert {n for n, variable in wanted.items() if "default" not in variable} <= set(given)
    assert given["environment"] == f'"{environment.name}"'
    state: Any = parsed((environment / "state.config").read_text())
    assert arguments(state)["bucket"] == f'"sightglass-{environment.name}-state"'


def test_environments_share_no_address() -> None:
    ranges = [values(environment)["cidr"] for environment in ENVIRONMENTS]
    assert len(set(ranges)) == len(ENVIRONMENTS) == 3


def test_production_is_protected_and_not_reached_from_outside() -> None:
    production = values(TERRAFORM / "environments/prod")
    assert production["protected"] is True
    assert "api_allowed_cidrs" not in production
    given = named(module(TERRAFORM)["module"])
    assert given["kubernetes"]["deletion_protection"] == "${var.protected}"
    assert given["postgresql"]["deletion_protection"] == given["postgresql"]["multi_az"] == "${var.protected}"
    assert given["networking"]["single_nat_gateway"] == "${!var.protected}"


# ── Closed by default ────────────────────────────────────────────────────────────────────────────────────────────────


def test_data_is_encrypted_private_and_its_passwords_in_no_state() -> None:
    database = resource("postgresql", "aws_db_instance")
    assert (database["storage_encrypted"], database["publicly_accessible"]) == (True, False)
    assert database["manage_master_user_password"] is True
    left = ("skip_final_snapshot", "delete_automated_backups", "final_snapshot_identifier")
    assert [database[name] for name in left] == [False, False, '"${var.name}-last"']
    queue = resource("redis", "aws_elasticache_replication_group")
    assert (queue["at_rest_encryption_enabled"], queue["transit_encryption_enabled"]) == (True, True)
    assert queue["transit_encryption_mode"] == '"required"'
    assert queue["lifecycle"][0]["ignore_changes"] == ["auth_token"]
    parameters = resource("postgresql", "aws_db_parameter_group")["parameter"]
    assert [(p["name"], p["value"]) for p in parameters] == [('"rds.force_ssl"', '"1"')]
    for of in ("postgresql", "redis"):
        rule = resource(of, "aws_vpc_security_group_ingress_rule")
        assert rule["referenced_security_group_id"] == "${var.client_security_group_id}"
    for directory in DIRECTORIES:
        for type_, _, content in labelled(module(directory).get("resource", []), 2):
            assert not {"password", "auth_token", "secret_string", "master_password"} & set(content), type_


def test_data_has_no_way_out_and_nodes_no_public_address() -> None:
    every = list(labelled(module(TERRAFORM / "modules/networking")["resource"], 2))
    routes = [content for type_, _, content in every if type_ == "aws_route"]
    assert len(routes) == 2
    assert not any("route_table.data" in route["route_table_id"] for route in routes)
    subnets = {name: content for type_, name, content in every if type_ == "aws_subnet"}
    assert set(subnets) == {"private", "public", "data"}
    assert all(one.get("map_public_ip_on_launch", False) is False for one in subnets.values())
    closed = resource("networking", "aws_default_security_group")
    assert not {"ingress", "egress"} & set(closed)


def test_nodes_and_the_control_plane_are_closed() -> None:
    template = resource("kubernetes", "aws_launch_template")
    (options,) = template["metadata_options"]
    assert (options["http_tokens"], options["http_put_response_hop_limit"]) == ('"required"', 1)
    assert template["block_device_mappings"][0]["ebs"][0]["encrypted"] is True
    cluster = resource("kubernetes", "aws_eks_cluster")
    (vpc,) = cluster["vpc_config"]
    assert vpc["endpoint_private_access"] is True
    assert vpc["endpoint_public_access"] == "${length(var.api_allowed_cidrs) > 0}"
    assert cluster["encryption_config"][0]["resources"] == ['"secrets"']
    assert cluster["deletion_protection"] == "${var.deletion_protection}"
    assert resource("kubernetes", "aws_kms_key")["enable_key_rotation"] is True


def test_the_control_plane_is_reached_from_the_network() -> None:
    """From a machine in it, too, that is no node."""
    rule = resource("kubernetes", "aws_vpc_security_group_ingress_rule")
    assert arguments(rule) == {
        "security_group_id": "${aws_eks_cluster.this.vpc_config[0].cluster_security_group_id}",
        "cidr_ipv4": "${var.cidr}",
        "ip_protocol": '"tcp"',
        "from_port": 443,
        "to_port": 443,
    }
    given = named(module(TERRAFORM)["module"])
    assert given["kubernetes"]["cidr"] == given["networking"]["cidr"] == "${var.cidr}"


def test_pods_can_be_somebody_to_aws() -> None:
    """A node's metadata, which say who it is, are out of their reach."""
    addons = labelled(module(TERRAFORM / "modules/kubernetes")["resource"], 2)
    (others,) = [content for type_, name, content in addons if (type_, name) == ("aws_eks_addon", "other")]
    assert '"eks-pod-identity-agent"' in others["for_each"]


def test_nodes_and_add_ons_are_of_the_cluster_s_version() -> None:
    """AWS leaves either with the version that it began with."""
    found = module(TERRAFORM / "modules/kubernetes")
    of_cluster = "${aws_eks_cluster.this.version}"
    assert resource("kubernetes", "aws_eks_cluster")["version"] == "${var.kubernetes_version}"
    assert resource("kubernetes", "aws_eks_node_group")["version"] == of_cluster
    (by_default,) = [content for type_, _, content in labelled(found["data"], 2) if type_ == "aws_eks_addon_version"]
    assert (by_default["addon_name"], by_default["kubernetes_version"]) == ("${each.key}", of_cluster)
    assert by_default.get("most_recent", False) is False
    addons = [content for type_, _, content in labelled(found["resource"], 2) if type_ == "aws_eks_addon"]
    version = "${data.aws_eks_addon_version.this[each.key].version}"
    assert [one["addon_version"] for one in addons] == [version, version]
    asked: set[str] = set().union(*(names(one["for_each"]) for one in addons))
    assert names(by_default["for_each"]) == asked


def names(each: Any) -> set[str]:
    """What a for_each names."""
    return {name.strip('"') for name in each} if isinstance(each, dict) else set(re.findall(r'"([\w-]+)"', each))


def test_another_major_version_of_the_database_is_taken() -> None:
    """It waits for the maintenance window, and the former parameters are in use until then."""
    database, parameters = (resource("postgresql", type_) for type_ in ("aws_db_instance", "aws_db_parameter_group"))
    assert database["engine_version"] == "${tostring(var.major_version)}"
    assert database["allow_major_version_upgrade"] is True
    assert "apply_immediately" not in database
    assert parameters["family"] == '"postgres${var.major_version}"'
    assert "name" not in parameters
    assert parameters["lifecycle"][0]["create_before_destroy"] is parameters["skip_destroy"] is True


PAGE = (TERRAFORM.parents[1] / "docs/terraform.md").read_text()


def test_the_queue_s_password_is_in_a_secret_that_is_brought() -> None:
    """A setting is in a ConfigMap and in the state."""
    told = re.findall(
        r"`rediss://:PASSWORD@[^`]*` is then what `SIGHTGLASS_QUEUE_URL` is in the Secret `(\w+)`, .* key `(.*)` below",
        PAGE,
    )
    ((secret, key),) = told
    (example,) = re.findall(r"^  ```hcl\n(.*?)^  ```", PAGE, re.DOTALL | re.MULTILINE)
    secrets: Any = parsed(example)["secrets"]
    assert secrets[secret]["key"] == f'"{key}"'


def test_the_queue_s_password_is_set_after_it_is_rotated_in() -> None:
    """The other way round AWS refuses it."""
    ((order, loop),) = re.findall(r"for strategy in (.*?); do.*?\n(.*?)\n +done", PAGE, re.DOTALL)
    assert order == "ROTATE SET"
    assert re.findall(r"aws elasticache (\S+)", loop) == ["modify-replication-group", "wait"]


def test_a_secret_has_the_keys_that_are_named_and_is_renewed_soon() -> None:
    """RDS' has `username` and `password`, where a pod reads `database`."""
    (secrets,) = [content for _, name, content in IN_CLUSTER if name == "secret"]
    written = secrets["yaml_body"]
    assert "data = [for key, property in each.value.keys : " in written
    assert "remoteRef = {key = each.value.key, property = property}" in written
    assert "if length(each.value.keys) == 0" in written
    assert '"5m"' in written


def test_what_helm_would_keep_is_kept() -> None:
    (kept,) = [content["apply_only"] for _, name, content in IN_CLUSTER if name == "chart"]
    assert kept == '${strcontains(each.value, "helm.sh/resource-policy: keep")}'


def test_everything_has_tags() -> None:
    provider = named(module(TERRAFORM)["provider"])["aws"]
    tags = provider["default_tags"][0]["tags"]
    assert all(name in tags for name in ("Application", "Environment", "ManagedBy", "var.tags"))
    assert provider["allowed_account_ids"] == ["${var.account_id}"]


# ── The check itself ─────────────────────────────────────────────────────────────────────────────────────────────────

KEY = 'resource "aws_kms_key" "k" {\n%s\n}\n'
CLUSTER = 'resource "aws_eks_cluster" "c" {\nname = "a"\nrole_arn = "b"\n%s\n}\n'


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (KEY % "enable_rotation = true", "aws_kms_key.k.enable_rotation: no such argument"),
        (KEY % 'enable_key_rotation = "maybe"', "aws_kms_key.k.enable_key_rotation: not a bool"),
        (KEY % 'deletion_window_in_days = "a month"', "aws_kms_key.k.deletion_window_in_days: not a number"),
        (KEY % 'tags = ["a"]', "aws_kms_key.k.tags: not a map"),
        ('resource "aws_kms_lock" "k" {}\n', "aws_kms_lock.k: no such resource"),
        ('data "aws_kms_key" "k" {}\n', "aws_kms_key.k: no such data"),
        (CLUSTER % "", "aws_eks_cluster.c.vpc_config: required"),
        (CLUSTER % "vpc_config = 1", "aws_eks_cluster.c.vpc_config: a block"),
        (
            CLUSTER % 'vpc_config {\nsubnet_ids = ["a"]\npublic = true\n}',
            "aws_eks_cluster.c.vpc_config.public: no such argument",
        ),
        (CLUSTER % "vpc_config {}", "aws_eks_cluster.c.vpc_config.subnet_ids: required"),
        (CLUSTER % 'vpc_config {\nsubnet_ids = "a"\n}', "aws_eks_cluster.c.vpc_config.subnet_ids: not a list"),
        (
            CLUSTER % "vpc_config {\nsubnet_ids = []\n}\nvpc_config {\nsubnet_ids = []\n}",
            "aws_eks_cluster.c.vpc_config: one block only",
        ),
        (CLUSTER % "vpc_config {\nsubnet_ids = []\n}\nregion {\n}", "aws_eks_cluster.c.region: not a block"),
        ('provider "aws" {\nregions = "a"\n}\n', "provider.aws.regions: no such argument"),
    ],
)
def test_what_the_provider_would_refuse_is_found(content: str, fault: str) -> None:
    assert fault in list(faults(parsed(content)))


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("aws_kms_key.other.arn", ["aws_kms_key.other: not there"]),
        ("aws_kms_key.k.arm", ["aws_kms_key.k.arm: no such attribute"]),
        ('"x-${aws_kms_key.k.nam}"', ["aws_kms_key.k.nam: no such attribute"]),
        ("data.aws_partition.current.partition", ["data.aws_partition.current: not there"]),
        ("aws_kms_key.k[0].arn", []),
        ("aws_eks_cluster.c.vpc_config[0].vpc", ["aws_eks_cluster.c.vpc_config.vpc: no such attribute"]),
        ("aws_eks_cluster.c.vpc_config[0].vpc_id", []),
    ],
)
def test_a_reference_to_nothing_is_found(expression: str, fault: list[str]) -> None:
    there = (KEY % "") + CLUSTER % "vpc_config {\nsubnet_ids = []\n}"
    assert list(broken_references(f'{there}output "x" {{\nvalue = {expression}\n}}\n')) == fault
