"""A WSGI application under the real server: bodies of any size, answers nobody waits for, failures."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.server import ROOT, Server
from tests.support.waiting import eventually

NOTES = ROOT / "tests" / "apps" / "notes"
CHUNK = bytes(range(256)) * 1024  # 256 KiB
MEGABYTES = 300


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("notes"), path=NOTES, APP="notes:create_app") as server:
        yield server


def body() -> Iterator[bytes]:
    for _ in range(4 * MEGABYTES):
        yield CHUNK


def peak(server: Server) -> int:
    """Return the most memory a worker has had, in MiB."""
    arbiter = server.process.pid
    (worker,) = Path(f"/proc/{arbiter}/task/{arbiter}/children").read_text().split()
    lines = Path(f"/proc/{worker}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


@pytest.mark.parametrize("how", ["announced", "chunked"])
def test_a_large_body_streams_through_with_bounded_memory(notes: Server, how: str) -> None:
    before = peak(notes)
    headers = {"content-length": str(MEGABYTES * 2**20)} if how == "announced" else {}
    answer = notes.client.put("/notes/digest", content=body(), headers=headers)
    digest = hashlib.sha256()
    for chunk in body():
        digest.update(chunk)
    assert answer.json() == {"sha256": digest.hexdigest(), "size": MEGABYTES * 2**20}
    assert peak(notes) - before < 32


def test_a_large_document_is_parsed_as_it_comes(notes: Server) -> None:
    element = b"<note>" + b"x" * (2**18 - 13) + b"</note>"

    def document() -> Iterator[bytes]:
        yield b"<notes>"
        for _ in range(4 * MEGABYTES):
            yield element
        yield b"</notes>"

    before = peak(notes)
    answer = notes.client.put("/notes/xml", content=document(), headers={"content-type": "application/xml"})
    assert answer.json() == {"elements": 4 * MEGABYTES + 1, "text": 4 * MEGABYTES * (2**18 - 13)}
    assert peak(notes) - before < 32


def test_lines_that_come_in_pieces_are_whole(notes: Server) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"half a "
            yield b"line\nand "
            yield b"more\n"

    assert notes.client.put("/notes/lines", content=pieces()).json() == {"lines": 200}


def test_an_answer_ends_when_its_client_leaves(notes: Server) -> None:
    """More of them than there are threads: the last would hang if the first were not over."""
    for number in range(1, 46):
        with socket.create_connection(("127.0.0.1", notes.port)) as client:
            client.sendall(b"GET /notes/endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        eventually(
            lambda number=number: notes.stdout().count("nobody listens") == number,  # type: ignore[misc]
            lambda: f"{notes.stdout().count('nobody listens')} have ended",
        )
    assert [line["status"] for line in notes.access_lines(route="/notes/endless")] == [499] * 45


def test_an_answer_that_the_server_refuses_ends(notes: Server) -> None:
    """More of them than there are threads, as above."""
    for _ in range(45):
        assert notes.get("/notes/refused", headers={"connection": "close"}).text == "x"
    assert notes.get("/notes/7").json() == {"number": 7}
    eventually(lambda: len(notes.access_lines(route="/notes/refused")) == 45, notes.stdout)


def test_a_body_that_breaks_off_is_no_whole_body(notes: Server) -> None:
    with socket.create_connection(("127.0.0.1", notes.port)) as client:
        client.sendall(b"PUT /notes/lines HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf\n")
    eventually(
        lambda: [line["status"] for line in notes.access_lines(route="/notes/lines")][-1] == 499,
        lambda: str(notes.access_lines(route="/notes/lines")),
    )


def test_a_failure_is_one_500_with_its_id(notes: Server) -> None:
    answer = notes.get("/notes/broken", headers={"x-request-id": "failing"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "failing")
    eventually(lambda: notes.access_lines(request_id="failing"), notes.stdout)
    (line,) = notes.access_lines(request_id="failing")
    assert (line["route"], line["status"]) == ("/notes/broken", 500)
    (said,) = [line for line in notes.lines() if line.get("request_id") == "failing" and line.get("exception")]
    assert said["exception"]["type"] == "RuntimeError"


def test_a_websocket_is_refused(notes: Server) -> None:
    with pytest.raises(Exception, match="403"), notes.socket("/notes/7"):
        pass


def test_it_ends_as_any_other(tmp_path: Path) -> None:
    with Server(tmp_path, path=NOTES, APP="notes.wsgi:app", WEB_CONCURRENCY="2") as server:
        assert server.get("/notes/7").json() == {"number": 7}
        server.client.close()
        assert server.stop() == 0
