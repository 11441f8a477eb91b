"""Whose address the edge sees through Docker's published ports, as docs/edge.md says it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.containers import Edge, Network, docker
from tests.edge.outside import HAS_IPV6, Outside, from_the_host, outside

needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="IPv6 is switched off on this machine")


@pytest.fixture(scope="module")
def cable() -> Iterator[Outside]:
    with outside() as made:
        yield made


@pytest.fixture(scope="module")
def published(network: Network, api: str, cable: Outside, tmp_path_factory: pytest.TempPathFactory) -> Edge:
    directory: Path = tmp_path_factory.mktemp("edge")
    directory.chmod(0o755)
    hosts = ["127.0.0.1", cable.host, *(["[::1]", f"[{cable.host_ipv6}]"] if HAS_IPV6 else [])]
    return Edge(network, directory, {"RATE_LIMIT": "1", "RATE_BURST": "5"}, hosts=hosts).wait()


def gateway(network: Network) -> str:
    return docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", network.name)


def test_each_client_outside_has_its_own_address_and_bucket(published: Edge, cable: Outside) -> None:
    answers = cable.get(cable.host, published.port(8443, cable.host), cable.clients, count=12)
    for client in cable.clients:
        served = [body for status, body in answers[client] if status == 200]
        assert {body["client"] for body in served} == {client}
        assert len(served) >= 6  # the burst and one: of one bucket for both, half the requests would have been refused
    assert {status for answered in answers.values() for status, _ in answered} == {200, 429}


@needs_ipv6
def test_ipv6_clients_share_the_bridges_where_the_network_has_none(
    network: Network, published: Edge, cable: Outside
) -> None:
    port = published.port(8443, cable.host_ipv6)
    answers = cable.get(cable.host_ipv6, port, cable.clients_ipv6)
    assert {body["client"] for ((_, body),) in answers.values()} == {gateway(network)}


@pytest.mark.parametrize("loopback", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_the_machine_itself_is_the_bridge_on_loopback(network: Network, published: Edge, loopback: str) -> None:
    assert from_the_host(loopback, published.port(8443, loopback), loopback)["client"] == gateway(network)


def test_the_machine_itself_is_itself_elsewhere(published: Edge, cable: Outside) -> None:
    assert from_the_host(cable.host, published.port(8443, cable.host), cable.host)["client"] == cable.host
