"""A limit on request bodies, enforced while they are read, and on the memory of those that are still on their way.

Starlette's own limit answers in plain text when the body announces its length; every error here is a problem.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from tempfile import SpooledTemporaryFile

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problem import ProblemError

IN_MEMORY = 64 * 1024
"""Bytes of a body kept in memory while the rest is awaited: who sends slowly holds no more, however many there are."""

logger = logging.getLogger(__name__)


class RequestSizeLimit:
    """ASGI middleware: reading more than a path's limit, in bytes, raises a 413, before the first byte if announced.

    Args:
        app: what it is for.
        default: the limit of a path that is not in `paths`, whose bodies are streams.
        paths: limits of those whose bodies are parsed in memory as a whole, once they are here.
        directory: where the longer ones of those wait for their rest.

    """

    def __init__(self, app: ASGIApp, *, default: int, paths: Mapping[str, int], directory: Path) -> None:
        self._app = app
        self._default = default
        self._paths = paths
        self._directory = str(directory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        whole = scope["path"] in self._paths
        limit = self._paths[scope["path"]] if whole else self._default
        announced = Headers(scope=scope).get("content-length", "0")
        # A server passes on digits only; anything else is for it to refuse, and is counted as it comes.
        left = limit if not announced.isdecimal() or int(announced) <= limit else -1

        async def limited() -> Message:
            nonlocal left
            if left >= 0:
                message = await receive()
                left -= len(message.get("body", b""))
            if left < 0:
                # No `Connection: close`: with the rest unread, that resets the connection, and the answer may be lost.
                # The server reads on and drops what comes.
                raise ProblemError(413, f"The body may have {limit} bytes")
            return message

        async def gathered() -> Message:
            message = await limited()
            return await self._gather(message, limited) if message.get("more_body", False) else message

        await self._app(scope, gathered if whole else limited, send)

    async def _gather(self, message: Message, receive: Receive) -> Message:
        """Return the whole body as one message, or that the client left.

        Raises:
            ProblemError: 413, the body is over its limit; 507, there is no room.

        """
        try:
            with SpooledTemporaryFile(IN_MEMORY, dir=self._directory) as file:
                while True:
                    await _write(file, message.get("body", b""))
                    if not message.get("more_body", False):
                        break
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return message
                file.seek(0)
                return {"type": "http.request", "body": file.read(), "more_body": False}
        except OSError as error:
            logger.error("no room for a body: %s", error.strerror)
            raise ProblemError(507, "There is no room for the body") from None


async def _write(file: SpooledTemporaryFile[bytes], data: bytes) -> None:
    if file.tell() + len(data) > IN_MEMORY:  # a disk's time is not the event loop's
        await asyncio.to_thread(file.write, data)
    else:
        file.write(data)
