"""HTTP/3, where it is switched on: the same edge on another transport; where it is not, no trace of it."""

import asyncio
import hashlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable

import pytest

from tests.edge.containers import ROOT, Edge, eventually
from tests.edge.http3 import Answer, http3

UDP_TABLES = "cat /proc/net/udp /proc/net/udp6 2>/dev/null"
PORT = f":{8443:04X} "


@pytest.fixture(scope="module")
def quick(start_edge: Callable[..., Edge]) -> Edge:
    return start_edge(HTTP3="true", HTTPS_PORT="4433", RATE_LIMIT="100000", RATE_BURST="100000", NGINX_WORKERS="4")


def listens_on_udp(edge: Edge) -> bool:
    return PORT in edge.exec("sh", "-c", UDP_TABLES).stdout


def test_it_is_off_unless_asked_for(edge: Edge, quick: Edge) -> None:
    assert listens_on_udp(quick)
    assert not listens_on_udp(edge)
    with edge.client() as off, quick.client() as on:
        assert "alt-svc" not in off.get("/echo").headers
        assert on.get("/echo").headers["alt-svc"] == 'h3=":4433"; ma=86400'
        assert on.get("/metrics").headers["alt-svc"] == 'h3=":4433"; ma=86400'  # on errors of the edge's own too


def test_everything_else_is_as_ever(quick: Edge) -> None:
    async def exchange() -> list[Answer]:
        async with http3(quick) as connection:
            large = os.urandom(1 << 20)
            answers = [
                await connection.request(
                    "POST",
                    "/echo",
                    body=b"12345",
                    headers=[("x-request-id", "by-http3"), ("x-forwarded-for", "203.0.113.9")],
                ),
                await connection.request("POST", "/sink", body=large),
                await connection.request("GET", "/produce/2"),
                await connection.request("GET", "/metrics"),
            ]
            assert json.loads(answers[1].body) == {"size": len(large), "sha256": hashlib.sha256(large).hexdigest()}
            return answers

    echo, _, produced, hidden = asyncio.run(exchange())
    assert echo.status == 200
    assert echo.headers["x-request-id"] == "by-http3"
    assert echo.headers["strict-transport-security"] == "max-age=31536000"
    seen = json.loads(echo.body)
    assert seen["size"] == 5
    assert seen["url"] == "https://localhost:4433/echo"
    assert seen["client"] not in ("203.0.113.9", None)
    assert produced.body == b"x" * (2 << 20)
    assert hidden.status == 404
    assert hidden.headers["content-type"] == "application/problem+json"
    assert json.loads(hidden.body)["request_id"] == hidden.headers["x-request-id"]

    eventually(lambda: [line for line in quick.log() if line["request_id"] == "by-http3"])
    (line,) = (line for line in quick.log() if line["request_id"] == "by-http3")
    assert (line["protocol"], line["tls"], line["method"], line["path"], line["status"]) == (
        "HTTP/3.0", "TLSv1.3", "POST", "/echo", 200,
    )  # fmt: skip


def test_it_is_counted_to_the_request_over_several_workers(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(HTTP3="true", RATE_LIMIT="100000", RATE_BURST="100000", NGINX_WORKERS="4")

    async def one_connection(number: int) -> None:
        async with http3(edge) as connection:
            jobs = [connection.request("GET", f"/api/v1/jobs/{number}") for _ in range(10)]
            assert {answer.status for answer in await asyncio.gather(*jobs)} == {200}

    async def several() -> None:
        await asyncio.gather(*(one_connection(number) for number in range(8)))

    asyncio.run(several())
    expected = {("/api/v1/jobs/{job_id}", "GET", "200"): 80}
    name, labels = "edge_http_requests_total", ("route", "method", "status")
    eventually(lambda: edge.counts(name, *labels) == expected, lambda: edge.counts(name, *labels))


def test_it_shares_a_clients_limits(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(HTTP3="true", RATE_LIMIT="1", RATE_BURST="5", RATE_LIMIT_DRY_RUN="false")

    async def burst() -> Counter[int]:
        async with http3(edge) as connection:
            answers = await asyncio.gather(*(connection.request("GET", "/echo") for _ in range(30)))
        for refused in (answer for answer in answers if answer.status == 429):
            assert int(refused.headers["retry-after"]) >= 1
        return Counter(answer.status for answer in answers)

    statuses = asyncio.run(burst())
    assert statuses[200] >= 6
    assert statuses[429] > 0
    assert statuses.total() == 30
    eventually(lambda: edge.counts("rate_limit_exceeded_total") == {(): statuses[429]})


def test_other_names_are_refused_where_a_name_is_set(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(HTTP3="true", SERVER_NAME="localhost")

    async def status(name: str, authority: str) -> int:
        async with http3(edge, name) as connection:
            return (await connection.request("GET", "/echo", name=authority)).status

    assert asyncio.run(status("localhost", "localhost")) == 200
    assert asyncio.run(status("localhost", "evil.example")) == 421
    with pytest.raises(ConnectionError):
        asyncio.run(status("evil.example", "evil.example"))


def test_new_connections_find_the_edge_after_a_reload(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(HTTP3="true")

    async def status() -> int:
        async with http3(edge) as connection:
            return (await connection.request("GET", "/echo")).status

    assert asyncio.run(status()) == 200
    assert edge.reload().returncode == 0
    assert asyncio.run(status()) == 200


def test_the_udp_port_is_published_by_its_own_compose_file_only() -> None:
    def nginx(*files: str) -> tuple[str | None, list[tuple[str, str, int]]]:
        arguments = [argument for file in files for argument in ("--file", str(ROOT / file))]
        command = ["docker", "compose", *arguments, "--env-file", "/dev/null", "config", "--format", "json"]
        described = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
        service = json.loads(described)["services"]["nginx"]
        ports = [(port["published"], port["protocol"], port["target"]) for port in service["ports"]]
        return service["environment"].get("HTTP3"), sorted(ports)

    tcp = [("443", "tcp", 8443), ("80", "tcp", 8080)]
    assert nginx("docker-compose.prod.yml") == (None, tcp)
    assert nginx("docker-compose.prod.yml", "docker/nginx/http3.yml") == (
        "true",
        sorted([*tcp, ("443", "udp", 8443)]),
    )
