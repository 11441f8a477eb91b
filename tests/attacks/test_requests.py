"""Requests as no client should send them: what comes of each, and whether anything gets past the edge unseen."""

import json
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from tests.attacks import share
from tests.attacks.inputs.frames import FRAMES
from tests.attacks.inputs.heads import HEADS
from tests.attacks.inputs.names import NAMES
from tests.attacks.inputs.spellings import SPELLINGS
from tests.attacks.inputs.spoofs import SPOOFS
from tests.attacks.sending import Answer, Attackers
from tests.stack import Stack, eventually

T = TypeVar("T")
REFUSALS = {501, 505}
"""Statuses of 500 and more by which the edge refuses what is the client's fault."""
INSIDE = (b"# HELP", b"http_requests_total", b"edge_connections", b"root:x:", b"SQLite format", b"BEGIN PRIVATE KEY")
PATIENCE = 60.0
"""Seconds for the end of an answer after which the connection is closed."""
KEPT_ID = re.compile(rb"^x-request-id: [A-Za-z0-9._-]{1,128}\r$", re.MULTILINE | re.IGNORECASE)
pytestmark = pytest.mark.timeout(1200)


def at_once(send: Callable[[T], Answer], inputs: Iterable[T], senders: int = 32) -> list[tuple[T, Answer]]:
    """Send them, many at a time."""
    listed = list(inputs)
    with ThreadPoolExecutor(senders) as pool:
        return list(zip(listed, pool.map(send, listed), strict=True))


def failed(answers: Iterable[tuple[object, Answer]]) -> list[tuple[str, list[int]]]:
    """Return those by which the server failed, or gave away what is inside."""
    return [
        (repr(what)[:200], answer.statuses)
        for what, answer in answers
        if any(status >= 500 and status not in REFUSALS for status in answer.statuses)
        or any(word in answer.received for word in INSIDE)
    ]


class Log:
    """What the edge and the API log from now on."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._since = time.time()

    def lines(self, service: str, before: float = 0) -> list[dict[str, Any]]:
        since = f"{self._since - before:.3f}"
        text = self._stack.compose("logs", "--no-color", "--no-log-prefix", "--since", since, service).stdout
        lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        # Without an id is what the edge says of lines that a flood before had it drop.
        return [line for line in lines if line["logger"].endswith(".access") and "request_id" in line]

    def reached(self) -> set[str]:
        """Return ids of requests that have reached the API, but for /health and /ready, which the edge asks itself."""
        return {line["request_id"] for line in self.lines("api") if line["route"] not in ("/health", "/ready")}

    def known(self) -> set[str]:
        """Return ids of requests that passed the edge."""
        return {line["request_id"] for line in self.lines("nginx", before=30)}

    def check(self) -> None:
        """Wait until the edge has told of all that has reached the API by now; its lines are a second late."""
        reached = self.reached()
        assert reached
        eventually(lambda: reached <= self.known(), lambda: f"not seen by the edge: {reached - self.known()}")


@pytest.fixture
def log(stack: Stack) -> Log:
    return Log(stack)


def test_a_request_that_did_not_pass_the_edge_would_be_seen(stack: Stack, log: Log) -> None:
    stack.compose("exec", "-T", "nginx", "curl", "-s", "-H", "X-Request-ID: not-by-the-edge", "http://api:8000/x")
    sent = "not-by-the-edge"
    eventually(lambda: sent in log.reached())
    assert sent not in log.known()


def test_no_request_is_smuggled_and_no_head_is_the_servers_fault(attackers: Attackers, log: Log) -> None:
    answers = at_once(lambda name: attackers.send(HEADS[name]), HEADS)
    assert failed(answers) == []
    log.check()


def test_nor_by_http_2(attackers: Attackers, log: Log) -> None:
    answers = at_once(lambda name: attackers.send_frames(FRAMES[name]), FRAMES)
    assert failed(answers) == []
    log.check()


def test_metrics_are_nowhere_in_any_spelling(attackers: Attackers) -> None:
    def ask(target: str) -> Answer:
        head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nConnection: close\r\n\r\n"
        return attackers.send(head.encode(), PATIENCE)

    answers = at_once(ask, SPELLINGS)
    assert failed(answers) == []
    assert [(target, answer.statuses) for target, answer in answers if not 400 <= sum(answer.statuses) < 500] == []


def test_no_header_makes_a_client_somebody_else(stack: Stack, attackers: Attackers, log: Log) -> None:
    def ask(spoof: tuple[str, str]) -> Answer:
        name, value = spoof
        host = "" if name == "Host" else "Host: localhost\r\n"
        head = f"GET /api/v1/jobs HTTP/1.1\r\n{host}{name}: {value}\r\nConnection: close\r\n\r\n"
        return attackers.send(head.encode("latin-1", "replace"), PATIENCE)

    answers = at_once(ask, SPOOFS)
    assert failed(answers) == []
    # Without keys nobody has a listing, whoever they say they are; and every answer has an id that may be logged.
    told = [
        (spoof, answer.statuses, answer.received[:200])
        for spoof, answer in answers
        if any(status < 400 for status in answer.statuses[-1:]) or len(KEPT_ID.findall(answer.received)) != 1
    ]
    assert told == []
    network = attackers.host.rpartition(".")[0] + ".0"
    assert {line["client"] for line in log.lines("nginx") if line["path"] == "/api/v1/jobs"} == {network}
    for url in ("http://127.0.0.1:9113/metrics", "http://api:9464/metrics"):
        shown = stack.compose("exec", "-T", "nginx", "curl", "-fsS", url).stdout
        assert [word for word in ("forged", "evil", "smuggled") if word in shown] == []


def test_no_name_leads_anywhere(attackers: Attackers, log: Log) -> None:
    def ask(index: str) -> Answer:
        method, target, headers = NAMES[int(index)]
        body = "a@b.example" if method == "POST" else ""
        lines = [f"{name}: {value}" for name, value in ({"Content-Type": "text/plain"} | headers).items() if body]
        head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *lines])
        return attackers.send(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode(), PATIENCE)

    answers = at_once(ask, share([str(number) for number in range(len(NAMES))], 4), senders=3)  # whose places are few
    assert failed((NAMES[int(index)], answer) for index, answer in answers) == []
    found = [
        NAMES[int(index)]
        for index, answer in answers
        if answer.statuses[-1:] == [200] and "/jobs" in NAMES[int(index)][1] and b'"jobs":[]' not in answer.received
    ]
    assert found == []
    log.check()
