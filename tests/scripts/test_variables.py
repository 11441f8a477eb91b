"""Each variable of .env.template, when it is set, arrives in what Compose starts."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_env_template import (
    BUILD_ARGUMENTS,
    FOR_COMPOSE_ITSELF,
    FOR_DEPLOYS,
    INTERPOLATED,
    TEMPLATE,
)

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 1 << 20
# Those that Compose itself understands, and what it makes of them; all others are texts that pass through.
SEEN: dict[str, str] = {
    **{name: f"0.{31 + place}" for place, name in enumerate(n for n in TEMPLATE if n.endswith("_CPUS"))},
    **{name: str(21001 + place) for place, name in enumerate(n for n in TEMPLATE if n.endswith("_PORT"))},
    **{name: f"{301 + place}m" for place, name in enumerate(n for n in TEMPLATE if "_MEMORY" in n)},
    "API_CPU_SHARES": "333",
    "API_REPLICAS": "7",
    "JOBS_REPLICAS": "9",
    "API_STOP_GRACE": "77",
    "API_START_PERIOD": "88",
    "APP_NETWORK_INTERNAL": "false",
    "MLFLOW_NETWORK_INTERNAL": "false",
}
# Only whether they are set is of matter here: to what of another's is started, and how it is named.
SWITCHES = {"ACME_EMAIL", "API_CONTEXT", "API_IMAGE", "APP_ENV_FILE", "MLFLOW"}


def project(variables: dict[str, str], directory: Path, profile: str = "*") -> Any:
    """What Compose would start, of every profile or of this one alone."""
    file = directory / "env"
    file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    command = ["docker", "compose", "--project-directory", str(ROOT), "--env-file", str(file), "--file"]
    environment = {name: value for name, value in os.environ.items() if name not in TEMPLATE}
    result = subprocess.run(
        [*command, str(ROOT / "docker-compose.prod.yml"), "--profile", profile, "config", "--format", "json"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def sentinel(name: str) -> str:
    return SEEN.get(name, f"/seen-{name.lower()}")


def leaves(node: Any) -> list[str]:
    """Every value, as a text."""
    if isinstance(node, dict | list):
        return [leaf for one in (node.values() if isinstance(node, dict) else node) for leaf in leaves(one)]
    return [str(node)]


@pytest.fixture(scope="module")
def set_ones(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[str]]:
    """The project with every variable set, and all its values."""
    every = set(TEMPLATE) - FOR_COMPOSE_ITSELF - SWITCHES
    whole = project({name: sentinel(name) for name in every}, tmp_path_factory.mktemp("all"))
    return whole, leaves(whole)


@pytest.fixture(scope="module")
def unset(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The project as the template has it."""
    return project({}, tmp_path_factory.mktemp("none"))


ELSEWHERE = FOR_COMPOSE_ITSELF | FOR_DEPLOYS | BUILD_ARGUMENTS | {"DEV_PORT"}


@pytest.mark.parametrize("name", sorted(set(TEMPLATE) - ELSEWHERE - SWITCHES))
def test_a_variable_arrives(set_ones: tuple[Any, list[str]], name: str) -> None:
    whole, values = set_ones
    wanted = sentinel(name)
    if name.endswith("_NETWORK_INTERNAL"):
        network = whole["networks"]["app" if name.startswith("APP") else "databases"]
        assert not network.get("internal", False)
    elif wanted.endswith("m") and wanted[:-1].isdigit():
        assert str(int(wanted[:-1]) * MEBIBYTE) in values
    else:
        assert any(wanted in value for value in values)


@pytest.mark.parametrize("name", sorted(SWITCHES))
def test_a_switch_changes_something(unset: Any, tmp_path: Path, name: str) -> None:
    assert name in INTERPOLATED
    (tmp_path / "shop").touch()
    assert project({name: str(tmp_path / "shop")}, tmp_path) != unset


def test_with_everything_off_there_is_no_other_container(tmp_path: Path) -> None:
    services = project({}, tmp_path, profile="")["services"]
    started = {name for name, one in services.items() if one.get("deploy", {}).get("replicas", 1) != 0}
    assert started == {"setup", "nginx", "api", "jobs"}
