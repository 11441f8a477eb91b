"""What the whole server writes: one format, exact counts, nothing of what clients send."""

import json
import os
import re
import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.server.server import ROOT, Server
from tests.support.waiting import awaited

SECRET = "private4711"


def test_every_line_has_the_same_head_and_each_request_exactly_one(tmp_path: Path) -> None:
    with Server(tmp_path, WEB_CONCURRENCY="2", GUNICORN_TIMEOUT="10") as server:
        for number in range(40):
            assert server.get(f"/api/v1/items/{number}", headers={"connection": "close"}).status_code == 200
        server.get("/health")
        server.client.close()
        assert server.stop() == 0
        lines = server.lines()
        for line in lines:
            assert list(line)[:4] == ["timestamp", "level", "logger", "message"]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])
        requests = server.access_lines()
        assert len(requests) == 40
        assert {line["path"] for line in requests} == {f"/api/v1/items/{number}" for number in range(40)}
        assert len({line["request_id"] for line in requests}) == 40
        assert {line["worker"] for line in requests} <= {"0", "1"}
        assert {"gunicorn.error", "api.access", "sample_app.main"} <= {line["logger"] for line in lines}
        assert not {line["logger"] for line in lines} & {"uvicorn.access", "gunicorn.access"}
        assert "127.0.0.1" not in "".join(json.dumps(line) for line in requests)
        assert server.stderr() == ""


def test_client_has_one_hash_in_every_worker(tmp_path: Path) -> None:
    with Server(tmp_path, WEB_CONCURRENCY="2") as server:

        def both_have_served() -> bool:
            url = f"http://127.0.0.1:{server.port}"
            thread = threading.Thread(target=httpx.get, args=(f"{url}/trouble/blocked?seconds=0.3",))
            thread.start()  # the other worker has to take the next one
            httpx.get(url)
            thread.join()
            return {line["worker"] for line in server.access_lines()} == {"0", "1"}

        awaited(both_have_served)
        assert len({line["client"] for line in server.access_lines()}) == 1


