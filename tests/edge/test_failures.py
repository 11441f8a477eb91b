"""Why there was no whole answer from the API: one reason of a closed set, in the log's line and in the metrics."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.edge.containers import Edge, Network, eventually
from tests.edge.upstream import Behaviour, full_backlog, misbehaving, reads_nothing, says

FAILURES = "edge_upstream_failures_total"
REASONS = {
    "no_address", "refused", "connect_timeout", "reset", "read_timeout", "head_invalid", "head_too_large", "answer_cut",
}  # fmt: skip
LIMIT = 32768
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"  # nor does it fail the request after it


def head_of(size: int) -> bytes:
    """Return an answer's head of this many bytes."""
    start, end = OK + b"Content-Length: 2\r\nX-Large: ", b"\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


# What the upstream does → the answer's status and the reason.
BEHAVIOURS: dict[str, tuple[Behaviour, int, str]] = {
    "closed": (says(b""), 502, "reset"),
    "reset": (says(b"", then="reset"), 502, "reset"),
    "silent": (says(b"", then="silent"), 504, "read_timeout"),
    "half-a-head-then-silent": (says(OK + b"Content-Le", then="silent"), 504, "read_timeout"),
    "almost-a-head-then-silent": (says(head_of(LIMIT)[:-1], then="silent"), 504, "read_timeout"),
    "invalid-name": (says(OK + b"X-\0: a\r\n\r\n"), 502, "head_invalid"),
    "half-a-head": (says(OK + b"Content-Le"), 502, "head_invalid"),
    "half-a-head-then-reset": (says(OK + b"Content-Le", then="reset"), 502, "head_invalid"),
    "invalid-length": (says(OK + b"Content-Length: x\r\n\r\n"), 502, "head_invalid"),
    "two-lengths": (says(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx"), 502, "head_invalid"),
    "a-byte-too-much": (says(head_of(LIMIT + 1) + b"ok"), 502, "head_too_large"),
    "one-line": (says(OK + b"X-Large: " + b"x" * 100_000 + b"\r\n\r\n"), 502, "head_too_large"),
    "many-lines": (says(OK + b"Set-Cookie: a=bcdefghijklmnopqrstuvwxyz\r\n" * 2000 + b"\r\n"), 502, "head_too_large"),
    "endless": (says(OK + b"X-Large: " + b"x" * 100_000, then="silent"), 502, "head_too_large"),
    "as-large-as-may-be": (says(head_of(LIMIT) + b"ok"), 200, ""),
    "cut": (says(OK + b"Content-Length: 9000\r\n\r\nbegun"), 200, "answer_cut"),
    "cut-before-its-first-byte": (says(OK + b"Content-Length: 9000\r\n\r\n"), 200, "answer_cut"),
    "cut-by-a-reset": (says(OK + b"Content-Length: 9000\r\n\r\nbegun", then="reset"), 200, "answer_cut"),
    "cut-by-silence": (says(OK + b"Content-Length: 9000\r\n\r\nbegun", then="silent"), 200, "answer_cut"),
    "a-cut-error": (
        says(b"HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 9000\r\n\r\nbegun"),
        500,
        "answer_cut",
    ),
    "whole": (says(OK + b"Content-Length: 5\r\n\r\nwhole"), 200, ""),
    "whole-without-a-length": (says(OK + b"\r\nwhole"), 200, ""),
    "not-modified": (says(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\nContent-Length: 9000\r\n\r\n"), 304, ""),
    "an-error-of-its-own": (
        says(b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 3\r\n\r\nown"),
        502,
        "",
    ),
    "a-timeout-of-its-own": (
        says(b"HTTP/1.1 504 Gateway Timeout\r\nConnection: close\r\nContent-Length: 3\r\n\r\nown"),
        504,
        "",
    ),
}


@pytest.fixture(scope="module")
def failing(network: Network, start_edge: Callable[..., Edge]) -> Iterator[Edge]:
    """An edge before the upstream of these behaviours, and the address of that."""
    edge = start_edge(UPSTREAM_TIMEOUT="3", CACHED_PATHS="/cached", RATE_LIMIT="100000", RATE_BURST="100000")
    behaviours = {name: behaviour for name, (behaviour, _, _) in BEHAVIOURS.items()} | {"unread": reads_nothing}
    with misbehaving(network, behaviours) as upstream:
        edge.pin(upstream)
        yield edge


def told(edge: Edge, requests: Mapping[str, Callable[[dict[str, str]], object]]) -> dict[str, tuple[object, object]]:
    """Send requests of these ids; returns what each one's log line says, and holds the metrics against it."""

    def send(request_id: str) -> None:
        with contextlib.suppress(httpx.HTTPError):  # an answer that is cut
            requests[request_id]({"X-Request-ID": request_id})

    before = edge.counts(FAILURES, "reason")
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(send, requests))
    lines = {request_id: edge.line(request_id) for request_id in requests}
    expected = Counter(before)
    for line in lines.values():
        failed = bool(line["upstream_failure"])
        expected.update({(line["upstream_failure"],): 1} if failed else {})
        assert line["level"] == ("ERROR" if failed or line["status"] >= 500 else "INFO")
    assert edge.counts(FAILURES, "reason") == expected
    return {request_id: (line["status"], line["upstream_failure"]) for request_id, line in lines.items()}


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("where", ["", "cached/"])
def test_each_failure_has_its_reason(failing: Edge, where: str, http2: bool) -> None:
    expected = {name: (status, reason) for name, (_, status, reason) in BEHAVIOURS.items()}
    if where:  # the cache keeps a head of its own in the same memory: the last few hundred bytes are not to be had
        del expected["as-large-as-may-be"], expected["almost-a-head-then-silent"]
    prefix = f"{where}{http2}-".replace("/", "-")

    def send(name: str, headers: dict[str, str]) -> None:
        # On a connection of its own: httpx ends all that is under way on an HTTP/2 one where an answer is cut.
        with failing.client(http2=http2) as client:
            client.get(f"/{where}{name}", headers=headers)

    found = told(failing, {prefix + name: partial(send, name) for name in expected})
    wrong = {name: failing.line(prefix + name) for name in expected if found[prefix + name] != expected[name]}
    assert wrong == {}


def test_whatever_the_method(failing: Edge) -> None:
    expected: dict[str, tuple[object, object]] = {
        "POST-closed": (502, "reset"),
        "POST-unread": (504, "read_timeout"),
        "PUT-one-line": (502, "head_too_large"),
        "HEAD-whole": (200, ""),
        "HEAD-silent": (504, "read_timeout"),
        "DELETE-cut": (200, "answer_cut"),
    }

    def send(name: str, headers: dict[str, str]) -> httpx.Response:
        method, _, path = name.partition("-")
        body = b"x" * 20_000_000 if path == "unread" else None
        return client.request(method, f"/{path}", headers=headers, content=body)

    with failing.client() as client:
        assert told(failing, {name: partial(send, name) for name in expected}) == expected


def ask(edge: Edge, client: httpx.Client, path: str, request_id: str, method: str = "GET") -> tuple[object, object]:
    return told(edge, {request_id: lambda headers: client.request(method, path, headers=headers)})[request_id]


def test_without_a_connection(network: Network, start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="100000", RATE_BURST="100000")
    here = network.gateway
    with full_backlog(network) as full:
        for addresses, expected in (
            ([f"{here}:1", "127.0.0.1:1"], (502, "refused")),
            ([full], (504, "connect_timeout")),
        ):
            edge.pin(*addresses)
            with edge.client() as client:  # a new connection: an idle one may still be the old worker's
                assert ask(edge, client, "/echo", addresses[0].replace(":", "-")) == expected
        servers = "server nowhere:8000 resolve max_fails=0;"
        assert edge.exec("sh", "-c", f"echo '{servers}' > /tmp/nginx/upstream.conf").returncode == 0
        assert edge.reload().returncode == 0
        with edge.client() as client:
            assert ask(edge, client, "/echo", "nowhere") == (502, "no_address")


def test_of_several_attempts_the_last_one_counts(network: Network, start_edge: Callable[..., Edge], api: str) -> None:
    edge = start_edge(RATE_LIMIT="100000", RATE_BURST="100000")
    edge.pin("127.0.0.1:1", f"{network.address(api)}:8000")
    with edge.client() as client:
        requests = {str(number): lambda headers: client.get("/echo", headers=headers) for number in range(10)}
        assert set(told(edge, requests).values()) == {(200, "")}
    assert any(line["upstream_status"] for line in edge.log())


@pytest.mark.parametrize(("when", "expected"), [("before", (502, "reset")), ("after", (200, "answer_cut"))])
def test_a_worker_killed_in_the_middle_of_it(edge: Edge, when: str, expected: tuple[int, str]) -> None:
    with edge.client() as client:
        assert ask(edge, client, f"/die/{when}", f"killed-{when}", "POST") == expected
        eventually(lambda: client.get("/echo").status_code == 200)


def test_a_client_that_leaves_is_no_failure_of_the_api(edge: Edge) -> None:
    before = edge.counts(FAILURES, "reason")
    paths = ["/long/9000000", "/produce/64", "/slow/30"]
    for number, path in enumerate(paths):
        with edge.connect() as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: left-{number}\r\n\r\n".encode()
            )
            if path != "/slow/30":
                connection.recv(100)
    assert {edge.line(f"left-{number}")["upstream_failure"] for number in range(len(paths))} == {""}
    assert edge.counts(FAILURES, "reason") == before


def test_every_reason_is_there_at_zero_before_it_happens(start_edge: Callable[..., Edge]) -> None:
    families = text_string_to_metric_families(start_edge().exposition())
    (family,) = (family for family in families if family.name == FAILURES.removesuffix("_total"))
    assert {sample.labels["reason"]: sample.value for sample in family.samples} == dict.fromkeys(REASONS, 0)


@pytest.mark.parametrize("size", [4096, 65536])
def test_how_large_a_head_may_be_is_a_variable(network: Network, start_edge: Callable[..., Edge], size: int) -> None:
    edge = start_edge(UPSTREAM_HEAD_BYTES=str(size), RATE_LIMIT="1000", RATE_BURST="1000")
    heads = {"most": says(head_of(size) + b"ok"), "more": says(head_of(size + 1) + b"ok")}
    with misbehaving(network, heads) as upstream, edge.client() as client:
        edge.pin(upstream)
        assert ask(edge, client, "/most", "most") == (200, "")
        assert ask(edge, client, "/more", "more") == (502, "head_too_large")


def test_the_applications_own_large_heads_pass(edge: Edge) -> None:
    with edge.client() as client:
        assert len(client.get("/head/16400").headers["x-large"]) == 16400
        assert len(client.get("/cookies/6").headers.get_list("set-cookie")) == 6
