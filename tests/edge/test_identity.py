"""Who asks, under which request id, in which trace: what the application is told, and what cannot be forged."""

import re
from collections.abc import Callable

import httpx
import pytest

from tests.edge.containers import Edge, Network

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def behind_proxy(start_edge: Callable[..., Edge]) -> Edge:
    """An edge that trusts every private address, thus this test, as a load balancer."""
    private = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"
    return start_edge(TRUSTED_PROXIES=private, HTTPS_PORT="8443", PUBLIC_PORT="443", RATE_LIMIT="1", RATE_BURST="0")


@pytest.mark.parametrize("kept", ["a", "abc-123.DEF_4", "x" * 128])
def test_a_valid_request_id_is_kept(edge: Edge, kept: str) -> None:
    with edge.client(headers={"X-Request-ID": kept}) as client:
        answer = client.get("/echo")
    assert answer.headers.get_list("x-request-id") == [kept]
    assert answer.json()["headers"]["x-request-id"] == [kept]


@pytest.mark.parametrize("replaced", ["", "x" * 129, "a b", 'a"b', "a,b", "ü".encode().decode("latin-1"), "a/b"])
def test_any_other_request_id_is_replaced(edge: Edge, replaced: str) -> None:
    with edge.client() as client:
        answer = client.get("/echo", headers=[(b"X-Request-ID", replaced.encode("latin-1"))])
    (made,) = answer.headers.get_list("x-request-id")
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert answer.json()["headers"]["x-request-id"] == [made]


def test_two_request_ids_are_one_in_the_end(edge: Edge) -> None:
    with edge.client() as client:
        answer = client.get("/echo", headers=[("X-Request-ID", "one"), ("X-Request-ID", "two")])
    assert len(answer.headers.get_list("x-request-id")) == 1
    assert len(answer.json()["headers"]["x-request-id"]) == 1


def test_the_trace_goes_on_but_the_client_does_not_sample(edge: Edge) -> None:
    with edge.client() as client:
        told = client.get(
            "/echo",
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=secret", "baggage": "user=secret"},
        ).json()["headers"]
    assert told["traceparent"] == [f"00-{TRACE}-{PARENT}-00"]
    assert "tracestate" not in told
    assert "baggage" not in told


@pytest.mark.parametrize(
    "invalid",
    [f"00-{TRACE}-{PARENT}", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{PARENT}-01", "x"],
)
def test_an_invalid_traceparent_is_dropped(edge: Edge, invalid: str) -> None:
    with edge.client(headers={"traceparent": invalid}) as client:
        assert "traceparent" not in client.get("/echo").json()["headers"]


def test_forged_forwarding_headers_change_nothing(edge: Edge) -> None:
    forged = {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
        "X-Real-IP": "127.0.0.1",
        "Forwarded": "for=127.0.0.1;host=evil.example",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Scheme": "http",
        "X-Forwarded-Server": "evil.example",
        "X-Forwarded-Ssl": "off",
        "X-Original-URL": "/evil",
        "X-Rewrite-URL": "/evil",
        "X-Client-IP": "127.0.0.1",
        "True-Client-IP": "127.0.0.1",
        "Proxy": "http://evil.example",
        "b3": f"{TRACE}-{PARENT}-1",
        "X-B3-TraceId": TRACE,
        "X-B3-SpanId": PARENT,
        "X-B3-ParentSpanId": PARENT,
        "X-B3-Sampled": "1",
        "X-B3-Flags": "1",
    }
    with edge.client() as client:
        honest = client.get("/echo").json()
        told = client.get("/echo", headers=forged).json()
    for answer in (honest, told):
        del answer["headers"]["x-request-id"]
    assert told == honest
    assert told["headers"]["x-forwarded-for"] == [told["client"]]
    assert told["url"].startswith("https://")


def test_behind_a_trusted_proxy_its_client_is_the_client(behind_proxy: Edge) -> None:
    with behind_proxy.client() as client:
        told = client.get("/echo", headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.9.9.9"}).json()
    assert told["client"] == "203.0.113.7"
    assert told["headers"]["x-forwarded-for"] == ["203.0.113.7"]


def test_behind_a_trusted_tls_proxy_plain_http_is_served(behind_proxy: Edge, edge: Edge) -> None:
    terminated = {"Host": "api.example.org", "X-Forwarded-For": "203.0.113.8", "X-Forwarded-Proto": "https"}
    served = httpx.get(f"http://127.0.0.1:{behind_proxy.http_port}/echo", headers=terminated)
    assert served.status_code == 200
    assert served.json()["url"] == "https://api.example.org/echo"  # the published port is the proxy's to know
    plain = terminated | {"X-Forwarded-Proto": "http"}
    redirected = httpx.get(f"http://127.0.0.1:{behind_proxy.http_port}/echo", headers=plain)
    assert redirected.headers["location"] == "https://api.example.org/echo"
    # Who is not trusted is redirected, whatever it claims.
    assert httpx.get(f"http://127.0.0.1:{edge.http_port}/echo", headers=terminated).status_code == 301


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:3::1", "2001:db8:1:4::1", False),
        ("2001:db8:a0a:a0a:a0a::1", "2001:db8:a0a:a0a:0a0a:1::", True),  # 0x0a is a newline to a careless pattern
        ("203.0.113.20", "203.0.113.21", False),
        ("203.0.113.22", "203.0.113.22", True),
        ("::ffff:203.0.113.23", "::ffff:203.0.113.24", False),  # as a load balancer that listens on both names them
        ("::ffff:203.0.113.25", "203.0.113.25", True),
    ],
)
def test_one_client_is_an_ipv4_address_or_an_ipv6_64(behind_proxy: Edge, first: str, second: str, same: bool) -> None:
    with behind_proxy.client() as client:
        assert client.get("/echo", headers={"X-Forwarded-For": first}).status_code == 200
        answer = client.get("/echo", headers={"X-Forwarded-For": second})
    assert answer.status_code == (429 if same else 200)


def test_the_internal_listener_is_not_on_the_published_ports(edge: Edge, network: Network) -> None:
    assert httpx.get(f"http://{network.address(edge.container)}:9113/metrics").status_code == 200
    with edge.client() as client:
        for host in ("localhost", "localhost:9113", network.address(edge.container)):
            assert client.get("/metrics", headers={"Host": host}).status_code == 404
