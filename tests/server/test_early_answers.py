"""An answer that is there before the request's body: what is on the connection, and when."""

import http.client
import select
import socket
from collections.abc import Iterator

import pytest

from tests.server.server import SECONDS, Server
from tests.support.waiting import eventually

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    print("answering", scope["path"], flush=True)
    await send({"type": "http.response.start", "status": 404, "headers": []})
    body = b"early"
    if scope["path"] == "/read-later":
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.body", "body": body})


def of_wsgi(environ, start_response):
    print("answering", environ["PATH_INFO"], flush=True)
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"early"]
"""


@pytest.fixture(scope="module", params=["app", "of_wsgi"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("early")
    (directory / "early.py").write_text(APP)
    with Server(directory, path=directory, APP=f"early:{request.param}") as started:
        yield started


class Asking:
    """A connection on which a head has been sent that the application has begun to answer."""

    def __init__(self, server: Server, path: str, *headers: str) -> None:
        before = server.stdout().count(f"answering {path}")
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
        self.socket.sendall("\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
        eventually(lambda: server.stdout().count(f"answering {path}") > before)

    def __enter__(self) -> "Asking":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def is_answered(self) -> bool:
        return bool(select.select([self.socket], [], [], 0.5)[0])

    def answer(self) -> tuple[int, bytes]:
        response = http.client.HTTPResponse(self.socket)
        response.begin()
        return response.status, response.read()


@pytest.mark.parametrize("length", [1, 5, 65536])
def test_it_waits_for_a_short_body_and_the_connection_goes_on(server: Server, length: int) -> None:
    with Asking(server, "/short", f"Content-Length: {length}") as asking:
        assert not asking.is_answered()
        asking.socket.sendall(b"x" * (length - 1))
        assert not asking.is_answered()
        asking.socket.sendall(b"x")
        assert asking.answer() == (404, b"early")
        asking.socket.sendall(b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert asking.answer() == (404, b"early")


@pytest.mark.parametrize(
    "headers",
    [["Content-Length: 65537"], ["Transfer-Encoding: chunked"], ["Content-Length: 5", "Expect: 100-continue"]],
    ids=["long", "of unknown length", "that is asked for"],
)
def test_it_waits_for_no_other(server: Server, headers: list[str]) -> None:
    with Asking(server, "/other", *headers) as asking:
        assert asking.answer() == (404, b"early")


def test_it_does_not_wait_for_ever(server: Server) -> None:
    with Asking(server, "/never", "Content-Length: 5") as asking:
        asking.socket.sendall(b"xx")
        assert asking.answer() == (404, b"early")


def test_who_leaves_is_waited_for_no_longer(server: Server) -> None:
    with Asking(server, "/left", "Content-Length: 5"):
        pass
    assert server.client.get("/there").status_code == 404


@pytest.mark.parametrize("server", ["app"], indirect=True)
@pytest.mark.parametrize("sent", [b"hello", b"he"], ids=["whole", "in two parts, the second too late"])
def test_it_can_still_be_read_when_the_answer_has_begun(server: Server, sent: bytes) -> None:
    with Asking(server, "/read-later", "Content-Length: 5") as asking:
        asking.socket.sendall(sent)
        if sent != b"hello":
            # The head of the answer comes when the wait is over.
            select.select([asking.socket], [], [], SECONDS)
            asking.socket.sendall(b"llo")
        assert asking.answer() == (404, b"hello")
