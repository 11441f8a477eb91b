"""Another client, with an address of its own, that asks all the time: what an attack on somebody costs others.

Run as a program (standard library only, in a network namespace) it asks until its stdin ends, and prints what it got.
"""

import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

PACE = 0.125
"""Seconds from one request to the next, or as long as one takes: below the limit of 10 a second."""
JSON = {"Content-Type": "application/json"}
TEXT = b'{"text": "Write to ada@example.org or call +44 20 7946 0958. The card is 4111 1111 1111 1111."}'
REQUESTS: tuple[tuple[str, str, bytes | None, dict[str, str]], ...] = (
    ("GET", "/health", None, {}),
    ("POST", "/api/v1/predict", TEXT, JSON),
    ("POST", "/api/v1/process", b"Write to ada@example.org, please.\n", {"Content-Type": "text/plain"}),
    ("GET", "/ready", None, {"Connection": "close"}),  # the next one has a connection of its own
)


class Answers(NamedTuple):
    """What the victim got: how often each status (0 is none at all), and how long each took, in seconds."""

    statuses: Counter[int]
    seconds: list[float]
    failures: list[str]


class Connection(http.client.HTTPConnection):
    """HTTPS to an address, with the name that the server has there in the handshake."""

    def __init__(self, host: str, port: int, name: str) -> None:
        super().__init__(host, port, timeout=60)
        self._name = name
        self._context = ssl._create_unverified_context()

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


class Watch:
    """A victim at work; `answers` are there when it is over."""

    answers: Answers


@contextmanager
def victim(inside: list[str], host: str, port: int, authorization: str = "", name: str = "") -> Iterator[Watch]:
    """Have the victim ask during the `with` block, from its first answer on.

    Args:
        inside: the command that runs another where the victim is (`ip netns exec ...`).
        host: the edge's address.
        port: the edge's HTTPS port.
        authorization: the victim's own key, as a header.
        name: the name that the edge is asked for by, where it has SERVER_NAME.

    """
    command = [*inside, sys.executable, __file__, host, str(port), authorization, name]
    watch = Watch()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert first == "asking\n", first
            yield watch
        finally:
            process.stdin.close()
            told = process.stdout.read()
            process.stdin = None
    statuses, seconds, failures = json.loads(told)
    watch.answers = Answers(Counter({int(status): count for status, count in statuses.items()}), seconds, failures)


def ask(host: str, port: int, authorization: str, name: str) -> tuple[Counter[int], list[float], list[str]]:
    """Ask until stdin ends."""
    connection = Connection(host, port, name or host)
    statuses: Counter[int] = Counter()
    seconds: list[float] = []
    failures: list[str] = []
    own = {"Host": name or "localhost", **({"Authorization": authorization} if authorization else {})}
    number = 0
    while not ended():
        method, path, body, headers = REQUESTS[number % len(REQUESTS)]
        began = time.monotonic()
        try:
            connection.request(method, path, body, own | headers)
            answer = connection.getresponse()
            content, status = answer.read(), answer.status
            if status != 200:
                failures.append(f"{time.time():.1f} {method} {path} {status} {content[:300]!r}")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status = 0
            failures.append(f"{time.time():.1f} {method} {path} {type(error).__name__}: {error}")
        seconds.append(time.monotonic() - began)
        statuses[status] += 1
        if number == 0:
            print("asking", flush=True)
        number += 1
        time.sleep(max(0.0, PACE - seconds[-1]))
    return statuses, seconds, failures


def ended() -> bool:
    """Say whether stdin is at its end."""
    os.set_blocking(0, False)
    with contextlib.suppress(BlockingIOError):
        return os.read(0, 1) == b""
    return False


if __name__ == "__main__":
    sys.stdout.write(json.dumps(ask(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])))
    sys.stdout.flush()
