"""Which images are pulled, which are built, and what `.env` says then, with a `docker` that does as it is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.images import read_env, recipe_id, write_env

ROOT = Path(__file__).resolve().parent.parent.parent
LOCAL = f"sightglass-local/nginx:{recipe_id()}"

# `config` is answered by a fixed stack; `pull` and `image inspect` by files; everything is written down.
DOCKER = """#!/bin/sh
echo "$*" >> "$FAKE/calls"
case "$*" in
compose*config*) cat "$FAKE/config.json" ;;
"image inspect "*) grep -qxF "$3" "$FAKE/present" ;;
"pull "*) cat "$FAKE/pull-error" >&2; [ ! -s "$FAKE/pull-error" ] ;;
build*) : ;;
esac
"""
CONFIG = """{"services": {
    "nginx": {"image": "nginx:1"}, "grafana": {"image": "grafana/grafana:1"},
    "api": {"image": "sightglass", "build": {}}, "setup": {"image": "sightglass"}
}}"""


class Machine:
    """A machine with this registry and these images."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env_file = directory / "env"
        (directory / "docker").write_text(DOCKER)
        (directory / "docker").chmod(0o755)
        (directory / "config.json").write_text(CONFIG)
        self.has("python:3.13.15-slim-trixie", f"sightglass-local/debian:{recipe_id()}")
        self.registry_says("")

    def has(self, *images: str) -> None:
        (self.directory / "present").write_text("\n".join(images) + "\n")

    def registry_says(self, error: str) -> None:
        (self.directory / "pull-error").write_text(error)

    def images(self) -> str:
        environment = (
            os.environ
            | {"SSL_CERT_FILE": "/nonexistent"}
            | {"PATH": f"{self.directory}:{os.environ['PATH']}", "FAKE": str(self.directory)}
        )
        command = [sys.executable, str(ROOT / "scripts" / "images.py"), "--env-file", str(self.env_file)]
        (self.directory / "calls").write_text("")
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    def calls(self, verb: str) -> list[str]:
        return [line for line in (self.directory / "calls").read_text().splitlines() if line.startswith(verb)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_with_a_registry_everything_is_pulled_and_env_is_left_alone(machine: Machine) -> None:
    machine.images()
    assert [c.split()[-1] for c in machine.calls("pull")] == ["grafana/grafana:1", "nginx:1"]
    assert machine.calls("build") == []
    assert not machine.env_file.exists()


def test_what_is_there_is_not_pulled(machine: Machine) -> None:
    machine.has("python:3.13.15-slim-trixie", "nginx:1", "grafana/grafana:1")
    machine.images()
    assert machine.calls("pull") == []


def test_without_a_registry_stand_ins_are_built_and_named_in_env(machine: Machine) -> None:
    machine.registry_says("dial tcp: lookup registry: no such host")
    machine.env_file.write_text("# mine\nRATE_LIMIT=5\n")
    told = machine.images()
    assert "the stack starts WITHOUT grafana" in told
    # The registry that gave no answer was asked once.
    assert len(machine.calls("pull")) == 1
    assert f"--target nginx --build-arg DEBIAN_IMAGE=sightglass-local/debian:{recipe_id()}" in machine.calls("build")[0]
    assert machine.env_file.read_text() == (f"# mine\nRATE_LIMIT=5\nGRAFANA_PROFILE=unavailable\nNGINX_IMAGE={LOCAL}\n")


def test_a_second_run_builds_nothing_and_changes_nothing(machine: Machine) -> None:
    machine.registry_says("no such host")
    machine.images()
    before = machine.env_file.read_text()
    machine.has("python:3.13.15-slim-trixie", LOCAL)
    (machine.directory / "config.json").write_text(CONFIG.replace("nginx:1", LOCAL))
    machine.images()
    assert machine.calls("build") == []
    assert machine.env_file.read_text() == before


def test_an_image_the_registry_does_not_have_leaves_the_others_to_be_pulled(machine: Machine) -> None:
    machine.registry_says("manifest unknown: not found")
    machine.images()
    assert len(machine.calls("pull")) == 2


def test_grafana_comes_back_when_its_image_can_be_had(machine: Machine) -> None:
    machine.env_file.write_text("GRAFANA_PROFILE=unavailable\n")
    machine.images()
    assert read_env(machine.env_file) == {"GRAFANA_PROFILE": "monitoring"}


def test_a_stand_in_of_an_older_recipe_is_replaced(machine: Machine) -> None:
    machine.env_file.write_text("NGINX_IMAGE=sightglass-local/nginx:old\n")
    machine.has("python:3.13.15-slim-trixie", "sightglass-local/nginx:old", f"sightglass-local/debian:{recipe_id()}")
    (machine.directory / "config.json").write_text(CONFIG.replace("nginx:1", "sightglass-local/nginx:old"))
    machine.images()
    assert read_env(machine.env_file)["NGINX_IMAGE"] == LOCAL


def test_write_env_replaces_in_place(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("A=1\n# B=2\nC=3\n")
    write_env(path, {"A": "x", "B": "y"})
    assert path.read_text() == "A=x\n# B=2\nC=3\nB=y\n"
