"""What one client may take, and who is exempt."""

import asyncio
import re
import ssl
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx
import pytest

from tests.edge.containers import Edge, eventually, read_to_end

PRIVATE = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"


def burst(edge: Edge, count: int, *, http2: bool = False) -> list[httpx.Response]:
    async def at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(http2=http2, verify=edge.context(), base_url=edge.url, timeout=60) as client:
            return await asyncio.gather(*(client.get("/echo") for _ in range(count)))

    return asyncio.run(at_once())


@pytest.mark.parametrize("http2", [False, True])
def test_over_the_rate_is_429_with_retry_after(start_edge: Callable[..., Edge], http2: bool) -> None:
    answers = burst(start_edge(RATE_LIMIT="1", RATE_BURST="5"), 30, http2=http2)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(answers) - len(refused) >= 6
    assert refused
    for answer in refused:
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["status"], answer.json()["title"]) == (429, "Too Many Requests")


@pytest.mark.parametrize(
    ("edges", "rate", "burst", "pages", "connections"),
    [("1", "600r/m", 20, 100, 100), ("3", "200r/m", 7, 34, 34), ("7", "86r/m", 3, 15, 15), ("1000", "1r/m", 1, 1, 1)],
)
def test_several_edges_share_what_one_client_may_take(
    start_edge: Callable[..., Edge], edges: str, rate: str, burst: int, pages: int, connections: int
) -> None:
    edge = start_edge(EDGES=edges)
    written = edge.exec("cat", "/tmp/nginx/http.conf", "/tmp/nginx/server.conf").stdout
    assert re.findall(r"limit_req_zone .* rate=(\S+);", written) == [rate, rate]
    assert re.findall(r"limit_(?:req|conn) .*;", written) == [
        f"limit_req zone=rate burst={burst} nodelay;",
        f"limit_req zone=pages burst={pages} delay={burst};",
        f"limit_conn connections {connections};",
    ]


def test_who_is_refused_over_and_over_has_not_the_edge_for_itself(start_edge: Callable[..., Edge]) -> None:
    """All of these come at once, down one connection; what another asks meanwhile is not answered after the last."""
    edge = start_edge(RATE_LIMIT="1", RATE_BURST="0", NGINX_WORKERS="1")
    request, count = b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n", 250
    with edge.connect() as greedy, edge.connect(tls=False) as other:
        greedy.sendall(request * count)
        received = greedy.recv(1)
        other.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")  # which nothing limits
        assert read_to_end(other).startswith(b"HTTP/1.1 301")
        greedy.setblocking(False)
        with suppress(ssl.SSLWantReadError):
            while chunk := greedy.recv(1 << 20):
                received += chunk
        assert received.count(b"HTTP/1.1 ") < count / 2
        greedy.settimeout(20)
        while received.count(b"HTTP/1.1 ") < count:
            received += greedy.recv(1 << 20)
    assert received.count(b"HTTP/1.1 429") > count / 2


def test_forged_addresses_share_the_bucket_of_the_true_one(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="1", RATE_BURST="5")
    with edge.client() as client, ThreadPoolExecutor(20) as pool:
        answers = pool.map(lambda n: client.get("/echo", headers={"X-Forwarded-For": f"203.0.113.{n}"}), range(30))
        assert Counter(answer.status_code for answer in answers)[429] > 0


def test_a_dry_run_counts_and_lets_through(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="1", RATE_BURST="0", RATE_LIMIT_DRY_RUN="true", CONNECTION_LIMIT="1")
    assert {answer.status_code for answer in burst(edge, 30)} == {200}
    eventually(lambda: edge.counts("rate_limit_exceeded_total").get((), 0) > 0)


def test_an_exempt_address_is_not_limited(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="1", RATE_BURST="0", CONNECTION_LIMIT="1", RATE_LIMIT_EXEMPT=PRIVATE)
    assert {answer.status_code for answer in burst(edge, 30)} == {200}
    assert edge.counts("rate_limit_exceeded_total") == {}


def test_connections_of_one_client_are_limited(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="1000", RATE_BURST="1000", CONNECTION_LIMIT="3")
    with ExitStack() as stack:
        for _ in range(3):
            busy = stack.enter_context(edge.connect())
            busy.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert busy.recv(1000).startswith(b"HTTP/1.1 200")
        with edge.client() as client:
            assert client.get("/echo").status_code == 429
    with edge.client() as client:
        eventually(lambda: client.get("/echo").status_code == 200)


@pytest.mark.parametrize(
    "trickle",
    [
        b"GET /echo HTTP/1.1\r\nHost: local",
        b"POST /sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfive.",
    ],
    ids=["head", "body"],
)
def test_a_client_that_stops_sending_is_let_go(start_edge: Callable[..., Edge], trickle: bytes) -> None:
    edge = start_edge()
    limits = edge.configuration / "nginx" / "http" / "limits.conf"
    text = limits.read_text()
    assert "client_header_timeout 15s;" in text
    assert "client_body_timeout 30s;" in text
    limits.write_text(text.replace("client_header_timeout 15s", "client_header_timeout 1s").replace(
        "client_body_timeout 30s", "client_body_timeout 1s"))  # fmt: skip
    assert edge.reload().returncode == 0
    with edge.connect() as connection:
        connection.sendall(trickle)
        read_to_end(connection)  # ends: the socket's own timeout would fail the test
