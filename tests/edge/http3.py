"""A client that speaks HTTP/3 and nothing else, for as much of it as these tests need."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

from tests.edge.containers import Edge

DEADLINE = 20.0  # seconds for one exchange


class Answer(NamedTuple):
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Http3(QuicConnectionProtocol):
    """One connection."""

    _http: H3Connection | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        """Collect what belongs to a request; a lost connection fails all that wait."""
        if self._http is None:
            self._http = H3Connection(self._quic)
            self._waiting: dict[int, tuple[asyncio.Future[Answer], list[H3Event]]] = {}
        if isinstance(event, ConnectionTerminated):
            for future, _ in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError(f"{event.error_code} {event.reason_phrase}"))
        for received in self._http.handle_event(event):
            if isinstance(received, HeadersReceived | DataReceived) and received.stream_id in self._waiting:
                future, events = self._waiting[received.stream_id]
                events.append(received)
                if received.stream_ended and not future.done():
                    future.set_result(assemble(events))

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
        name: str = "localhost",
    ) -> Answer:
        """Send one request and wait for its answer.

        Raises:
            ConnectionError: the connection ended first.
            TimeoutError: no answer in time.

        """
        assert self._http is not None
        stream = self._quic.get_next_available_stream_id()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[stream] = (future, [])
        head = [(":method", method), (":scheme", "https"), (":authority", name), (":path", path), *headers]
        self._http.send_headers(stream, [(k.encode(), v.encode()) for k, v in head], end_stream=not body)
        if body:
            self._http.send_data(stream, body, end_stream=True)
        self.transmit()
        return await asyncio.wait_for(future, DEADLINE)


def assemble(events: Sequence[H3Event]) -> Answer:
    """Make an answer of a request's events."""
    headers: dict[str, str] = {}
    body = b""
    for event in events:
        if isinstance(event, HeadersReceived):
            headers |= {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, DataReceived):
            body += event.data
    return Answer(int(headers.pop(":status")), headers, body)


@asynccontextmanager
async def http3(edge: Edge, name: str = "localhost") -> AsyncIterator[Http3]:
    """Connect to an edge's UDP port, trusting its certificate.

    Raises:
        ConnectionError: it refuses, or does not answer.

    """
    trusted = QuicConfiguration(
        alpn_protocols=H3_ALPN, is_client=True, cafile=str(edge.certificate), server_name=name, idle_timeout=DEADLINE
    )
    async with connect(
        edge.network.address(edge.container), 8443, configuration=trusted, create_protocol=Http3
    ) as connection:
        assert isinstance(connection, Http3)
        yield connection
