"""How the server ends: in order, in time, and without losing a request or a line."""

import http.client
import signal
import threading
import time
from pathlib import Path

import httpx

from tests.server.server import Server
from tests.support.waiting import awaited


class Pending:
    """A request in a thread of its own."""

    def __init__(self, server: Server, path: str) -> None:
        self.outcome: httpx.Response | Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(f"http://127.0.0.1:{server.port}{path}",))
        self._thread.start()

    def _run(self, url: str) -> None:
        try:
            self.outcome = httpx.get(url, timeout=60)
        except httpx.HTTPError as error:
            self.outcome = error

    def result(self) -> httpx.Response | Exception | None:
        self._thread.join(60)
        return self.outcome


def _in_progress(server: Server) -> float:
    for line in server.get("/metrics").text.splitlines():
        if line.startswith("http_requests_in_progress"):
            return float(line.split()[-1])
    return 0


def test_request_in_flight_finishes_then_the_app_ends_and_its_last_lines_are_written(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        pending = Pending(server, "/trouble/slow?seconds=10")
        awaited(lambda: _in_progress(server) == 1)
        server.client.close()
        assert server.stop() == 0
        answer = pending.result()
        assert isinstance(answer, httpx.Response)
        assert answer.status_code == 200
        messages = server.messages()
        order = ["Handling signal: term", "GET /trouble/slow 200", "sample app stopped", "Shutting down: Master"]
        assert [message for message in messages if message in order] == order
        assert server.stderr() == ""


def test_ready_fails_before_the_listener_closes(tmp_path: Path) -> None:
    with Server(tmp_path, SHUTDOWN_DELAY="12", GUNICORN_TIMEOUT="36") as server:
        server.process.terminate()
        answer = awaited(lambda: (found := server.get("/ready")).status_code == 503 and found)
        assert isinstance(answer, httpx.Response)
        assert answer.json() == {"ready": False, "reasons": ["shutting down"]}
        assert server.get("/health").status_code == 200
        for _ in range(12):  # new connections, well beyond the moment in which a stop without delay takes them still
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request("GET", "/")
            assert connection.getresponse().status == 200
            connection.close()
            time.sleep(0.1)
        server.client.close()
        assert server.process.wait(30) == 0
        assert "sample app stopped" in server.messages()


def test_request_that_never_ends_is_cancelled_in_time_for_an_orderly_end(tmp_path: Path) -> None:
    with Server(tmp_path, GUNICORN_TIMEOUT="12") as server:
        pending = Pending(server, "/trouble/slow?seconds=600")
        awaited(lambda: _in_progress(server) == 1)
        assert server.stop() == 0
        pending.result()
        assert [line["outcome"] for line in server.access_lines(route="/trouble/slow")] == ["cancelled"]
        assert "sample app stopped" in server.messages()
        assert not any("SIGKILL" in message for message in server.messages())


def test_quick_stop_waits_for_no_request(tmp_path: Path) -> None:
    with Server(tmp_path, GUNICORN_TIMEOUT="600") as server:
        pending = Pending(server, "/trouble/slow?seconds=600")
        awaited(lambda: _in_progress(server) == 1)
        server.process.send_signal(signal.SIGQUIT)
        assert server.process.wait(30) == 0
        pending.result()
        assert not any("SIGKILL" in message for message in server.messages())


def test_idle_connection_does_not_delay_the_end(tmp_path: Path) -> None:
    with Server(tmp_path, GUNICORN_TIMEOUT="600") as server:
        assert server.get("/").status_code == 200  # the client keeps the connection
        assert server.stop() == 0


def test_reload_replaces_the_workers_and_keeps_serving_and_logging(tmp_path: Path) -> None:
    with Server(tmp_path, WEB_CONCURRENCY="2") as server:
        awaited(lambda: server.messages().count("sample app started") == 2)
        server.process.send_signal(signal.SIGHUP)
        awaited(lambda: server.messages().count("sample app started") == 4)
        awaited(lambda: server.messages().count("sample app stopped") == 2)
        assert server.get("/").status_code == 200
        awaited(lambda: len(server.access_lines(route="/")) == 1)
        assert server.stop() == 0
        assert server.messages().count("sample app stopped") == 4
        assert server.stderr() == ""


def test_worker_is_replaced_after_its_requests_and_none_is_lost(tmp_path: Path) -> None:
    with Server(tmp_path, GUNICORN_MAX_REQUESTS="15", WEB_CONCURRENCY="2") as server:
        statuses = []
        for number in range(60):
            with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
                statuses.append(client.get(f"/api/v1/items/{number}").status_code)
        assert statuses == [200] * 60
        assert server.stop() == 0
        assert len(server.access_lines(route="/api/v1/items/{item_id}", status=200)) == 60
        assert server.messages().count("sample app started") > 2
        assert server.messages().count("sample app stopped") == server.messages().count("sample app started")


def test_worker_ends_when_its_arbiter_is_gone(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.process.kill()
        server.process.wait(30)
        awaited(lambda: "sample app stopped" in server.messages())
