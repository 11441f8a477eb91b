"""What scripts/engine.sh makes of the Docker it finds, by a `docker` that answers as real ones do."""

import subprocess
from pathlib import Path

import pytest

from scripts import environment

ROOT = Path(__file__).resolve().parent.parent.parent
DOCKER = """#!/bin/sh
case "$*" in
--version) echo "$CLIENT" ;;
version) printf '%s\\n' "$SERVER" ;;
"compose version --short") echo "$COMPOSE" ;;
info | "compose version" | "buildx version") : ;;
*) exit 1 ;;
esac
"""
CLIENT = "Docker version 28.2.2, build e6534b4"
SERVER = """Client:
 Version:           28.2.2

Server:
 Engine:
  Version:          20.10.24+dfsg1"""
# `podman version`, and Docker's client on Podman's socket (4.3).
PODMAN_CLIENT = "podman version 4.3.1"
PODMAN = """Client:       Podman Engine
Version:      4.3.1
API Version:  4.3.1"""
PODMAN_BEHIND_DOCKER = """Client:
 Version:           28.2.2

Server: linux/amd64/debian-12
 Podman Engine:
  Version:          4.3.1"""


def engine(directory: Path, compose: str, client: str = CLIENT, server: str = SERVER) -> tuple[int, str]:
    (directory / "docker").write_text(DOCKER)
    (directory / "docker").chmod(0o755)
    result = subprocess.run(
        ["bash", str(ROOT / "scripts" / "engine.sh")],
        env={"PATH": f"{directory}:/usr/bin:/bin", "CLIENT": client, "SERVER": server, "COMPOSE": compose},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return result.returncode, result.stderr


@pytest.mark.parametrize(
    "version", ["2.24.0", "v2.24.6", "2.24.6+ds1-0ubuntu2", "2.40.3-3", "2.100.0", "5.0.1", "v10.1.0"]
)
def test_a_compose_that_is_new_enough_is_left_alone(tmp_path: Path, version: str) -> None:
    assert engine(tmp_path, version) == (0, "")


@pytest.mark.parametrize("version", ["2.23.3", "v2.20.2", "2.2.3", "2.5.0", "2.17.2+ds1-0ubuntu1", "1.29.2"])
def test_an_older_compose_is_refused_in_one_line(tmp_path: Path, version: str) -> None:
    assert engine(tmp_path, version) == (1, f"Docker Compose {version}: too old; expected 2.24 or later\n")


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (PODMAN_CLIENT, PODMAN),
        (PODMAN_CLIENT, ""),  # it cannot start as it is
        ("podman version 5.8.6", PODMAN),
        (CLIENT, PODMAN_BEHIND_DOCKER),
        ("Podman Engine 5.0", SERVER),
    ],
)
def test_podman_is_refused_in_one_line(tmp_path: Path, client: str, server: str) -> None:
    status, said = engine(tmp_path, "2.40.3", client, server)
    assert status == 1
    assert said == "Podman: not supported; expected Docker Engine\n"


def test_the_readme_says_what_is_needed() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "Compose 2.24" in readme
    assert "Podman" in readme
    assert "rootless" in readme.lower()


def test_what_is_read_is_there_in_compose_2_24() -> None:
    # `config --environment` came with 2.27.2.
    assert "--environment" not in Path(environment.__file__).read_text().replace("`config --environment`", "")
