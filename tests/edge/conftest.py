"""The images, the private network and the edges these tests share."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.edge.containers import ROOT, Edge, Network, docker

API_IMAGE = "sightglass-edge-test"


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """NGINX's image as the Compose file names it, or its stand-in, and the runtime image, in a network of their own."""
    env_file = tmp_path_factory.mktemp("images") / ".env"
    env_file.touch()
    subprocess.run(
        [sys.executable, "scripts/images.py", "--env-file", str(env_file), "nginx", "python"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    compose = ("--file", str(ROOT / "docker-compose.prod.yml"), "--env-file", str(env_file))
    nginx = json.loads(docker("compose", *compose, "config", "--format", "json"))["services"]["nginx"]["image"]
    chosen = dict(line.split("=", 1) for line in env_file.read_text().split())
    environment = os.environ | {"PYTHON_IMAGE": chosen.get("PYTHON_IMAGE", "")}
    build_argument = ["--build-arg", "PYTHON_IMAGE"] if environment["PYTHON_IMAGE"] else []
    subprocess.run(
        ["docker", "build", "--quiet", "--target", "runtime", "--tag", API_IMAGE, *build_argument,
         "--secret", "id=ca_bundle,src=/etc/ssl/certs/ca-certificates.crt",
         "--secret", "id=pip_conf,src=/dev/null", "."],
        cwd=ROOT, check=True, capture_output=True, env=environment,
    )  # fmt: skip
    created = Network(nginx, API_IMAGE)
    try:
        yield created
    finally:
        created.close()


@pytest.fixture(scope="session")
def api(network: Network) -> str:
    """One replica; its container's name."""
    return network.start_api()


@pytest.fixture(scope="session")
def start_edge(network: Network, api: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Edge]:
    """Start an edge with these variables; it goes with the session."""

    def start(**environment: str) -> Edge:
        directory = Path(tmp_path_factory.mktemp("edge"))
        directory.chmod(0o755)
        return Edge(network, directory, **environment).wait()

    return start


@pytest.fixture(scope="session")
def edge(start_edge: Callable[..., Edge]) -> Edge:
    """An edge whose limits are out of the way."""
    return start_edge(RATE_LIMIT="100000", RATE_BURST="100000", CONNECTION_LIMIT="10000", CACHED_PATHS="/cached")
