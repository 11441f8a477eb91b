"""The lifespan of an instrumented app: what starts before it and ends after it, whether it has one itself or not."""

import logging
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Hook = Callable[[], Awaitable[None]]

logger = logging.getLogger(__name__)


class Lifespan:
    """Runs an app's lifespan between hooks of ours (ASGI lifespan protocol 2.0).

    Args:
        app: the app; one that does not know the protocol is given one.
        start: runs before the app starts; when it raises, the app is not started and the server hears why.
        started: runs when the app has started, before the server hears it and sends requests.
        stopping: runs when the server says it stops, before the app hears it.
        stopped: runs when the app has stopped, before the server hears it: the last moment that is sure to come.

    """

    def __init__(self, app: ASGIApp, *, start: Hook, started: Hook, stopping: Hook, stopped: Hook) -> None:
        self._app = app
        self._start = start
        self._started = started
        self._stopping = stopping
        self._stopped = stopped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one lifespan scope."""
        received: list[str] = []
        answered: list[str] = []

        async def app_receive() -> Message:
            message = await receive()
            received.append(message["type"])
            if message["type"] == "lifespan.shutdown":
                await self._stopping()
            return message

        async def app_send(message: Message) -> None:
            answered.append(message["type"])
            if message["type"] == "lifespan.startup.complete":
                await self._started()
            elif message["type"].startswith("lifespan.shutdown"):
                await self._stopped()
            await send(message)

        try:
            await self._start()
        except Exception as error:
            logger.debug("the instrumentation did not start", exc_info=error)
            reason = " ".join(f"{type(error).__qualname__}: {error}".split())
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"the instrumentation did not start: {reason}"})
            return
        try:
            await self._app(scope, app_receive, app_send)
        except Exception:
            if answered:
                raise
        # An app that knows the protocol has answered both messages, or has said that it failed.
        if not answered:
            if not received:
                await app_receive()
            await app_send({"type": "lifespan.startup.complete"})
        if answered == ["lifespan.startup.complete"]:
            if "lifespan.shutdown" not in received:
                await app_receive()
            await app_send({"type": "lifespan.shutdown.complete"})
