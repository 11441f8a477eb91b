"""The stand-ins are the versions that are pinned, and have the commands and users of the official images."""

import json
import re
from pathlib import Path

import pytest

from scripts.images import LOCAL, build, recipe_id
from tests.images.machine import services
from tests.stack import docker

ROOT = Path(__file__).resolve().parent.parent.parent
# How each says its version, its user, and which commands people and the stack's scripts run in the official image.
STAND_INS = {
    "python": ("python --version", "", "python python3 python3.13 pip pip3 sh"),
    "nginx": ("nginx -v", "", "nginx curl envsubst openssl sh"),
    "valkey": ("valkey-server --version", "valkey", "valkey-server valkey-cli sh"),
    "lego": ("/lego --version", "", "/lego sh grep cmp date timeout"),
    "restic": ("restic version", "", "restic sh ssh stat od flock find"),
    "postgres": ("postgres --version", "postgres", "postgres initdb pg_ctl pg_dump pg_restore pg_isready flock sh sed"),
    "prometheus": ("prometheus --version", "nobody", "prometheus promtool sh wget"),
    "alertmanager": ("alertmanager --version", "nobody", "alertmanager amtool sh wget"),
    "node-exporter": ("node_exporter --version", "nobody", "node_exporter sh wget"),
    "blackbox-exporter": ("blackbox_exporter --version", "nobody", "blackbox_exporter sh wget"),
}
# Debian is behind: pin and stand-in are of one line, but not of one patch release.
BEHIND = {"prometheus": "3.5.3"}
# The digests of these tags are not known yet; Renovate adds them (.github/renovate.json).
WITHOUT_DIGEST = {
    "database-exporter",
    "nginx",
    "operators",
    "telemetry-door",
    "mlflow-door",
    "lego",
    "restic",
    "restore",
    "collector",
    "victoria-logs",
    "jaeger",
}
"""The first four are of one image."""


def pins() -> dict[str, str]:
    """Return the official image of each service, and of the API's base, as they are pinned."""
    found = {name: re.search(r":-([^}$]+:[^}$]+)\}", service["image"]) for name, service in services().items()}
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    return {"python": base[1]} | {name: match[1] for name, match in found.items() if match}


PINS = pins()


def in_stand_in(name: str, command: str) -> str:
    return docker("run", "--rm", "--network", "none", "--entrypoint", "sh", build(name), "-c", f"{command} 2>&1")


def version(text: str) -> str:
    match = re.search(r"\d+\.\d+(\.\d+)?", text)
    assert match is not None, text
    return match[0]


def test_what_has_a_stand_in_has_a_pin() -> None:
    assert PINS.keys() >= STAND_INS.keys() >= BEHIND.keys()
    assert PINS.keys() >= WITHOUT_DIGEST


@pytest.mark.parametrize("name", PINS)
def test_a_pin_is_a_whole_version_and_a_digest(name: str) -> None:
    digest = "" if name in WITHOUT_DIGEST else "@sha256:[0-9a-f]{64}"
    assert re.fullmatch(rf"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)*{digest}", PINS[name])


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_is_the_version_that_is_pinned(name: str) -> None:
    here, pinned = version(in_stand_in(name, STAND_INS[name][0])), version(PINS[name])
    assert here == BEHIND.get(name, pinned)
    assert here.rpartition(".")[0] == pinned.rpartition(".")[0]


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_has_what_the_official_image_has(name: str) -> None:
    _, user, commands = STAND_INS[name]
    missing = in_stand_in(name, f"for c in {commands}; do command -v $c >/dev/null || echo $c; done")
    assert missing == ""
    (image,) = json.loads(docker("image", "inspect", f"{LOCAL}/{name}:{recipe_id()}"))
    assert image["Config"]["User"] == user


def test_the_python_stand_in_installs_packages() -> None:
    wheel = "/usr/share/python-wheels/pip-*.whl"
    told = in_stand_in("python", f"pip install --no-index --target /tmp/there {wheel} && ls /tmp/there")
    assert "Successfully installed pip-" in told


def test_renovate_keeps_the_pins() -> None:
    rules = json.loads((ROOT / ".github" / "renovate.json").read_text())
    assert "docker:pinDigests" in rules["extends"]
    assert set(rules["enabledManagers"]) == {"docker-compose", "dockerfile", "github-actions"}
