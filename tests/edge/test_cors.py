"""Pages of the allowed origins can read the edge's own answers; the application's answers have what it gave them."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.edge.containers import Edge

UI = "https://ui.example.org"
ORIGINS = [
    UI,
    "http://localhost:5173",
    "https://[::1]:8443",
    f"https://{'long.' * 40}example.org",
    "capacitor://localhost",
]
OTHERS = [
    "https://evil.example",
    "null",
    "*",
    f"{UI}.evil.example",
    "https://uixexample.org",  # a dot is a dot
    "http://ui.example.org",
    f"{UI}:8443",
    f"x{UI}",
    f"{UI} {UI}",
]
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type,x-api-key"}


@pytest.fixture(scope="module")
def shared(start_edge: Callable[..., Edge]) -> Edge:
    return start_edge(
        CORS_ORIGINS=" ".join(ORIGINS), MAX_REQUEST_SIZE_BYTES="2048", UPSTREAM_TIMEOUT="3", CACHED_PATHS="/cached",
        RATE_LIMIT="100000", RATE_BURST="100000",
    )  # fmt: skip


@pytest.fixture(scope="module")
def limited(start_edge: Callable[..., Edge]) -> Iterator[httpx.Client]:
    """A client over its limit."""
    edge = start_edge(CORS_ORIGINS=" ".join(ORIGINS), RATE_LIMIT="1", RATE_BURST="0", CONNECTION_LIMIT="1")
    with edge.client() as client, client.stream("GET", "/events"):
        yield client


def cors(answer: httpx.Response) -> dict[str, list[str]]:
    """Return the answer's CORS headers, without the prefix they share."""
    prefix = "access-control-"
    return {
        name.removeprefix(prefix): answer.headers.get_list(name) for name in answer.headers if name.startswith(prefix)
    }


def readable_by(origin: str) -> dict[str, list[str]]:
    credentials = {} if origin == "*" else {"allow-credentials": ["true"]}
    return {"allow-origin": [origin], "expose-headers": ["Retry-After, X-Request-ID, X-Trace-ID"]} | credentials


@pytest.mark.parametrize("origin", ORIGINS)
def test_an_allowed_origin_can_read_a_refusal(limited: httpx.Client, origin: str) -> None:
    answer = limited.get("/echo", headers={"Origin": origin})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers.get_list("vary") == ["Origin"]
    assert answer.json()["status"] == 429
    assert cors(answer) == readable_by(origin)


@pytest.mark.parametrize("origin", [*OTHERS, None])
def test_no_other_can(limited: httpx.Client, origin: str | None) -> None:
    answer = limited.get("/echo", headers={"Origin": origin} if origin else {})
    assert answer.status_code == 429
    assert answer.headers.get_list("vary") == ["Origin"]
    assert cors(answer) == {}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/metrics", 404), ("POST", "/sink", 413), ("GET", "/slow/30", 504), ("POST", "/slow/30", 504),
     ("TRACE", "/echo", 405)],
)  # fmt: skip
def test_so_with_every_answer_of_the_edge(shared: Edge, method: str, path: str, status: int) -> None:
    with shared.client() as client:
        content = b"x" * 3000 if status == 413 else None
        answer = client.request(method, path, headers={"Origin": UI}, content=content)
    assert answer.status_code == answer.json()["status"] == status
    assert cors(answer) == readable_by(UI)


def test_so_with_what_is_no_request(shared: Edge) -> None:
    long = b"x" * 20_000
    for request, expected in (
        (b"GET /echo HTTP/1.1\r\nOrigin: %b\r\n\r\n", 400),  # no Host
        (b"GET /echo HTTP/1.1\r\nHost: a\r\nOrigin: %b\r\nX-Long: " + long + b"\r\n\r\n", 431),
        (b"POST /sink HTTP/1.1\r\nHost: a\r\nOrigin: %b\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ):
        status, headers, _ = shared.raw(request % UI.encode())
        assert (status, headers.get("access-control-allow-origin")) == (expected, UI)


@pytest.mark.parametrize("path", ["/echo", "/status/429", "/status/502", "/nowhere", "/cached/cors"])
def test_the_application_keeps_its_own(shared: Edge, path: str) -> None:
    with shared.client() as client:
        for _ in range(2):  # from the cache, too
            assert cors(client.get(path, headers={"Origin": UI})) == {}
        assert cors(client.options("/echo", headers={"Origin": UI, **PREFLIGHT})) == {}
        own = client.get("/cached/own", params={"header": "Access-Control-Allow-Origin: https://its.own"})
        assert own.headers.get_list("access-control-allow-origin") == ["https://its.own"]


def test_a_preflight_that_the_edge_would_refuse_passes(limited: httpx.Client) -> None:
    answer = limited.options("/echo", headers={"Origin": UI, **PREFLIGHT})
    assert (answer.status_code, answer.content) == (204, b"")
    assert cors(answer) == readable_by(UI) | {
        "allow-methods": ["PUT"], "allow-headers": ["content-type,x-api-key"], "max-age": ["0"],
    }  # fmt: skip
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": UI},
        {**PREFLIGHT},
        {"Origin": "https://evil.example", **PREFLIGHT},
        {"Origin": UI, "Access-Control-Request-Method": "PUT, DELETE"},
        {"Origin": UI, "Access-Control-Request-Method": ""},
    ],
)
def test_what_is_no_allowed_preflight_is_refused(limited: httpx.Client, headers: dict[str, str]) -> None:
    answer = limited.options("/echo", headers=headers)
    assert answer.status_code == 429
    assert "access-control-allow-methods" not in answer.headers


def test_so_where_the_api_is_gone(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(CORS_ORIGINS=UI, RATE_LIMIT="100000", RATE_BURST="100000")
    edge.pin("127.0.0.1:1")
    with edge.client(headers={"Origin": UI}) as client:
        assert client.options("/echo", headers=PREFLIGHT).status_code == 204
        answer = client.put("/echo")
        assert answer.status_code == answer.json()["status"] == 502
        assert int(answer.headers["retry-after"]) >= 1
        assert cors(answer) == readable_by(UI)
        hidden = client.options("/metrics", headers=PREFLIGHT)  # for good
        assert (hidden.status_code, hidden.json()["status"]) == (404, 404)


@pytest.mark.parametrize(("allowed", "expected"), [("*", readable_by("*")), ("", {})])
def test_any_origin_and_none(start_edge: Callable[..., Edge], allowed: str, expected: dict[str, list[str]]) -> None:
    with start_edge(CORS_ORIGINS=allowed).client() as client:
        for origin in (UI, "null"):
            answer = client.get("/metrics", headers={"Origin": origin})
            assert cors(answer) == expected
            assert "vary" not in answer.headers
