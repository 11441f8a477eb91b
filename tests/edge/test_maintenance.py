"""`make maintenance on|off`: everybody is told to come back, or waits, and nobody notices the end."""

import subprocess
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.edge.containers import Edge, docker, eventually

SCRIPT = "/etc/sightglass/nginx/maintenance.sh"
PAGE = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def quiet(start_edge: Callable[..., Edge]) -> Edge:
    return start_edge(RATE_LIMIT="1", RATE_BURST="0", RATE_PAGE_BURST="0", RATE_LIMIT_DRY_RUN="true")


@pytest.fixture(autouse=True)
def off_again(quiet: Edge) -> Iterator[None]:
    workers = len(quiet.workers())
    yield
    assert quiet.exec("sh", SCRIPT, "off").returncode == 0
    eventually(lambda: answers(quiet, 200) and len(quiet.workers()) == workers, quiet.errors)


def maintain(edge: Edge, *arguments: str) -> None:
    result = edge.exec("sh", SCRIPT, *arguments)
    assert result.returncode == 0, result.stderr


def answers(edge: Edge, status: int) -> bool:
    """Say whether new connections are answered so: only new workers are left."""
    with edge.client() as client:
        return client.get("/echo").status_code == status


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("headers", [{}, PAGE])
def test_everybody_is_answered_503_and_told_when_to_come_back(
    quiet: Edge, method: str, headers: dict[str, str]
) -> None:
    assert quiet.maintain("600").returncode == 0
    with quiet.client(http2=True) as client:
        answer = client.request(method, "/echo", headers=headers, content=b"{}" if method in ("POST", "PUT") else None)
    assert answer.status_code == 503
    assert answer.headers.get_list("retry-after") == ["600"]
    assert len(answer.headers.get_list("x-request-id")) == 1
    if headers:
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "<h1>Back soon</h1>" in answer.text
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["status"], answer.json()["request_id"]) == (503, answer.headers["x-request-id"])
    line = quiet.line(answer.headers["x-request-id"])
    assert (line["status"], line["upstream_status"]) == (503, None)


def test_what_is_not_the_application_s_goes_on(quiet: Edge) -> None:
    (quiet.tls / "challenges/.well-known/acme-challenge").mkdir(parents=True, exist_ok=True)
    (quiet.tls / "challenges/.well-known/acme-challenge/token_1-x").write_text("token.thumbprint")
    assert quiet.maintain().returncode == 0
    plain = f"http://127.0.0.1:{quiet.http_port}"
    challenge = httpx.get(f"{plain}/.well-known/acme-challenge/token_1-x")
    assert (challenge.status_code, challenge.text) == (200, "token.thumbprint")
    assert challenge.headers["content-type"] == "text/plain"
    assert httpx.get(f"{quiet.internal_url}/health").status_code == 200
    assert httpx.get(f"{plain}/x", headers=PAGE).headers["retry-after"] == "120"
    raw = quiet.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header\r\n\r\n")
    assert raw[0] == 400


def test_it_outlives_a_restart_and_ends_when_told(quiet: Edge) -> None:
    maintain(quiet, "on")
    docker("restart", quiet.container)
    quiet.wait()
    assert answers(quiet, 503)
    maintain(quiet, "off")
    eventually(lambda: answers(quiet, 200), quiet.errors)
    maintain(quiet, "off")  # again: nothing changes
    assert answers(quiet, 200)


def test_files_that_nginx_refuses_leave_it_as_it_is(quiet: Edge) -> None:
    with quiet.broken():
        for _ in range(2):
            said(quiet.exec("sh", SCRIPT, "on"))
            assert answers(quiet, 200)
    assert quiet.reload().returncode == 0
    assert answers(quiet, 200)  # nor does a later reload bring it

    assert quiet.maintain("600").returncode == 0
    with quiet.broken():
        for arguments in (["off"], ["off"], ["on", "60"]):
            said(quiet.exec("sh", SCRIPT, *arguments))
            assert answers(quiet, 503)
    assert quiet.reload().returncode == 0
    with quiet.client() as client:
        answer = client.get("/echo")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "600")
    maintain(quiet, "off")
    eventually(lambda: answers(quiet, 200), quiet.errors)


def said(result: subprocess.CompletedProcess[str]) -> None:
    """Check that a command says why nothing was changed, and nothing else."""
    assert (result.returncode, result.stdout) == (1, "")
    assert 'unknown directive "gzips"' in result.stderr
    assert result.stderr.splitlines()[-1] == "nothing was changed: NGINX refuses its configuration"


def test_requests_wait_for_the_end_of_it(quiet: Edge) -> None:
    maintain(quiet, "on", "", "300")
    found: list[int] = []

    def ask(method: str) -> None:
        with quiet.client(timeout=300) as client:
            found.append(client.request(method, "/echo").status_code)

    threads = [threading.Thread(target=ask, args=(method,)) for method in ("GET", "POST", "GET")]
    for thread in threads:
        thread.start()
    eventually(lambda: connections(quiet) >= 3, lambda: str(connections(quiet)))
    assert found == []
    maintain(quiet, "off")
    for thread in threads:
        thread.join(60)
    assert found == [200, 200, 200]


def test_they_wait_no_longer_than_they_are_told_to(quiet: Edge) -> None:
    maintain(quiet, "on", "", "1")
    with quiet.client(timeout=60) as client:
        answer = client.get("/echo")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


def connections(edge: Edge) -> float:
    """Return how many requests are with the edge: being answered, that is waiting."""
    return edge.counts("edge_connections", "state").get(("writing",), 0)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "maintenance=: not allowed; expected on or off"),
        (("maybe",), "maintenance=maybe: not allowed; expected on or off"),
        (("on", "0"), "RETRY_AFTER=0: not allowed; expected whole seconds from 1 to 86400"),
        (("on", "soon"), "RETRY_AFTER=soon: not allowed; expected whole seconds from 1 to 86400"),
        (("on", "86401"), "RETRY_AFTER=86401: not allowed; expected whole seconds from 1 to 86400"),
        (("on", "", "301"), "HOLD=301: not allowed; expected whole seconds from 1 to 300"),
        (("on", "", "-1"), "HOLD=-1: not allowed; expected whole seconds from 1 to 300"),
        (("on", "1; return 200"), "RETRY_AFTER=1; return 200: not allowed; expected whole seconds from 1 to 86400"),
    ],
)
def test_a_wrong_value_is_one_line_and_changes_nothing(quiet: Edge, arguments: tuple[str, ...], line: str) -> None:
    result = quiet.exec("sh", SCRIPT, *arguments)
    assert (result.returncode, result.stderr.strip()) == (2, line)
    assert answers(quiet, 200)
