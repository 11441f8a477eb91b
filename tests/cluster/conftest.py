"""One real cluster for all tests of this folder; nothing of it is left afterwards."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cluster import __main__ as commands
from scripts.cluster import ending, node
from tests.cluster.cluster import Cluster, Installation
from tests.edge.containers import docker
from tests.edge.images import build, choose


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node that has the images."""
    directory = tmp_path_factory.mktemp("cluster")
    nginx, base = choose(directory)
    service = f"sightglass-cluster-test:{uuid.uuid4().hex[:8]}"
    build(service, base, "service")
    try:
        commands.up()
        for image in (nginx, service):
            node.import_image(image)
        yield Cluster(Path(directory), nginx, service)
    finally:
        ending.down()
        docker("image", "rm", service)


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Installation:
    """The chart, as it is installed by one command, with limits out of the way."""
    return cluster.install()
