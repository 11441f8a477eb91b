"""The images the edge's tests and benchmark run: pulled or built as the production stack's are."""

import json
import subprocess
import sys
from pathlib import Path

from tests.edge.containers import ROOT, docker


def choose(directory: Path, service: str = "nginx") -> tuple[str, str | None]:
    """Make a service's and the API's base image present; returns the first, and the base's if it is not the default."""
    env_file = directory / "images.env"
    env_file.touch()
    subprocess.run(
        [sys.executable, "scripts/images.py", "--env-file", str(env_file), service, "python"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    compose = ("--file", str(ROOT / "docker-compose.prod.yml"), "--env-file", str(env_file), "--profile", "*")
    services = json.loads(docker("compose", *compose, "config", "--format", "json"))["services"]
    chosen = dict(line.split("=", 1) for line in env_file.read_text().split())
    return services[service]["image"], chosen.get("PYTHON_IMAGE")


def build(tag: str, base: str | None, target: str = "runtime") -> None:
    """Build the runtime image, into which tests/edge/app.py is mounted, or the shipped service's."""
    arguments = ["--build-arg", f"PYTHON_IMAGE={base}"] if base else []
    lent = ("id=ca_bundle,src=/etc/ssl/certs/ca-certificates.crt", "id=pip_conf,src=/dev/null")
    secrets = [argument for secret in lent for argument in ("--secret", secret)]
    docker("buildx", "build", "--load", "--quiet", "--target", target, "--tag", tag, *arguments, *secrets, str(ROOT))
