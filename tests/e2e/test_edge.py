"""What a client of the edge meets."""

import socket
import ssl

import httpx
import pytest

from tests.stack import Stack, eventually


def test_http_is_redirected_with_path_and_query_kept(stack: Stack) -> None:
    answer = httpx.get(f"{stack.http_url}/api/v1/predict?a=1&b=%20", follow_redirects=False)
    assert answer.status_code == 301
    assert answer.headers["location"] == f"{stack.https_url}/api/v1/predict?a=1&b=%20"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(stack: Stack, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(stack.certificate))
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", int(stack.settings["HTTPS_PORT"])), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        assert connection.version() == version.name.replace("_", ".")


def test_http_2_is_spoken(stack: Stack) -> None:
    with stack.client(http2=True) as client:
        assert client.get("/health").http_version == "HTTP/2"


def test_health_and_readiness(stack: Stack) -> None:
    with stack.client() as client:
        # The container is ready with its first worker; another may still load its model.
        eventually(lambda: client.get("/health").json()["model_loaded"] is True, lambda: "no model")
        health = client.get("/health")
        assert health.status_code == 200
        assert health.json()["status"] == "healthy"
        assert health.json()["uptime"] > 0
        assert isinstance(health.json()["version"], str)
        assert client.get("/ready").json() == {"ready": True}


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "//metrics",
        "/metrics/",
        "/metrics//",
        "/%6detrics",
        "/%6Detrics",
        "/x/../metrics",
        "/./metrics",
        "/x/%2e%2e/metrics",
        "/%2fmetrics",
        "/METRICS",
        "/metrics?name=x",
        "/metrics%3f",
        "/metrics;x",
        "/metrics/x",
        "/metrics%20",
    ],
)
def test_metrics_are_not_there_from_outside(stack: Stack, path: str) -> None:
    # A raw request: an HTTP library would tidy the path up.
    context = ssl.create_default_context(cafile=str(stack.certificate))
    with (
        socket.create_connection(("127.0.0.1", int(stack.settings["HTTPS_PORT"])), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n"
            "Forwarded: for=127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split(b" ", 2)[1] == b"404", answer[:300]
    assert b"http_requests_total" not in answer


def test_every_answer_has_one_request_id(stack: Stack) -> None:
    with stack.client() as client:
        for path in ("/health", "/nowhere", "/metrics"):
            assert len(client.get(path).headers.get_list("x-request-id")) == 1
        kept = client.get("/health", headers={"X-Request-ID": "abc-123.DEF_4"})
        assert kept.headers["x-request-id"] == "abc-123.DEF_4"
        replaced = client.get("/health", headers={"X-Request-ID": 'no"good'})
        assert replaced.headers["x-request-id"] != 'no"good'


def test_unknown_paths_are_problems(stack: Stack) -> None:
    with stack.client() as client:
        answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
