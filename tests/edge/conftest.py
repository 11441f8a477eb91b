"""The images, the private network and the edges these tests share."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.edge.containers import Edge, Network, docker
from tests.edge.images import build, choose


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """NGINX's image as the Compose file names it, or its stand-in, and the runtime image, in a network of their own."""
    nginx, base = choose(tmp_path_factory.mktemp("images"))
    tag = f"sightglass-edge-test-{uuid.uuid4().hex[:8]}"
    build(tag, base)
    created = Network(nginx, tag)
    try:
        yield created
    finally:
        created.close()
        docker("image", "rm", tag)


@pytest.fixture(scope="session")
def api(network: Network) -> str:
    """One replica; its container's name."""
    return network.start_api()


@pytest.fixture(scope="module")
def start_edge(network: Network, api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Edge]]:
    """Start an edge with these variables; it goes with the module: each asks its replicas once a second."""
    started: list[Edge] = []

    def start(*, unread: bool = False, **environment: str) -> Edge:
        started.append(new_edge(network, tmp_path_factory, environment, unread=unread))
        return started[-1].wait()

    yield start
    for edge in started:
        if edge.container in network.containers:
            network.remove(edge.container)


@pytest.fixture(scope="session")
def edge(network: Network, api: str, tmp_path_factory: pytest.TempPathFactory) -> Edge:
    """An edge whose limits are out of the way."""
    unlimited = {"RATE_LIMIT": "100000", "RATE_BURST": "100000", "CONNECTION_LIMIT": "10000", "CACHED_PATHS": "/cached"}
    return new_edge(network, tmp_path_factory, unlimited).wait()


def new_edge(
    network: Network, directories: pytest.TempPathFactory, environment: dict[str, str], *, unread: bool = False
) -> Edge:
    """Start an edge with files of its own."""
    directory = Path(directories.mktemp("edge"))
    directory.chmod(0o755)
    return Edge(network, directory, environment, unread=unread)
