"""One real cluster for all tests of this folder; nothing of it is left afterwards."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts.cluster import __main__ as commands
from scripts.cluster import ending, node, parts
from scripts.cluster.layout import SECOND
from scripts.cluster.processes import run
from tests.cluster import prometheus
from tests.cluster.cluster import Cluster, Installation
from tests.edge.containers import ROOT, docker
from tests.edge.images import build
from tests.stack import Stack


def make_images(directory: Path) -> dict[str, str]:
    """Pull or build what runs in the cluster, an application that knows nothing of the stack among it."""
    env_file = directory / "images.env"
    env_file.touch()
    names = ("nginx", "prometheus", "python")
    subprocess.run(
        [sys.executable, "scripts/images.py", "--env-file", str(env_file), *names],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    compose = ("--file", str(ROOT / "docker-compose.prod.yml"), "--env-file", str(env_file))
    services = json.loads(docker("compose", *compose, "--profile", "*", "config", "--format", "json"))["services"]
    chosen = dict(line.split("=", 1) for line in env_file.read_text().split())
    service = f"sightglass-cluster-test/service:{uuid.uuid4().hex[:8]}"
    build(service, chosen.get("PYTHON_IMAGE"), "service")
    docker("tag", services["prometheus"]["image"], prometheus.IMAGE)  # a name without a digest, by which it is found
    return {"nginx": services["nginx"]["image"], "service": service, "foreign": foreign(directory / "foreign")}


def foreign(directory: Path) -> str:
    """Lay the stack over the applications of tests/apps, as `make up` does; returns the image."""
    stack = Stack(directory, profiles=[], API_CONTEXT="./tests/apps")
    subprocess.run([sys.executable, "scripts/images.py", "python"], cwd=directory, check=True, capture_output=True)
    built = stack.run("python3", "scripts/build.py")
    assert built.returncode == 0, built.stderr
    docker("image", "rm", stack.project)
    lines = dict(line.split("=", 1) for line in stack.env_file.read_text().splitlines() if "=" in line)
    return lines["SERVED_IMAGE"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that has the images and the definitions that operators would bring; a second node joins meanwhile."""
    directory = Path(tmp_path_factory.mktemp("cluster"))
    with ExitStack() as left:
        pool = left.enter_context(ThreadPoolExecutor())
        made = pool.submit(make_images, directory)
        left.callback(ending.down)
        commands.up()
        images = made.result()
        left.callback(docker, "image", "rm", images["service"], images["foreign"], prometheus.IMAGE)
        node.import_images(*images.values(), prometheus.IMAGE)
        run("kubectl", "apply", "--server-side", "-f", str(parts.definitions()), seconds=180)
        joined = pool.submit(node.join, SECOND, images["nginx"], images["service"])
        left.callback(joined.exception)
        yield Cluster(directory, images, joined)


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Installation:
    """The chart, as it is installed by one command, with limits out of the way."""
    return cluster.install()
