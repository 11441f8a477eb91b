"""One real cluster for all tests of this folder; nothing of it is left afterwards."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts.cluster import __main__ as commands
from scripts.cluster import ending, node, parts
from scripts.cluster.layout import HERE, LOGS, SECOND
from scripts.cluster.processes import end, run
from scripts.commands import step
from tests.cluster import keda, prometheus, state
from tests.cluster import stories as stories_of
from tests.cluster.cluster import Cluster, Installation
from tests.cluster.runbook import IMAGES
from tests.edge.containers import ROOT, docker
from tests.edge.images import build
from tests.stack import Stack
from tests.support import servers
from tests.support.waiting import eventually


def make_images(directory: Path) -> dict[str, str]:
    """Pull or build what runs in the cluster, an application that knows nothing of the stack among it."""
    env_file = directory / "images.env"
    env_file.touch()
    beside = ("nginx", "postgres", "collector", "victoria-logs")
    subprocess.run(
        [sys.executable, "scripts/images.py", "--env-file", str(env_file), "python", "prometheus", *beside],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    compose = ("--file", str(ROOT / "docker-compose.prod.yml"), "--env-file", str(env_file))
    services = json.loads(docker("compose", *compose, "--profile", "*", "config", "--format", "json"))["services"]
    chosen = dict(line.split("=", 1) for line in env_file.read_text().split())
    build(IMAGES[0], chosen.get("PYTHON_IMAGE"), "service")
    docker("tag", *IMAGES)
    docker("tag", services["prometheus"]["image"], prometheus.IMAGE)  # a name without a digest, by which it is found
    return {
        **{name: services[name]["image"] for name in beside},
        "foreign": foreign(directory / "foreign"),
        "s3": servers.s3_image(),
    }


def foreign(directory: Path) -> str:
    """Lay the stack over the applications of tests/apps, as `make up` does; returns the image."""
    stack = Stack(directory, profiles=[], API_CONTEXT="./tests/apps")
    subprocess.run([sys.executable, "scripts/images.py", "python"], cwd=directory, check=True, capture_output=True)
    built = stack.run("python3", "scripts/build.py")
    assert built.returncode == 0, built.stderr
    docker("image", "rm", stack.project)
    lines = dict(line.split("=", 1) for line in stack.env_file.read_text().splitlines() if "=" in line)
    return lines["SERVED_IMAGE"]


def start_beside(images: dict[str, str]) -> None:
    """Start what jobs need elsewhere, and what tells how much pods use."""
    keda.start()
    state.start(images)
    node.import_part("metrics-server")
    run("kubectl", "apply", "-f", str(HERE / "metrics-server.yaml"))
    keda.ready()


def killed_halfway() -> None:
    """Leave what a start leaves that is killed in the midst of it: the next one has to do away with it."""
    note, begun = LOGS / "apiserver.pid", time.time()
    with subprocess.Popen([sys.executable, "-m", "scripts.cluster", "up"], cwd=ROOT) as process:
        # Of an earlier cluster's end there may be a note, too.
        eventually(
            lambda: process.poll() is not None or (note.exists() and note.stat().st_mtime > begun), deadline=1800
        )
        assert process.poll() is None
        process.kill()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that has the images and the definitions that operators would bring; a second node joins meanwhile."""
    directory = Path(tmp_path_factory.mktemp("cluster"))
    with ExitStack() as left:
        made = left.enter_context(ThreadPoolExecutor(1)).submit(make_images, directory)
        left.callback(ending.down)
        killed_halfway()
        commands.up()
        images = made.result()
        step("importing images")
        left.callback(docker, "image", "rm", *IMAGES, images["foreign"], prometheus.IMAGE)
        pool = left.enter_context(ThreadPoolExecutor(8))  # the end waits for what goes on there, …
        left.callback(end, "apiserver", signal.SIGKILL)  # … which then ends soon
        defined = pool.submit(run, "kubectl", "apply", "--server-side", "-f", str(parts.definitions()), seconds=180)
        node.import_images(*IMAGES, *images.values(), prometheus.IMAGE)
        defined.result()
        step("installing")
        yield Cluster(
            directory,
            images,
            pool,
            joined=pool.submit(node.join, SECOND, images["nginx"], *IMAGES),
        )


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Installation:
    """The chart, as the runbook has it installed, with limits out of the way."""
    installation = cluster.install_by_runbook()
    cluster.beside = cluster.pool.submit(start_beside, cluster.images)  # not earlier: it would take the processors
    return installation


@pytest.fixture(scope="session")
def stories(cluster: Cluster, installed: Installation) -> stories_of.Stories:
    """What goes on by itself from here on; the first installation's PodMonitor says what is scraped there, too."""
    del installed
    return stories_of.begin(cluster, cluster.pool)
