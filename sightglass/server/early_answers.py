"""An answer that is there before its request's body has arrived waits for the body, where that is short.

NGINX streams bodies. One that meets the answer while a body is under way lets the client keep its connection, by the
answer's head, and closes it all the same: the client's next request is lost. Applications answer early all the time,
to a POST that is not allowed or not found for one.
"""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHORT_BYTES = 65536
"""A longer body's answer does not wait: uvicorn reads no more than this ahead of the application."""

PATIENCE_SECONDS = 5.0
"""As long is a body waited for that a client has announced and does not send."""


class EarlyAnswers:
    """ASGI middleware around all others, on uvicorn's own request cycle; costs nothing where the body is there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        cycle = getattr(receive, "__self__", None)
        # A client that waits to be told "100 Continue" has not begun to send, and may never.
        if getattr(cycle, "more_body", False) and not cycle.waiting_for_100_continue and _is_short(scope):  # type: ignore[union-attr]
            send = _Held(cycle, send).send
        await self._app(scope, receive, send)


class _Held:
    """The sending side of one request."""

    __slots__ = ("_cycle", "_send")

    def __init__(self, cycle: Any, send: Send) -> None:
        self._cycle = cycle
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._cycle.more_body:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._body(), PATIENCE_SECONDS)
            if self._cycle.body:
                self._cycle.message_event.set()  # it may be read after the answer has begun
        await self._send(message)

    async def _body(self) -> None:
        cycle = self._cycle
        while cycle.more_body and not cycle.disconnected:
            cycle.message_event.clear()
            await cycle.message_event.wait()


def _is_short(scope: Scope) -> bool:
    length = next((value for name, value in scope.get("headers", ()) if name == b"content-length"), b"")
    return length.isdigit() and int(length) <= SHORT_BYTES
