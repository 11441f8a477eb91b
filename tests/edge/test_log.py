"""One JSON line a request, with the API's field names, and nothing in it or beside it that a user wrote."""

import contextlib
import http.client
import json
import re
import subprocess
from collections.abc import Callable
from datetime import datetime

import httpx
import pytest

from tests.edge.containers import UNREAD, Edge, eventually

SECRET = "s3cr3t"
FIELDS = {
    "timestamp", "level", "logger", "message", "method", "route", "path", "status", "duration", "request_size",
    "response_size", "request_id", "trace_id", "client", "upstream_status", "upstream_duration", "upstream_failure",
    "cache", "protocol", "tls",
}  # fmt: skip


@pytest.fixture
def logged(start_edge: Callable[..., Edge]) -> Edge:
    return start_edge(RATE_LIMIT="1000", RATE_BURST="1000")


def test_a_request_is_one_line_with_the_apis_names(logged: Edge) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with logged.client(http2=True) as client:
        client.get(
            f"/api/v1/jobs/17?token={SECRET}",
            headers={"X-Request-ID": "one", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
        )
    line = logged.line("one")
    assert set(line) == FIELDS
    assert datetime.fromisoformat(str(line["timestamp"])).tzinfo is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line["timestamp"]))
    expected = {
        "level": "INFO", "logger": "nginx.access", "message": "GET /api/v1/jobs/{job_id} 200", "method": "GET",
        "route": "/api/v1/jobs/{job_id}", "path": "/api/v1/jobs/17", "status": 200, "response_size": 4,
        "trace_id": trace, "upstream_status": 200, "cache": "", "protocol": "HTTP/2.0", "tls": "TLSv1.3",
    }  # fmt: skip
    assert {name: line[name] for name in expected} == expected
    assert isinstance(line["duration"], float)
    assert isinstance(line["upstream_duration"], float)
    assert re.fullmatch(r"\d+\.\d+\.\d+\.0", str(line["client"]))


def test_an_error_of_the_server_is_logged_as_one(logged: Edge) -> None:
    with logged.client() as client:
        client.get("/status/500", headers={"X-Request-ID": "failed"})
        client.get("/status/404", headers={"X-Request-ID": "missing"})
    assert logged.line("failed")["level"] == "ERROR"
    assert logged.line("missing")["level"] == "INFO"


@pytest.mark.parametrize(
    "address",
    [
        "2001:db8:1:2:3:4:5:6",
        "2001:db8::1",
        "2001:db8:1::1",
        "::1",
        "203.0.113.9",
        "::ffff:203.0.113.9",
        "fe80::1:2:3:4",
    ],
)
def test_addresses_lose_their_host(start_edge: Callable[..., Edge], address: str, behind: list[Edge]) -> None:
    if not behind:
        behind.append(start_edge(TRUSTED_PROXIES="10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"))
    expected = {
        "2001:db8:1:2:3:4:5:6": "2001:db8:1::", "2001:db8::1": "2001:db8::", "2001:db8:1::1": "2001:db8:1::",
        "::1": "::", "203.0.113.9": "203.0.113.0", "::ffff:203.0.113.9": "203.0.113.0",
        "fe80::1:2:3:4": "fe80::",
    }[address]  # fmt: skip
    identity = address.replace(":", "-")
    with behind[0].client() as client:
        client.get("/echo", headers={"X-Forwarded-For": address, "X-Request-ID": identity})
    assert behind[0].line(identity)["client"] == expected


@pytest.fixture(scope="module")
def behind() -> list[Edge]:
    return []


HOSTILE = [
    b"GET /ok?q=%(s)b HTTP/1.1\r\nHost: a\r\nUser-Agent: %(s)b\r\nReferer: %(s)b\r\n"
    b'X-Request-ID: %(s)b"\r\nCookie: %(s)b\r\nConnection: close\r\n\r\n' % {b"s": SECRET.encode()},
    b'GET /"\\%22%0a%0d%00 HTTP/1.1\r\nHost: a\r\n\r\n',
    b'GET /quote"back\\slash%0anewline HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    b"GET /\xff\xfe\x80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /%ff%fe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"\x16\x03\x01nonsense\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET /" + b"p" * 7000 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /a#fragment?" + SECRET.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"POST /sink HTTP/1.1\r\nHost: "
    + SECRET.encode()
    + b"\r\nContent-Length: 6\r\nConnection: close\r\n\r\n"
    + SECRET.encode(),
]


def test_nothing_a_client_sends_breaks_or_enters_the_log(logged: Edge) -> None:
    for request in HOSTILE:
        with contextlib.suppress(http.client.HTTPException):  # no HTTP answer is due to what is not HTTP
            logged.raw(request)
    # The error paths that NGINX's own error log would quote the request in.
    logged.pin("127.0.0.1:1")
    with logged.client() as client:
        eventually(lambda: client.get(f"/echo?{SECRET}").status_code == 502)
    eventually(lambda: any(line["status"] == 502 for line in logged.log()))
    lines = logged.log()  # every line is JSON
    assert all(set(line) == FIELDS for line in lines)
    assert len(lines) >= len(HOSTILE)
    assert max(len(json.dumps(line)) for line in lines) < 4096  # one atomic write
    assert SECRET not in json.dumps(lines)
    assert SECRET not in logged.errors()


def test_redirects_and_refusals_are_logged(logged: Edge) -> None:
    httpx.get(f"http://127.0.0.1:{logged.http_port}/somewhere?{SECRET}", headers={"X-Request-ID": "redirected"})
    line = logged.line("redirected")
    assert (line["status"], line["path"], line["tls"], line["upstream_status"]) == (301, "/somewhere", "", None)


def test_the_edge_serves_while_nobody_reads_its_log_and_counts_what_it_drops(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(unread=True, RATE_LIMIT="100000", RATE_BURST="100000")
    sent, size = 6000, 500  # bytes a line at least, by a long path: more than twice what may wait
    path = f"/metrics/{'x' * size}"
    with contextlib.closing(
        http.client.HTTPSConnection("localhost", edge.https_port, context=edge.context())
    ) as client:
        for _ in range(sent):
            client.request("GET", path)
            answer = client.getresponse()
            answer.read()
            assert answer.status == 404
    eventually(lambda: edge.counts("edge_log_lines_dropped_total"), edge.exposition)
    lines: list[dict[str, object]] = []

    def read() -> bool:
        """Read what there is, until lines and dropped lines are all that was sent."""
        reading = ["docker", "exec", edge.container, "timeout", "1", "cat", UNREAD]
        text = subprocess.run(reading, capture_output=True, text=True, check=False).stdout
        lines.extend(json.loads(line) for line in text.splitlines())
        return accounted() == sent

    def accounted() -> float:
        written = [line for line in lines if line.get("path") == path]
        return len(written) + edge.counts("edge_log_lines_dropped_total").get((), 0)

    eventually(read, accounted)
    with edge.client() as again:
        assert again.get("/echo").status_code == 200  # whose line brings the note of those that are missing
    eventually(lambda: read() or any("lines dropped" in str(line["message"]) for line in lines), lambda: lines[-1])
