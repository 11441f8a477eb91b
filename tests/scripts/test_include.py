"""A repository of somebody else's that brings the stack in by Compose's `include:`; nothing of it is edited."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
(INCLUDE,) = re.findall(r"```yaml\n(include:.*?)```", (ROOT / "docs" / "hooks.md").read_text(), re.DOTALL)
OVERRIDE = (ROOT / "examples" / "site" / "compose.yml").read_text()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with an `ops` directory and Sightglass as a submodule."""
    (tmp_path / "sightglass").symlink_to(ROOT)
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "compose.yml").write_text(OVERRIDE)
    (tmp_path / "compose.yml").write_text(INCLUDE)
    (tmp_path / ".env").write_text("SITE_DIR=../ops\nAPP=shop.main:app\nAPP_DIR=..\nHTTPS_PORT=8443\nJOBS_REPLICAS=0\n")
    return tmp_path


def configuration(directory: Path, **environment: str) -> dict[str, Any]:
    names = ("PATH", "HOME", "DOCKER_HOST")
    command = ["docker", "compose", "--profile", "*", "config", "--format", "json"]
    result = subprocess.run(
        command, cwd=directory, env={n: os.environ[n] for n in names if n in os.environ} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def test_it_is_the_same_stack_with_their_own_services_and_variables(repository: Path) -> None:
    theirs = configuration(repository)
    assert theirs["name"] == repository.name.lower().replace("[", "").replace("]", "")
    services = theirs["services"]
    stack = configuration(ROOT, COMPOSE_FILE="docker-compose.prod.yml")["services"]
    assert set(services) == set(stack) | {"migrate", "database", "redis", "postgres-exporter"}
    api = services["api"]
    assert api["environment"]["SIGHTGLASS_APP"] == "shop.main:app"
    assert {d: c["condition"] for d, c in api["depends_on"].items()} == {
        "setup": "service_completed_successfully", "migrate": "service_completed_successfully",
        "redis": "service_healthy",
    }  # fmt: skip
    assert services["nginx"]["ports"][1]["published"] == "8443"
    for name in stack:
        for kept in ("image", "read_only", "cap_drop", "security_opt", "command", "entrypoint"):
            assert services[name].get(kept) == stack[name].get(kept), (name, kept)


@pytest.mark.parametrize(("service", "target", "source"), [
    ("prometheus", "/etc/site/rules", "ops/rules"), ("prometheus", "/etc/site/targets", "ops/targets"),
    ("grafana", "/etc/site/dashboards", "ops/dashboards"), ("nginx", "/etc/site/nginx", "ops/nginx"),
    ("prometheus", "/etc/sightglass", "sightglass/docker"), ("nginx", "/etc/sightglass", "sightglass/docker"),
    ("api", "/srv/app", "."),
])  # fmt: skip
def test_what_is_theirs_and_ours_is_mounted_from_where_it_is(
    repository: Path, service: str, target: str, source: str
) -> None:
    volumes = configuration(repository)["services"][service]["volumes"]
    (found,) = (volume["source"] for volume in volumes if volume["target"] == target)
    assert Path(found).resolve() == (repository / source).resolve()


def test_no_container_is_given_the_place_as_a_whole(repository: Path) -> None:
    given = {
        (name, volume["target"])
        for name, service in configuration(repository)["services"].items()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind" and (repository / "ops").resolve().is_relative_to(Path(volume["source"]).resolve())
    }
    # This APP_DIR is the whole repository; node-exporter counts the machine's bytes, and a backup is of everything.
    assert given == {
        ("node-exporter", "/host"), ("api", "/srv/app"), ("jobs", "/srv/app"), ("setup", "/given/APP_DIR"),
        ("restic", "/host/SITE_DIR"),
    }  # fmt: skip


def test_no_service_reads_another_env_file_than_the_one_that_is_named(tmp_path: Path) -> None:
    """`make images` asks for the official images so; those of `.env` are stand-ins."""
    for name in ("docker-compose.prod.yml", "docker", "grafana", "site"):
        (tmp_path / name).symlink_to(ROOT / name)
    names = {f"{name}_IMAGE" for name in ("PROMETHEUS", "NGINX", "ALERTMANAGER", "NODE_EXPORTER", "VALKEY")}
    (tmp_path / ".env").write_text("".join(f"{name}=stand-in\n" for name in sorted(names)))
    (tmp_path / "named").write_text("")
    files = ["--file", "docker-compose.prod.yml", "--env-file", "named"]
    command = ["docker", "compose", *files, "--profile", "*", "config", "--images"]
    environment = {n: os.environ[n] for n in ("PATH", "HOME") if n in os.environ}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "stand-in" not in result.stdout.split()
