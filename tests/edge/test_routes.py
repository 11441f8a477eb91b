"""Unedited, the edge names routes as the application does, in its own answers as in the application's."""

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.edge.containers import Edge, Network, docker, eventually

REQUESTS = "edge_http_requests_total"
UNMATCHED = "(unmatched)"
WEBSOCKET = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

# method, path → route, status
ANSWERS = [
    ("GET", "/v2/shop/items/7", "/v2/shop/items/{number}", 200),
    ("GET", "/v2/shop/items/%37?secret=1", "/v2/shop/items/{number}", 200),
    ("POST", "/v2/shop/items/7", "/v2/shop/items/{name}", 200),
    ("PUT", "/v2/shop/items/7", "/v2/shop/items/{number}", 405),
    ("GET", "/v2/shop/items/7/", UNMATCHED, 307),
    ("GET", "/v2//shop/./items/7", UNMATCHED, 404),
    ("GET", "/admin/users/1/gr%C3%B6%C3%9Fe", "/admin/users/{user}/größe", 200),
    ("GET", "/admin/quoted/%22x%22", '/admin/quoted/"{word}"', 200),
    ("GET", "/admin/nowhere", "/admin/{path}", 404),
    ("GET", "/nowhere", UNMATCHED, 404),
    ("GET", "/status/500", "/status/{code}", 500),
    ("GET", "/forging", "/forging", 200),
]


@dataclass
class Alone:
    """A network in which there is no API until a test starts one."""

    network: Network
    directory: Path
    apis: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def edge(self, **environment: str) -> Edge:
        directory = self.directory / f"edge-{next(self.numbers)}"
        directory.mkdir(mode=0o755)
        limits = {"RATE_LIMIT": "100000", "RATE_BURST": "100000", "CONNECTION_LIMIT": "10000"}
        return Edge(self.network, directory, limits | environment).wait()

    def start_api(self, **environment: str) -> str:
        self.apis.append(self.network.start_api(**environment))
        return self.apis[-1]

    def stop_apis(self) -> None:
        for api in self.apis:
            self.network.remove(api)
        self.apis.clear()


