"""This machine's own Docker, told to take images of the stack from a registry of the tests."""

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import yaml

from tests.images.registry import Registry, layer
from tests.support.compose import included

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICES = ("alertmanager", "nginx", "prometheus")  # in the order they are pulled in


def services() -> dict[str, dict[str, Any]]:
    """Return the services of the production stack as they are written, those of included files too."""
    main = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())
    others = [yaml.safe_load(path.read_text()).get("services", {}) for path in included()]
    return {name: service for part in (main["services"], *others) for name, service in part.items()}


class Machine:
    """Runs scripts/images.py, and knows what it left behind."""

    def __init__(self, registry: Registry, directory: Path) -> None:
        self.registry = registry
        self.env_file = directory / "env"
        self.this_run = directory / "this-run"
        # Names and layers of this test alone: neither an image nor a layer of it may be here already.
        self.run = uuid.uuid4().hex[:8]
        self.digests = {name: self.offer(name) for name in SERVICES}
        self.refs = {name: registry.ref(self.repository(name), "1") for name in SERVICES}
        self.tell()

    def repository(self, name: str) -> str:
        """Return the repository of a service's image."""
        return f"{self.run}/{name}"

    def offer(self, name: str, **arguments: str) -> str:
        """Put a service's image into the registry: two layers, one too large to come in one piece."""
        layers = (layer(name=f"{self.run} {name}".encode()), layer(content=os.urandom(3_000_000)))
        return self.registry.add(self.repository(name), "1", *layers, **arguments)

    def tell(self) -> None:
        """Name the images in `.env`."""
        lines = [f"{name.upper()}_IMAGE={ref}\n" for name, ref in self.refs.items()]
        self.told = "".join(lines)
        self.env_file.write_text(self.told)

    def images(self, *arguments: str, passing: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the program, as `make images` does or as `make up` does (`passing`)."""
        this_run = ("--this-run", str(self.this_run)) if passing else ()
        command = [sys.executable, "scripts/images.py", "--env-file", str(self.env_file), *this_run, *arguments]
        return subprocess.run(
            [*command, "--back-off", "0", *SERVICES],
            cwd=ROOT, env=os.environ | {"SSL_CERT_FILE": "/nonexistent"}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def present(self) -> list[str]:
        """Return the services whose image of the registry is here."""
        return [
            name
            for name, ref in self.refs.items()
            if subprocess.run(["docker", "image", "inspect", ref], capture_output=True, check=False).returncode == 0
        ]

    def attempts(self, result: subprocess.CompletedProcess[str]) -> list[int]:
        """Return how often each service's image was asked for, by what the program said."""
        return [result.stdout.count(f"pulling {ref} ") for ref in self.refs.values()]

    def forget(self) -> None:
        """Remove what was pulled."""
        subprocess.run(["docker", "image", "rm", "--force", *self.refs.values()], capture_output=True, check=False)