def test_line_of_the_app_has_the_ids_of_its_request(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.get("/trouble/log?lines=2", headers={"x-request-id": "mine-1"})
        assert server.stop() == 0
        lines = [line for line in server.lines() if line.get("request_id") == "mine-1"]
        assert [line["logger"] for line in lines] == ["sample_app.trouble", "sample_app.trouble", "api.access"]
        assert [line["number"] for line in lines[:2]] == [0, 1]
        source = (ROOT / "tests" / "sample_app" / "trouble.py").read_text().splitlines()
        for line in lines[:2]:
            assert (line["module"], line["function"]) == ("trouble", "log")
            assert "a line of the app" in source[line["line"] - 1]


def test_what_blocks_the_loop_is_a_line(tmp_path: Path) -> None:
    with Server(tmp_path, EVENT_LOOP_BLOCKED_SECONDS="1") as server:
        server.get("/trouble/blocked?seconds=5", headers={"x-request-id": "mine-1"})
        line, *others = awaited(
            lambda: [line for line in server.lines() if line["logger"] == "sightglass.asgi.loop_watch"]
        )
        assert (line["level"], line["request_id"], others) == ("WARNING", "mine-1", [])
        assert (line["module"], line["function"], line["worker"]) == ("trouble", "blocked", "0")
        assert line["stack"][-1].endswith(f"trouble.py:{line['line']} in blocked")
        assert line["duration"] >= 1
        text = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
        assert 'sightglass_event_loop_blocked_total{worker="0"} 1' in text


def test_servers_report_of_an_exception_has_the_ids_of_its_request(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        # uvicorn closes the connection then, and the answer has said so: the next request takes another.
        server.get("/trouble/fail", headers={"x-request-id": "mine-1"})
        server.get("/", headers={"x-request-id": "mine-2"})
        assert server.stop() == 0
        (report,) = [line for line in server.lines() if "exception" in line]
        assert (report["level"], report["request_id"]) == ("ERROR", "mine-1")
        assert [line["logger"] for line in server.lines() if line.get("request_id") == "mine-2"] == ["api.access"]


LEAVES_EARLY = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = [(b"content-length", b"10")] if scope["path"] == "/whole" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"1234567890", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.body", "body": b""})
"""


def test_client_that_leaves_with_all_announced_bytes_was_answered(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(LEAVES_EARLY)
    with Server(tmp_path, path=tmp_path, APP="early:app", GUNICORN_TIMEOUT="10") as server:
        for path in ("/whole", "/half"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                answer = b""
                while b"1234567890" not in answer:
                    answer += client.recv(65536)
        awaited(lambda: len(server.access_lines()) == 2)
        lines = {line["path"]: (line["status"], line["outcome"]) for line in server.access_lines()}
        assert lines == {"/whole": (200, "ok"), "/half": (499, "disconnected")}


def _raw(server: Server, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            pass
        return answer


HOSTILE = [
    b"GET /a%0A%7B%22level%22%3A%22FORGED%22%7D HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    b"GET /%ff%fe%00%1b%5b31m HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    b"GET /%ed%a0%80%e2%80%a8 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    b"GET /" + b"%0a" * 5000 + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    b"GET /" + b"a" * 7000 + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nx-request-id: \xff\xfe\"}\r\nuser-agent: private4711\r\nconnection: close\r\n\r\n",
    b"GET /?text=private4711 HTTP/1.1\r\nhost: private4711\r\nreferer: private4711\r\nconnection: close\r\n\r\n",
    b"BREW / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    b"\x16\x03\x01private4711\r\n\r\n",
    b"GET /trouble/fail?text=private4711 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    b"GET /trouble/caught?text=private4711 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    b"GET /trouble/broken-stream?text=private4711 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_nothing_a_client_sends_breaks_a_line_or_shows_in_one(tmp_path: Path, log_format: str) -> None:
    with Server(tmp_path, LOG_FORMAT=log_format, LOG_LEVEL="DEBUG", GUNICORN_TIMEOUT="10") as server:
        for request in HOSTILE:
            _raw(server, request)
        with connect(f"ws://127.0.0.1:{server.port}/ws/open?text={SECRET}") as socket_:
            socket_.send(SECRET)
            assert socket_.recv() == SECRET
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{server.port}/ws/closed?text={SECRET}")
        server.client.close()
        assert server.stop() == 0
        output = server.stdout()
        assert SECRET not in output
        assert all(line.isprintable() for line in output.split("\n"))
        if log_format == "json":
            levels = {line["level"] for line in server.lines()}
            assert levels <= {"DEBUG", "INFO", "WARNING", "ERROR"}
            outcomes = [(line["path"], line["status"], line["outcome"]) for line in server.access_lines()]
            assert ("/trouble/fail", 500, "error") in outcomes
            assert ("/trouble/broken-stream", 500, "error") in outcomes
            kinds = [line["exception"]["type"] for line in server.lines() if "exception" in line]
            assert kinds.count("sample_app.trouble.RefusedError") >= 2
            assert max(len(line["path"]) for line in server.access_lines()) == 1024
        else:
            assert re.search(r"^\S+ INFO     api\.access       GET    /ws/open 101 ", output, re.MULTILINE)


def test_blocked_stdout_stops_no_request_and_the_loss_is_said(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    each, times = 4000, 4
    with Server(tmp_path, stdout=writer) as server:
        os.close(writer)
        for _ in range(times):
            assert server.get(f"/trouble/log?lines={each}").json() == {"lines": each}
        assert server.get("/ready").status_code == 200
        received: list[dict[str, object]] = []

        def read() -> None:
            with os.fdopen(reader) as output:
                received.extend(json.loads(line) for line in output)

        thread = threading.Thread(target=read)
        thread.start()
        awaited(lambda: any("dropped" in line for line in received))
        assert server.stop() == 0
        thread.join(30)
    of_the_app = [line for line in received if line["logger"] == "sample_app.trouble"]
    of_requests = [line for line in received if line["logger"] == "api.access"]
    dropped = sum(int(str(line["dropped"])) for line in received if "dropped" in line)
    assert dropped > 0
    assert len(of_the_app) + len(of_requests) + dropped == each * times + times


def test_stop_is_bounded_although_stdout_stays_blocked(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        with Server(tmp_path, stdout=writer) as server:
            os.close(writer)
            server.get("/trouble/log?lines=2000")
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) == 0
    finally:
        os.close(reader)


BLOCKS = """
import time


async def app(scope, receive, send):
    if scope["type"] == "http":
        time.sleep(600)
"""


def test_worker_that_hangs_says_in_which_request_and_where(tmp_path: Path) -> None:
    (tmp_path / "blocks.py").write_text(BLOCKS)
    with Server(tmp_path, path=tmp_path, APP="blocks:app", GUNICORN_TIMEOUT="10") as server:
        with pytest.raises(httpx.RemoteProtocolError):
            server.get("/", headers={"x-request-id": "mine-1"})
        wanted = {"request_id": "mine-1", "logger": "gunicorn.error"}
        (line,) = awaited(lambda: [line for line in server.lines() if wanted.items() <= line.items()])
        assert line["level"] == "CRITICAL"
        assert any("blocks.py" in frame and "in app" in frame for frame in line["stack_info"])
        assert server.get("/ready").status_code == 200
        assert len([message for message in server.messages() if message.startswith("WORKER TIMEOUT")]) == 1
