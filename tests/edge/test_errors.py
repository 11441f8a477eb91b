"""The edge's own errors are problems with the request id; the application's pass untouched."""

import json
import re
from collections.abc import Callable

import pytest

from tests.edge.containers import Edge, Network

LONG = b"x" * 20_000
MANY = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 7000) for number in range(8))


@pytest.fixture(scope="module")
def small(start_edge: Callable[..., Edge]) -> Edge:
    return start_edge(MAX_REQUEST_SIZE_BYTES="2048", UPSTREAM_TIMEOUT="1", RATE_LIMIT="100000", RATE_BURST="100000")


def check(edge: Edge, status: int, answer: tuple[int, dict[str, str], bytes]) -> None:
    code, headers, body = answer
    assert code == status
    assert headers["content-type"].partition(";")[0] == "application/problem+json"  # 416 keeps the answer's charset
    problem = json.loads(body)
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["title"] not in ("", "Error")
    assert problem["request_id"] == headers["x-request-id"]
    assert problem["trace_id"] == headers["x-trace-id"]
    assert re.fullmatch("[0-9a-f]{32}", problem["trace_id"])


@pytest.mark.parametrize(
    ("status", "request_bytes"),
    [
        (400, b"nonsense\r\n\r\n"),
        (400, b"GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n"),  # no Host
        (400, b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (400, b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"),
        (400, b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (404, b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        (405, b"TRACE /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        (413, b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 2049\r\n\r\n"),
        (
            413,
            b"POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n900\r\n"
            + b"x" * 0x900
            + b"\r\n0\r\n\r\n",
        ),
        (414, b"GET /" + LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
        (431, b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Long: " + LONG + b"\r\n\r\n"),
        (431, b"GET /echo HTTP/1.1\r\nHost: a\r\n" + MANY + b"\r\n"),
        (501, b"POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n"),
        (504, b"GET /slow/30 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        (505, b"GET /echo HTTP/3.0\r\nHost: a\r\n\r\n"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else str(value),
)
def test_errors_of_the_edge_are_problems(small: Edge, status: int, request_bytes: bytes) -> None:
    check(small, status, small.raw(request_bytes))


@pytest.mark.parametrize("character", [b"\x01", b"\x08", b"\x0b", b"\x0c", b"\x1f", b"\x7f"])
@pytest.mark.parametrize("name", [b"X", b"Content-Type", b"User-Agent"])
def test_so_are_those_of_the_server_behind_it(edge: Edge, name: bytes, character: bytes) -> None:
    """Which takes no control characters in a header's value (RFC 9110, 5.5); NGINX passes them on."""
    check(edge, 400, edge.raw(b"GET /echo HTTP/1.1\r\nHost: a\r\n" + name + b": a" + character + b"b\r\n\r\n"))


def test_a_method_the_edge_refuses_is_answered_with_those_it_passes(edge: Edge) -> None:
    _, headers, _ = edge.raw(b"TRACE /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert "GET" in headers["allow"].split(", ")
    assert "TRACE" not in headers["allow"]
    with edge.client() as client:  # the application's own 405 is left as it is
        assert client.get("/sink").headers.get_list("allow") == ["POST"]


@pytest.mark.parametrize(
    ("status", "header"),
    [
        (412, b'If-Match: "other"'),
        (412, b"If-Unmodified-Since: Mon, 01 Jan 1990 00:00:00 GMT"),
        (416, b"Range: bytes=100-"),
    ],
)
def test_so_are_those_of_the_cache(edge: Edge, status: int, header: bytes) -> None:
    path = "/cached/ranges?header=Accept-Ranges:%20bytes"
    with edge.client() as client:
        assert client.get(path).status_code == 200
    check(edge, status, edge.raw(b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n" % (path.encode(), header)))


def test_an_application_may_have_a_path_of_that_name(edge: Edge) -> None:
    with edge.client() as client:
        assert client.get("/problem").json() == "the app's own"


def test_plain_http_on_the_tls_port_is_a_problem(edge: Edge) -> None:
    with edge.connect() as tls:  # the port is the TLS one …
        assert tls.getpeername()[1] == edge.https_port
    plain = edge.http_port
    edge.http_port = edge.https_port
    try:
        check(edge, 400, edge.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", tls=False))
    finally:
        edge.http_port = plain


def test_no_replica_is_a_problem_that_says_when_to_retry(network: Network, start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="100000", RATE_BURST="100000")
    edge.pin("127.0.0.1:1")
    with edge.client() as client:
        answer = client.get("/echo")
    check(edge, 502, (answer.status_code, dict(answer.headers), answer.content))
    assert int(answer.headers["retry-after"]) >= 1


def test_no_address_at_all_is_one_too(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="100000", RATE_BURST="100000")
    servers = "server nowhere:8000 resolve max_fails=0;"
    assert edge.exec("sh", "-c", f"echo '{servers}' > /tmp/nginx/upstream.conf").returncode == 0
    assert edge.reload().returncode == 0
    with edge.client() as client:
        answer = client.get("/echo")
    check(edge, 502, (answer.status_code, dict(answer.headers), answer.content))
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("code", [400, 404, 413, 429, 500, 502, 503, 504])
def test_errors_of_the_application_pass_untouched(edge: Edge, code: int) -> None:
    with edge.client() as client:
        answer = client.get(f"/status/{code}")
    assert answer.status_code == code
    assert answer.text == "the app's own"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers.get_list("retry-after") == ["17"]
    assert len(answer.headers.get_list("x-request-id")) == 1
