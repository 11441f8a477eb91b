"""The API believes the edge about client and scheme, on whatever network, and nobody beside it there."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.edge.containers import ROOT, Edge, Network, docker

SERVICES = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())["services"]
# What Compose calls NGINX on each network it shares with the API, and whom the API believes.
ALIASES = {name: network["aliases"] for name, network in SERVICES["nginx"]["networks"].items() if network}
BELIEVED = SERVICES["api"]["environment"]["SIGHTGLASS_FORWARDED_ALLOW_NAMES"]

ASK = """
import json, sys, urllib.request
forged = {"X-Forwarded-For": "203.0.113.66", "X-Forwarded-Proto": "https", "X-Real-IP": "203.0.113.66"}
print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=forged), timeout=60).read().decode())
"""


def test_the_names_are_those_of_the_networks_the_two_share() -> None:
    shared = set(SERVICES["nginx"]["networks"]) & set(SERVICES["api"]["networks"])
    assert set(ALIASES) == shared
    assert sorted(name for names in ALIASES.values() for name in names) == sorted(BELIEVED.split(","))
    others = {alias for name, one in SERVICES.items() if name != "nginx" and isinstance(one.get("networks"), dict)
              for network in one["networks"].values() if network for alias in network.get("aliases", [])}  # fmt: skip
    assert not others & set(BELIEVED.split(","))


@contextmanager
def second_network(network: Network, subnet: str, edge: Edge, api: str) -> Iterator[str]:
    """Connect both to the other network that they share in the stack; yields the API's address there."""
    name = f"{network.name}-monitoring"
    docker("network", "create", "--internal", "--subnet", subnet, name)
    try:
        aliases = [f"--alias={alias}" for alias in ALIASES["monitoring"]]
        docker("network", "connect", *aliases, name, edge.container)
        docker("network", "connect", name, api)
        yield docker("inspect", "--format", f'{{{{(index .NetworkSettings.Networks "{name}").IPAddress}}}}', api)
    finally:
        for container in (edge.container, api):
            docker("network", "disconnect", "--force", name, container)
        docker("network", "rm", name)


@pytest.mark.parametrize(
    ("subnet", "other"),
    [("100.64.77.0/24", "198.51.100.0/25"), ("203.0.113.0/24", "10.213.7.0/24")],
)
def test_on_any_network(network: Network, tmp_path_factory: pytest.TempPathFactory, subnet: str, other: str) -> None:
    private = Network(network.nginx_image, network.api_image, subnet=subnet)
    try:
        api = private.start_api(FORWARDED_ALLOW_NAMES=BELIEVED)
        neighbour = private.start_api(alias="neighbour")

        def start() -> Edge:
            directory = Path(tmp_path_factory.mktemp("edge"))
            directory.chmod(0o755)
            return Edge(private, directory, {"RATE_LIMIT": "1000", "RATE_BURST": "1000"}).wait()

        def told_by(edge: Edge) -> list[str]:
            with edge.client(headers={"Host": "api.example.org"}) as client:
                told = client.get("/echo").json()
                return [told["url"], told["client"], client.get("/echo/").headers["location"]]

        believed = ["https://api.example.org/echo", private.gateway, "https://api.example.org/echo"]
        first = start()
        assert told_by(first) == believed
        forged = docker("exec", neighbour, "python", "-c", ASK, f"http://{private.address(api)}:8000/echo")
        told = json.loads(forged)
        assert told["client"] == private.address(neighbour)
        assert told["url"].startswith("http://")
        with second_network(private, other, first, api) as address:
            first.pin(f"{address}:8000")
            assert told_by(first) == believed
        # NGINX comes back with another address, and who has the former one is not taken for it.
        former = private.address(first.container)
        private.remove(first.container)
        squatter = private.start_api(alias="squatter", ip=former)
        assert told_by(start()) == believed
        told = json.loads(docker("exec", squatter, "python", "-c", ASK, f"http://{private.address(api)}:8000/echo"))
        assert told["client"] == former
    finally:
        private.close()


def test_what_is_only_for_the_container_itself_is_no_trusted_proxy_s(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(TRUSTED_PROXIES="10.0.0.0/8 172.16.0.0/12 192.168.0.0/16")
    for path in ("hold?seconds=1", "judging/start", "judging/counted", "judging/end", "replicas"):
        answer = httpx.get(f"{edge.internal_url}/{path}", headers={"X-Forwarded-For": "127.0.0.1"})
        assert answer.status_code == 403, path
