"""Clients that send bytes of their own, from many addresses: the limits of one address are not what is tried here."""

import contextlib
import itertools
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
from hpack import Decoder
from hpack.exceptions import HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import Frame, HeadersFrame, SettingsFrame

from tests.edge.outside import ip

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
QUIET = 1.5
"""Seconds without a byte, after which an answer is taken for whole."""


class Answer(NamedTuple):
    """Statuses in their order, all that was received, and how the connection ended ("" where it is still open)."""

    statuses: list[int]
    received: bytes
    end: str


class Attackers:
    """Clients of an edge at `host`:`port`, one address after the other.

    With `name` they ask for it by this name: one with SERVER_NAME serves no other.
    """

    def __init__(self, host: str, port: int, addresses: Sequence[str], name: str = "") -> None:
        self.host = host
        self.port = port
        self.addresses = addresses
        self.name = name
        self._next = itertools.cycle(addresses)
        self._lock = threading.Lock()
        self._context = {protocol: _context(protocol) for protocol in ("http/1.1", "h2")}

    def address(self) -> str:
        """Return the next address."""
        with self._lock:
            return next(self._next)

    def alone(self) -> "Attackers":
        """Return one of them."""
        return Attackers(self.host, self.port, [self.address()], self.name)

    def tcp(self, address: str | None = None) -> socket.socket:
        """Open a connection without TLS on it."""
        source = (address or self.address(), 0)
        return socket.create_connection((self.host, self.port), timeout=60, source_address=source)

    def connect(self, protocol: str = "http/1.1", address: str | None = None) -> ssl.SSLSocket:
        """Open a connection for bytes of one's own."""
        raw = self.tcp(address)
        try:
            return self._context[protocol].wrap_socket(raw, server_hostname=self.name or "localhost")
        except OSError:
            raw.close()
            raise

    def client(self, address: str | None = None, **arguments: Any) -> httpx.Client:
        """Return an HTTP client."""
        transport = httpx.HTTPTransport(verify=self._context["http/1.1"], local_address=address or self.address())
        defaults: dict[str, Any] = {
            "timeout": 60,
            "headers": {"Host": self.name or "localhost"},
            "event_hooks": {"request": [self._name_in_handshake]},
        }
        return httpx.Client(base_url=f"https://{self.host}:{self.port}", transport=transport, **defaults | arguments)

    def _name_in_handshake(self, request: httpx.Request) -> None:
        request.extensions["sni_hostname"] = self.name  # none is httpx's own way: of an address, no name is sent

    def send(self, data: bytes, quiet: float = QUIET) -> Answer:
        """Send bytes over HTTP/1.1's connection and read what comes."""
        with self.connect() as connection:
            end = _send(connection, data)
            received, how = _read(connection, quiet)
        statuses = [int(found) for found in re.findall(rb"^HTTP/1\.[01] (\d{3})", received, re.MULTILINE)]
        return Answer(statuses, received, how or end)

    def send_frames(self, frames: bytes, quiet: float = QUIET) -> Answer:
        """Send HTTP/2 frames after the preface, and read what comes."""
        with self.connect("h2") as connection:
            end = _send(connection, PREFACE + SettingsFrame(0).serialize() + frames)
            received, how = _read(connection, quiet)
        return Answer(_statuses(received), received, how or end)


def _context(protocol: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what the edge is called is not what is tried
    context.set_alpn_protocols([protocol])
    return context


def _send(connection: ssl.SSLSocket, data: bytes) -> str:
    """Send in parts and stop where the other side has had enough."""
    connection.settimeout(5)
    try:
        for start in range(0, len(data), 65536):
            connection.sendall(data[start : start + 65536])
    except OSError as error:
        return type(error).__name__
    return ""


def _read(connection: ssl.SSLSocket, quiet: float) -> tuple[bytes, str]:
    connection.settimeout(quiet)
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
            if len(received) > 4 * 1024 * 1024:
                break
    except TimeoutError:
        return received, ""
    except OSError as error:
        return received, type(error).__name__
    return received, "closed"


def _statuses(received: bytes) -> list[int]:
    """Return the statuses of HTTP/2's answers."""
    decoder = Decoder()
    statuses = []
    while len(received) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(received[:9]))
        body, received = received[9 : 9 + length], received[9 + length :]
        if len(body) < length:
            break
        if isinstance(frame, HeadersFrame):
            with contextlib.suppress(HPACKError, HyperframeError):
                frame.parse_body(memoryview(body))
                fields = dict(decoder.decode(frame.data, raw=True))
                statuses.append(int(fields.get(b":status", b"0")))
    return statuses


@contextmanager
def addresses(host: str, count: int) -> Iterator[list[str]]:
    """Give the machine that has this address so many more on the same cable, for a `with` block."""
    shown = ip("-brief address show").stdout
    (device,) = (line.split()[0].partition("@")[0] for line in shown.splitlines() if f" {host}/" in line)
    network = host.rpartition(".")[0]
    made = [f"{network}.{number}" for number in range(10, 10 + count)]
    for address in made:
        added = ip(f"address add {address}/32 dev {device}")
        assert added.returncode == 0, added.stderr
    yield made  # they go with the cable


def until(seconds: float) -> Iterator[int]:
    """Count until so many seconds have passed."""
    end = time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() > end:
            return
        yield number