@pytest.fixture(scope="module")
def world(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    directory = tmp_path_factory.mktemp("routes")
    directory.chmod(0o755)
    alone = Alone(Network(network.nginx_image, network.api_image), directory)
    try:
        yield alone
    finally:
        alone.network.close()


@pytest.fixture
def nothing(world: Alone) -> Iterator[Alone]:
    yield world
    world.stop_apis()


def has_table(edge: Edge) -> bool:
    return bool(edge.counts("sightglass_edge_routes"))


def counted(edge: Edge) -> dict[tuple[str, ...], float]:
    return edge.counts(REQUESTS, "route", "method", "status")


def statuses(edge: Edge, path: str, status: int) -> None:
    with edge.client() as client:
        assert client.get(path).status_code == status


def dead(edge: Edge, path: str, times: int) -> Counter[str]:
    """Ask while no replica is there; an address that Docker's DNS still gives is a 504."""
    with edge.client() as client:
        found = Counter(str(client.get(path).status_code) for _ in range(times))
    assert set(found) <= {"502", "504"}
    return found


def open_websocket(edge: Edge, path: bytes) -> bytes:
    with edge.connect() as connection:
        connection.sendall(WEBSOCKET % path)
        return connection.recv(12)[9:]


def test_templates_and_counts_are_the_same_at_both_sides(nothing: Alone) -> None:
    api = nothing.start_api()
    edge = nothing.edge(CACHED_PATHS="/cached")
    expected: Counter[tuple[str, ...]] = Counter()
    with edge.client() as client, edge.client(http2=True) as other:
        for times, (method, path, route, status) in enumerate(ANSWERS, 1):
            for number in range(times):
                answer = (client, other)[number % 2].request(method, path, headers={"X-Sightglass-Route": "/forged"})
                assert (answer.status_code, path) == (status, path)
                assert "x-sightglass-route" not in answer.headers
            expected[route, method, str(status)] += times
    for _ in range(3):
        assert open_websocket(edge, b"/admin/talk/%41") == b"101"
        assert open_websocket(edge, b"/closed/1") == b"403"
    expected["/admin/talk/{room}", "GET", "101"] = expected["/closed/{room}", "GET", "403"] = 3

    def at_the_api() -> dict[tuple[str, ...], float]:
        text = httpx.get(f"http://{nothing.network.address(api)}:9464/metrics").text
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return {
            (s.labels["route"], s.labels["method"], s.labels["status"]): s.value
            for s in samples
            if s.name == "http_requests_total"
            and s.value  # failures are there from 0
            and s.labels["route"] not in ("/health", "/ready")  # asked by others, too
        }

    eventually(lambda: at_the_api() == expected, at_the_api)
    eventually(lambda: counted(edge) == expected, lambda: counted(edge))
    eventually(lambda: len(edge.log()) == expected.total())
    assert Counter((line["route"], line["method"], str(line["status"])) for line in edge.log()) == expected

    with edge.client() as client:  # from the cache, too
        answers = [client.get("/cached/route") for _ in range(3)]
    assert [answer.headers["x-cache-status"] for answer in answers] == ["MISS", "HIT", "HIT"]
    assert not any("x-sightglass-route" in answer.headers for answer in answers)
    expected["/cached/{name}", "GET", "200"] = 3
    eventually(lambda: counted(edge) == expected, lambda: counted(edge))


def test_the_edges_own_answers_have_the_applications_templates(nothing: Alone) -> None:
    api = nothing.start_api()
    address = nothing.network.address(api)
    edge = nothing.edge(RATE_LIMIT="1", RATE_BURST="0")
    eventually(lambda: has_table(edge))
    edge.pin(f"{address}:9")  # nobody listens there: no answer has come yet
    expected: Counter[tuple[str, ...]] = Counter()

    def count(route: str, status: int) -> None:
        expected[route, "GET", str(status)] += 1

    paths = [(path, route) for method, path, route, _ in ANSWERS if method == "GET"]
    with edge.client() as client:
        for path, route in [*paths, ("/metrics", UNMATCHED)] * 2:
            count(route, client.get(path).status_code)
        for _ in range(2):
            count("/admin/talk/{room}", int(open_websocket(edge, b"/admin/talk/1")))
            count("/closed/{room}", int(open_websocket(edge, b"/closed/1")))
    assert {status for _, _, status in expected} == {"404", "429", "502"}
    eventually(lambda: counted(edge) == expected, lambda: (counted(edge), expected))


def test_a_timeout_has_them_too(nothing: Alone) -> None:
    nothing.start_api()
    edge = nothing.edge(UPSTREAM_TIMEOUT="1")
    eventually(lambda: has_table(edge))
    statuses(edge, "/slow/30", 504)
    eventually(lambda: counted(edge) == {("/slow/{seconds}", "GET", "504"): 1}, lambda: counted(edge))


def test_a_fresh_edge_learns_them_from_the_first_replica_and_keeps_them_when_it_dies(nothing: Alone) -> None:
    edge = nothing.edge()
    path, template = "/v2/shop/items/7", "/v2/shop/items/{number}"
    statuses(edge, path, 502)
    eventually(lambda: counted(edge) == {(UNMATCHED, "GET", "502"): 1})
    assert not has_table(edge)

    api = nothing.start_api()
    eventually(lambda: has_table(edge))
    docker("kill", api)
    before = counted(edge)
    asked = dead(edge, path, 3)
    assert edge.reload().returncode == 0
    asked += dead(edge, path, 3)
    expected = before | {(template, "GET", status): times for status, times in asked.items()}
    eventually(lambda: counted(edge) == expected, lambda: counted(edge))
    eventually(lambda: edge.log()[-1]["route"] == template)


def test_a_deploy_brings_its_own(nothing: Alone) -> None:
    edge = nothing.edge()
    nothing.start_api()
    eventually(lambda: has_table(edge))
    before = edge.counts("sightglass_edge_routes")
    nothing.stop_apis()
    expected = {(UNMATCHED, "GET", status): times for status, times in dead(edge, "/released/1", 2).items()}
    nothing.start_api(RELEASE="2")
    eventually(lambda: edge.counts("sightglass_edge_routes") not in ({}, before))
    nothing.stop_apis()
    asked = dead(edge, "/released/1", 2)
    expected |= {("/released/{number}", "GET", status): times for status, times in asked.items()}
    eventually(lambda: counted(edge) == expected, lambda: counted(edge))


def test_ten_thousand_random_paths_are_one_route(nothing: Alone) -> None:
    edge = nothing.edge(NGINX_WORKERS="2")
    address = nothing.network.address(nothing.start_api())
    eventually(lambda: has_table(edge))
    chance = random.Random(13)

    def ask(times: int) -> Counter[bytes]:
        """Send them a hundred at a time down one connection."""
        answers = b""
        with edge.connect() as connection:
            for sent in range(100, times + 1, 100):
                paths = [chance.randbytes(chance.randrange(1, 30)).hex().encode() for _ in range(100)]
                connection.sendall(b"".join(b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in paths))
                while answers.count(b"HTTP/1.1 ") < sent or not answers.endswith((b"}", b"}\n")):
                    answers += connection.recv(65536)
        return Counter(answer[:3] for answer in answers.split(b"HTTP/1.1 ")[1:])

    edge.pin(f"{address}:8000")
    assert ask(5000) == {b"404": 5000}
    edge.pin(f"{address}:9")  # nobody listens there
    assert ask(5000) == {b"502": 5000}
    expected = {(UNMATCHED, "GET", "404"): 5000, (UNMATCHED, "GET", "502"): 5000}
    eventually(lambda: counted(edge) == expected, lambda: counted(edge))


def test_the_api_may_have_another_name(nothing: Alone) -> None:
    nothing.start_api(alias="api.shop.example")
    edge = nothing.edge(UPSTREAM="api.shop.example")
    eventually(lambda: has_table(edge))
    statuses(edge, "/echo", 200)
    assert "api:8000" not in edge.exec("cat", "/tmp/nginx/upstream.conf").stdout
