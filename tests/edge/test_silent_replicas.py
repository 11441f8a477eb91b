"""Every replica stopped: who asks is told so, with when to come again; what is slow and healthy is left alone."""

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from tests.edge.containers import Edge, Network, docker, eventually
from tests.edge.upstream import misbehaving, says
from tests.stack import say


@pytest.fixture(scope="module")
def replicas(network: Network) -> Iterator[list[str]]:
    names = [network.start_api(alias="to-be-paused") for _ in range(2)]
    yield names
    for name in names:
        network.remove(name)


@pytest.fixture(scope="module")
def asking(network: Network, start_edge: Callable[..., Edge], replicas: list[str]) -> Edge:
    edge = start_edge(RATE_LIMIT="100000", RATE_BURST="100000")
    edge.pin(*(f"{network.address(name)}:8000" for name in replicas))
    return edge


def send(number: signal.Signals, *containers: str) -> None:
    """Signal every process of these: what `docker pause` does, where the kernel's freezer is not to be had."""
    for name in containers:
        for pid in docker("top", name, "-eo", "pid").split()[1:]:
            with suppress(ProcessLookupError):  # one that ended meanwhile
                os.kill(int(pid), number)


def status(client: httpx.Client) -> int:
    with suppress(httpx.TimeoutException):  # passed on before the edge knew
        return client.get("/echo").status_code
    return 0


def test_all_paused_is_503_until_one_answers(asking: Edge, replicas: list[str]) -> None:
    with asking.client(timeout=10) as client:
        assert client.get("/echo").status_code == 200
        send(signal.SIGSTOP, *replicas)
        try:
            eventually(lambda: status(client) == 503, lambda: status(client))
            for method in ("GET", "POST", "DELETE"):
                answer = client.request(method, "/echo")
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["request_id"] == answer.headers["x-request-id"]
            send(signal.SIGCONT, replicas[0])
            eventually(lambda: status(client) == 200, lambda: status(client))
        finally:
            send(signal.SIGCONT, *replicas)


def test_of_requests_that_never_stop_coming_only_the_first_moments_hang(asking: Edge, replicas: list[str]) -> None:
    """Those passed on before the edge knew: it asks once a second, and waits for no answer longer than another half."""
    answered: list[tuple[float, int, float]] = []

    def ask() -> None:
        began = time.monotonic()
        with asking.client(timeout=120) as client:
            code = client.get("/echo").status_code
        answered.append((began, code, time.monotonic() - began))

    with asking.client() as client, ThreadPoolExecutor(400) as pool:
        eventually(lambda: client.get("/echo").status_code == 200)
        sent = [pool.submit(ask) for _ in range(5)]
        paused = time.monotonic()
        send(signal.SIGSTOP, *replicas)
        stopped = time.monotonic()
        try:
            while time.monotonic() < stopped + 20:
                time.sleep(0.1)
                sent.append(pool.submit(ask))
        finally:
            send(signal.SIGCONT, *replicas)
        for one in sent:
            one.result()
    assert {code for _, code, _ in answered} <= {200, 503}
    late = [began for began, _, took in answered if took > 10]
    refused = [(began, took) for began, code, took in answered if code == 503]
    assert refused
    # Not by the clock: from the first refusal on, the edge knows.
    known = min(began + took for began, took in refused)
    assert [began for began in late if began > known] == []
    say(f"paused within {stopped - paused:.1f} s: {len(late)} of {len(answered)} requests hung")


def test_a_slow_route_of_a_healthy_replica_may_take_its_time(asking: Edge) -> None:
    with asking.client(timeout=60) as client, ThreadPoolExecutor(2) as pool:
        eventually(lambda: status(client) == 200, lambda: status(client))
        answers = [pool.submit(client.get, path) for path in ("/slow/9", "/echo")]
        assert [answer.result().status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize("seconds", [1.5, 4])
def test_a_replica_that_answers_the_edge_s_question_late_is_no_silent_one(
    network: Network, start_edge: Callable[..., Edge], seconds: float
) -> None:
    """Later than the edge's next questions, for longer than silence is borne."""
    edge = start_edge(RATE_LIMIT="100000", RATE_BURST="100000")
    ok = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    late: list[float] = []

    def health(connection: socket.socket) -> None:
        time.sleep(seconds)
        says(ok)(connection)
        late.append(time.monotonic())

    with misbehaving(network, {"health": health, "echo": says(ok)}) as upstream, edge.client() as client:
        edge.pin(upstream)
        answers = Counter[int]()
        while len(late) < 10:
            answers[client.get("/echo").status_code] += 1
            time.sleep(0.1)
    assert set(answers) == {200}


def test_an_edge_that_stood_still_itself_finds_nobody_silent(asking: Edge) -> None:
    """Stopped, or without CPU, for longer than silence is borne: it asked nothing, so nobody was silent."""
    with asking.client() as client, ThreadPoolExecutor(20) as pool:
        eventually(lambda: status(client) == 200, lambda: status(client))
        send(signal.SIGSTOP, asking.container)
        try:
            sent = [pool.submit(status, client) for _ in range(20)]
            time.sleep(8)
        finally:
            send(signal.SIGCONT, asking.container)
        assert Counter(one.result() for one in sent) == {200: 20}


def test_one_that_is_stuck_and_has_nothing_else_to_do_is_not_asked_alone(
    network: Network, start_edge: Callable[..., Edge]
) -> None:
    """The other has long answers under way, so that requests go to whoever has fewest: the one that is stuck."""
    edge = start_edge(RATE_LIMIT="100000", RATE_BURST="100000", CONNECTION_LIMIT="100")
    ok = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    stuck, let_go, end = threading.Event(), threading.Event(), threading.Event()
    held = Counter[str]()

    def health(connection: socket.socket) -> None:
        if stuck.is_set():
            end.wait(60)
        else:
            says(ok)(connection)

    def holding(name: str, until: threading.Event) -> Callable[[socket.socket], None]:
        def hold(connection: socket.socket) -> None:
            held[name] += 1
            until.wait(60)
            says(ok)(connection)

        return hold

    idle = {"health": health, "echo": says(ok), "long": holding("idle", let_go)}
    busy = {"health": says(ok), "echo": says(ok), "long": holding("busy", end)}
    with misbehaving(network, idle) as one, misbehaving(network, busy) as other, ThreadPoolExecutor(20) as pool:
        edge.pin(one, other)
        with edge.client() as client:
            try:
                for _ in range(20):
                    pool.submit(client.get, "/long")
                eventually(lambda: held == {"idle": 10, "busy": 10}, lambda: held)
                let_go.set()
                stuck.set()
                answers = Counter[int]()
                until = time.monotonic() + 12
                while time.monotonic() < until:
                    answers[client.get("/echo").status_code] += 1
                    time.sleep(0.1)
            finally:
                let_go.set()
                end.set()
    assert set(answers) == {200}
