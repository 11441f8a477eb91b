"""Much of something: frames, connections, and clients that take their time."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hpack import Encoder
from hyperframe.frame import SettingsFrame

from tests.attacks import AT_LENGTH, together
from tests.attacks.inputs.frames import FLOODS, headers
from tests.attacks.sending import PREFACE, Attackers, until

SECONDS = 20.0 if AT_LENGTH else 1.0
"""How long each flood lasts."""
FRAMES = 20_000 if AT_LENGTH else 4000
"""Frames of it on one connection; the next one follows at once."""
AT_ONCE = 3
CONNECTIONS = 7000 if AT_LENGTH else 1500
"""Of one client; the edge has room for 2 × 4,096."""  # noqa: RUF001
HELD = 300 if AT_LENGTH else 120
pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("kinds", together(FLOODS), ids=" ".join)
def test_floods_of_frames(attackers: Attackers, kinds: list[str]) -> None:
    for kind in kinds:
        flood_by_frames(attackers, FLOODS[kind](FRAMES))


def flood_by_frames(attackers: Attackers, frames: bytes) -> None:
    """Send them down one connection after the other."""

    def flood(_: int) -> int:
        sent = 0
        for _ in until(SECONDS):
            with contextlib.suppress(OSError):
                attackers.send_frames(frames, quiet=0.2)
                sent += 1
        return sent

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(flood, range(AT_ONCE))) >= AT_ONCE


def drip(held: list[tuple[socket.socket, bytes]]) -> int:
    """Send a byte of what is to come now and then down each connection; returns how many went out."""
    sent = 0
    for number in until(2 * SECONDS):
        for connection, rest in held:
            with contextlib.suppress(OSError):
                sent += connection.send(rest[number % len(rest) : number % len(rest) + 1])
        time.sleep(0.5)
    return sent


def head(path: str, content_type: str, length: str = "Content-Length: 99999") -> bytes:
    """Return the head of a request whose body is to come."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}", length]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


SLOW = {
    "heads": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ", b"y"),
    "texts": (head("/api/v1/predict", "application/json"), b" "),
    "documents": (head("/api/v1/process", "text/plain"), b"4"),
    "jobs": (head("/api/v1/jobs", "text/plain"), b"4"),
    "chunks": (head("/api/v1/process", "text/plain", "Transfer-Encoding: chunked"), b"1\r\na\r\n"),
}
"""What is sent at once, and what byte by byte."""


@pytest.mark.parametrize("kinds", together(SLOW), ids=" ".join)
def test_slow_senders(attackers: Attackers, kinds: list[str]) -> None:
    with ExitStack() as stack:
        held: list[tuple[socket.socket, bytes]] = []
        for number in range(HELD):
            begun, rest = SLOW[kinds[number % len(kinds)]]
            connection = stack.enter_context(attackers.connect())
            connection.sendall(begun)
            held.append((connection, rest))
        assert drip(held) >= HELD


def test_slow_readers(attackers: Attackers) -> None:
    """Asked for much, down connections nobody reads from, of windows that stay shut over HTTP/2."""
    with ExitStack() as stack:
        held = []
        for number in range(HELD):
            if number % 2:
                connection = stack.enter_context(attackers.connect("h2"))
                shut = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"  # SETTINGS_INITIAL_WINDOW_SIZE 0
                get = [
                    (":method", "GET"),
                    (":scheme", "https"),
                    (":authority", "localhost"),
                    (":path", "/openapi.json"),
                ]
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + shut + headers(get))
            else:
                connection = stack.enter_context(attackers.connect())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
            held.append(connection)
        time.sleep(2 * SECONDS)


def test_connections_that_say_nothing(attackers: Attackers) -> None:
    """Of one address: without TLS, in the middle of its handshake, and after it."""
    address = attackers.address()
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # of a ClientHello that does not go on
    held = 0
    with ExitStack() as stack:
        for number in range(CONNECTIONS):
            with contextlib.suppress(OSError):
                connection = stack.enter_context(attackers.tcp(address))
                if number % 3 == 1:
                    connection.sendall(hello)
                held += 1
        assert held >= CONNECTIONS // 2
        for _ in range(CONNECTIONS // 10):
            stack.enter_context(attackers.connect(address=address))
        time.sleep(SECONDS)


def test_handshakes_over_and_over(attackers: Attackers) -> None:
    def shake(_: int) -> int:
        shaken = 0
        for _ in until(2 * SECONDS):
            with contextlib.suppress(OSError):
                attackers.connect().close()
                shaken += 1
        return shaken

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(shake, range(AT_ONCE))) >= AT_ONCE


def test_requests_beyond_the_limit(attackers: Attackers) -> None:
    """As many as it can, of one address."""
    address = attackers.address()
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100

    def flood(_: int) -> int:
        refused = 0
        with attackers.connect(address=address) as connection:
            connection.settimeout(1)
            for _ in until(2 * SECONDS):
                with contextlib.suppress(OSError):
                    connection.sendall(request)
                    refused += connection.recv(1 << 20).count(b"HTTP/1.1 429 ")
            connection.settimeout(60)  # what was sent is answered however busy the machine is
            with contextlib.suppress(OSError):
                while not refused and (got := connection.recv(1 << 20)):
                    refused += got.count(b"HTTP/1.1 429 ")
        return refused

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(flood, range(AT_ONCE))) > 0


def test_refusals_that_nobody_reads(attackers: Attackers) -> None:
    """Of one address, over HTTP/2 with shut windows: as many streams as there may be, down many connections."""
    address = attackers.address()
    shut = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize()
    path = "/" + "a" * 4000
    asked = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
    encoder = Encoder()
    streams = b"".join(headers(asked, number, encoder=encoder) for number in range(1, 120, 2))
    with ExitStack() as stack:
        for _ in range(HELD):
            connection = stack.enter_context(attackers.connect("h2", address))
            connection.sendall(PREFACE + shut + streams)
        time.sleep(2 * SECONDS)
