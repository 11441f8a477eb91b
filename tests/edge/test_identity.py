"""Who asks, under which request id, in which trace: what the application is told, and what cannot be forged."""

import itertools
import re
from collections.abc import Callable

import httpx
import pytest

from tests.edge.containers import ROOT, Edge, Network

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


OWN = "[0-9a-f]{32}"
GOES_ON = f"00-{TRACE}-{PARENT}-00"
TABLE = {
    "nothing": ({}, OWN, "same", None),
    "a request id": ({"X-Request-ID": "mine-1"}, "mine-1", OWN, None),
    "a traceparent": ({"traceparent": f"00-{TRACE}-{PARENT}-01"}, TRACE, TRACE, GOES_ON),
    "both": ({"X-Request-ID": "mine-2", "traceparent": f"00-{TRACE}-{PARENT}-01"}, "mine-2", TRACE, GOES_ON),
}


@pytest.mark.parametrize("path", ["/echo", "/metrics"])
@pytest.mark.parametrize(("sent", "request_id", "trace_id", "parent"), TABLE.values(), ids=TABLE)
def test_the_ids_of_a_request(
    edge: Edge, path: str, sent: dict[str, str], request_id: str, trace_id: str, parent: str | None
) -> None:
    """In the answer, in what the application is told or in the edge's own problem, and in the line."""
    with edge.client(headers=sent) as client:
        answer = client.get(path)
    (has_id,), (has_trace,) = answer.headers.get_list("x-request-id"), answer.headers.get_list("x-trace-id")
    assert re.fullmatch(request_id, has_id)
    assert has_trace == has_id if trace_id == "same" else re.fullmatch(trace_id, has_trace)
    assert (has_trace == TRACE) == (trace_id == TRACE)
    if path == "/echo":
        told = answer.json()["headers"]
        assert (told["x-request-id"], told["x-sightglass-trace"]) == ([has_id], [has_trace])
        assert told.get("traceparent") == (None if parent is None else [parent])
    else:
        assert (answer.json()["request_id"], answer.json()["trace_id"]) == (has_id, has_trace)
    if not (has_id == TRACE or has_id.startswith("mine")):  # an id that other requests of these tests have, too
        assert edge.line(has_id)["trace_id"] == has_trace


@pytest.mark.parametrize(
    "invalid",
    [
        f"00-{TRACE}-{PARENT}",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"01-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01, 00-{TRACE}-{PARENT}-01",
        "x",
        "x" * 4000,
        "",
    ],
)
def test_an_invalid_traceparent_is_dropped(edge: Edge, invalid: str) -> None:
    with edge.client(headers={"traceparent": invalid}) as client:
        answer = client.get("/echo")
    assert "traceparent" not in answer.json()["headers"]
    assert re.fullmatch(OWN, answer.headers["x-request-id"])
    assert answer.headers["x-trace-id"] == answer.headers["x-request-id"] != TRACE


@pytest.mark.parametrize("name", ["X-Sightglass-Trace", "X_Sightglass_Trace", "x-sightglass_trace"])
def test_nobody_else_names_the_edges_trace(edge: Edge, name: str) -> None:
    with edge.client(headers={name: TRACE}) as client:
        answer = client.get("/echo")
    told = answer.json()["headers"]
    assert told["x-sightglass-trace"] == [answer.headers["x-trace-id"]] != [TRACE]
    assert TRACE not in str(told)


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
        del answer["headers"]["x-request-id"], answer["headers"]["x-sightglass-trace"]
    assert told == honest
    assert told["headers"]["x-forwarded-for"] == [told["client"]]
    assert told["url"].startswith("https://")


UNDERSCORES = ["api_key", "API_Key", "x_api_key", "_leading", "trailing_", "a__b", "x-user_id", "X_Forwarded", "_"]


def test_a_name_with_underscores_passes(edge: Edge) -> None:
    with edge.client() as client:
        told = client.get("/echo", headers={name: f"of {name}" for name in UNDERSCORES}).json()["headers"]
    for name in UNDERSCORES:
        assert f"of {name}" in told[name.lower()]


def test_unless_it_is_told_not_to(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(UNDERSCORES_IN_HEADERS="false")
    with edge.client() as client:
        told = client.get("/echo", headers=dict.fromkeys(UNDERSCORES, "x")).json()["headers"]
    assert not {name.lower() for name in UNDERSCORES} & set(told)


def test_no_underscore_forges_what_only_a_proxy_knows(edge: Edge) -> None:
    """CGI and WSGI (PEP 3333) call X_Forwarded-For what X-Forwarded-For is called: HTTP_X_FORWARDED_FOR."""

    def by_cgi_name(headers: list[tuple[str, str]]) -> dict[str, list[str]]:
        with edge.client(http2=len(headers) % 2 == 0) as client:
            told = client.post("/echo", headers=headers, content=b"x").json()["headers"]
        names: dict[str, list[str]] = {}
        for name, values in told.items():
            names.setdefault(name.upper().replace("-", "_"), []).extend(values)
        del names["X_REQUEST_ID"], names["X_SIGHTGLASS_TRACE"]
        return names

    files = (ROOT / "docker/nginx/server").glob("*.conf")
    known = {name for file in files for name in re.findall(r"^proxy_set_header (\S+)", file.read_text(), re.MULTILINE)}
    known |= {"Content-Length", "Content-Type", "Transfer-Encoding", "X-Request-ID"}
    forms = {
        "".join(form)
        for name in known
        for form in itertools.product(*("-_" if letter in "-_" else letter for letter in name))
        if "_" in form
    }
    assert len(forms) > 50
    honest = by_cgi_name([])
    assert by_cgi_name([(form, "forged") for form in sorted(forms)]) == honest
    assert by_cgi_name([(form.upper(), "forged") for form in sorted(forms)[1:]]) == honest


def test_nor_who_the_client_of_a_trusted_proxy_is(behind_proxy: Edge) -> None:
    told = {"X-Forwarded-For": "203.0.113.30", "X-Forwarded-Proto": "http"}
    for number, name in enumerate(["X_Forwarded_Proto", "X_Forwarded-Proto", "X-Forwarded_Proto"]):
        headers = told | {name: "https", "X-Forwarded-For": f"203.0.113.{30 + number}"}
        plain = httpx.get(f"http://127.0.0.1:{behind_proxy.http_port}/echo", headers=headers)
        assert plain.status_code == 301
    with behind_proxy.client() as client:
        answer = client.get("/echo", headers={"X-Forwarded-For": "203.0.113.40", "X_Forwarded_For": "203.0.113.41"})
    assert answer.json()["client"] == "203.0.113.40"


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
