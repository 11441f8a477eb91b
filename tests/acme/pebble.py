"""A CA of the tests' own: Pebble, in a stack's network, which finds the stack's names at its NGINX."""

import json
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from scripts import images
from tests.stack import ROOT, Stack, docker, eventually
from tests.support.certificates import self_signed
from tests.support.on_debian import image_of

NAME = "ca.example"
LIMITED = "limited.example"
"""Another CA's name, for which the same certificate serves."""
DIRECTORY = f"https://{NAME}:14000/dir"
VARIABLES = ("PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0")


def build() -> str:
    """Make Pebble's image present; returns its name."""
    return image_of(ROOT / "tests" / "acme", "pebble", images.recipe_id())


def trust(stack: Stack) -> None:
    """Have the stack's lego trust this CA's own server, before either is started."""
    _, certificate, key = self_signed(NAME, LIMITED)
    directory = stack.directory / "docker" / "pebble"  # below what lego has mounted
    directory.mkdir()
    (directory / "tls.crt").write_bytes(certificate)
    (directory / "tls.key").write_bytes(key)
    (stack.directory / "acme.env").write_text("LEGO_CA_CERTIFICATES=/etc/sightglass/pebble/tls.crt\n")


class Pebble:
    """A running CA that certifies these names for NGINX; ``profile`` is Pebble's (`validityPeriod` in seconds)."""

    def __init__(self, stack: Stack, names: Sequence[str], **profile: Any) -> None:
        self.name = f"{stack.project}-pebble"
        directory: Path = stack.directory / "docker" / "pebble"
        config = {
            "listenAddress": "0.0.0.0:14000",
            "managementListenAddress": "0.0.0.0:15000",
            "certificate": "/etc/pebble/tls.crt",
            "privateKey": "/etc/pebble/tls.key",
            "httpPort": 8080,
            "tlsPort": 8443,
            "profiles": {"default": {"description": "the tests' own", "validityPeriod": 7776000, **profile}},
        }
        (directory / "config.json").write_text(json.dumps({"pebble": config}))
        (nginx,) = stack.inspect("nginx")
        self.network = f"{stack.project}_edge"
        address = nginx["NetworkSettings"]["Networks"][self.network]["IPAddress"]
        docker(
            "run", "--detach", "--name", self.name, "--network", self.network, "--network-alias", NAME,
            *(f"--env={variable}" for variable in VARIABLES), *(f"--add-host={name}:{address}" for name in names),
            "--publish", "127.0.0.1::15000", "--volume", f"{directory}:/etc/pebble:ro", build(),
        )  # fmt: skip
        port = docker("port", self.name, "15000").rpartition(":")[2]
        trusted = ssl.create_default_context(cafile=str(directory / "tls.crt"))
        trusted.check_hostname = False
        self._management = httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusted, timeout=60)
        eventually(lambda: bool(self.root()), lambda: docker("logs", "--tail", "5", self.name))

    def root(self) -> str:
        """Return the root certificate that clients should trust; nothing as long as it does not answer."""
        try:
            return self._management.get("/roots/0").text
        except httpx.HTTPError:
            return ""

    def asked(self, what: str) -> int:
        """Return how many lines of its log have these words."""
        result = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        return (result.stdout + result.stderr).count(what)

    def leave(self) -> None:
        """Be out of reach; what it knows, it keeps only while it runs."""
        docker("network", "disconnect", self.network, self.name)

    def come_back(self) -> None:
        """Be there again."""
        docker("network", "connect", "--alias", NAME, self.network, self.name)

    def close(self) -> None:
        """Remove it."""
        self._management.close()
        docker("rm", "--force", "--volumes", self.name)
