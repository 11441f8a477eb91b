"""An application's own routes at the paths of the stack's endpoints: its verdict on its health counts, too.

A route the stack answers first would otherwise be lost without a word.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from sightglass.asgi.health import SharedCheck
from sightglass.route_table import route_table
from sightglass.routes import REST

logger = logging.getLogger(__name__)


class Shadowed:
    """The application's route at one path, behind the stack's.

    Args:
        app: the application.
        path: the route's.

    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path
        self._check = SharedCheck(path, self._ask)
        self._scope: Scope = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def reason(self, scope: Scope) -> str | None:
        """Return why the application is not well, by its own answer to a GET.

        That is a status of 500 or more, an exception or no answer in time. Anything less says nothing of its health:
        it may want a login, say.
        """
        self._scope = scope
        return await self._check.reason()

    async def _ask(self) -> str | None:
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        complete = asyncio.Event()
        messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if not messages:
                await complete.wait()
                return {"type": "http.disconnect"}
            return messages.pop()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start" and not started.done():
                started.set_result(message["status"])
            elif not message.get("more_body", False):
                complete.set()

        async def serve() -> None:
            await self._app({**self._scope, "method": "GET", "extensions": {}}, receive, send)

        task = asyncio.create_task(serve())  # what it does after its answer nobody waits for
        self._asking.add(task)
        task.add_done_callback(self._ended)
        either: set[asyncio.Future[Any]] = {started, task}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            status = started.result()
            return str(status) if status >= 500 else None
        error = None if task.cancelled() else task.exception()
        return type(error).__name__ if error else "no answer"

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._asking.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("the application's own %s failed", self._path, exc_info=error)


def find_shadowed(app: ASGIApp, asked: Iterable[str], others: Iterable[str]) -> dict[str, Shadowed]:
    """Return the application's own routes at paths that are asked, and say in the log which it has, of others too."""
    own = {template.removesuffix(REST) for _, template in route_table(app)}
    found = {path: Shadowed(app, path) for path in asked if path in own}
    lost = [path for path in others if path in own]
    if found:
        logger.warning("the application's own %s: asked, and a status of 500 or more fails ours", " and ".join(found))
    if lost:
        logger.warning("the application's own %s: not served, ours is", " and ".join(lost))
    return found
