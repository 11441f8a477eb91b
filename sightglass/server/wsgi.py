"""A WSGI application (PEP 3333) served as an ASGI one, by a2wsgi, in threads.

Here is what a2wsgi leaves open: a body is read as it comes, a chunk at a time, and one that breaks off is an error; an
answer whose client has left, or that the server refuses, ends, so that no thread makes it for ever.
"""

import asyncio
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from a2wsgi import WSGIMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

THREADS = 40
"""Requests that a worker has under way at once, as many as FastAPI has of plain functions (AnyIO's default)."""
_CLIENT = "sightglass.wsgi.client"  # in the scope

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ClientLeftError(ConnectionResetError):
    """A body breaks off, since its client has left."""


class ServedWSGI:
    """An ASGI app that serves a WSGI one; `app` stays reachable for those who look for it."""

    def __init__(self, app: WSGIApp) -> None:
        self.app = app
        self._served: ASGIApp = WSGIMiddleware(self._call, workers=THREADS)  # type: ignore[assignment,arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope; a WebSocket is refused."""
        if scope["type"] != "http":
            await self._served(scope, receive, send)
            return
        client = _Client(receive, send)
        scope[_CLIENT] = client
        reading = asyncio.create_task(client.read())
        try:
            await self._served(scope, client.receive, client.send)
        finally:
            reading.cancel()
        if client.refusal is not None:
            raise client.refusal

    def _call(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        client: _Client = environ["asgi.scope"][_CLIENT]
        environ["wsgi.input"] = io.BufferedReader(_Body(client), buffer_size=65536)
        environ["wsgi.input_terminated"] = True  # it has an end without a Content-Length, too
        environ["wsgi.errors"] = sys.stderr
        return _Answer(self.app(environ, start_response), client)


class _Client:
    """What comes from the client; one message is read before it is asked for, to know when the client leaves.

    What goes to it ends at the first message that the server refuses: a2wsgi's thread would wait with the others.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._messages: asyncio.Queue[Message] = asyncio.Queue(1)
        self.loop = asyncio.get_running_loop()
        self.left = False
        self.refusal: Exception | None = None

    async def read(self) -> None:
        while not self.left:
            message = await self._receive()
            self.left = message["type"] == "http.disconnect"
            await self._messages.put(message)

    async def receive(self) -> Message:
        return await self._messages.get()

    async def send(self, message: Message) -> None:
        if self.refusal is None:
            try:
                await self._send(message)
            except Exception as error:
                self.refusal = error


class _Body(io.RawIOBase):
    """The request's body, read in the application's thread."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._rest = memoryview(b"")
        self._complete = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and not self._complete:
            message = asyncio.run_coroutine_threadsafe(self._client.receive(), self._client.loop).result()
            if message["type"] == "http.disconnect":
                raise ClientLeftError("the client left before its request was complete")
            self._complete = not message.get("more_body", False)
            self._rest = memoryview(message.get("body", b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class _Answer:
    """The application's iterable, as far as there is somebody to have it."""

    def __init__(self, chunks: Iterable[bytes], client: _Client) -> None:
        self._chunks = chunks
        self._client = client

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if self._client.left or self._client.refusal is not None:
                return
            yield chunk

    def close(self) -> None:
        getattr(self._chunks, "close", lambda: None)()
