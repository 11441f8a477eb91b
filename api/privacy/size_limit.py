"""A limit on request bodies, enforced while they are read.

Starlette's own limit answers in plain text when the body announces its length; every error here is a problem.
"""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problem import ProblemError


class RequestSizeLimit:
    """ASGI middleware: reading more than a path's limit, in bytes, raises a 413, before the first byte if announced."""

    def __init__(self, app: ASGIApp, *, default: int, paths: Mapping[str, int]) -> None:
        self._app = app
        self._default = default
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._paths.get(scope["path"], self._default)
        announced = Headers(scope=scope).get("content-length", "0")
        # A server passes on digits only; anything else is for it to refuse, and is counted as it comes.
        left = limit if not announced.isdecimal() or int(announced) <= limit else -1

        async def limited() -> Message:
            nonlocal left
            if left >= 0:
                message = await receive()
                left -= len(message.get("body", b""))
            if left < 0:
                # The rest of the body is still on its way: the connection cannot be used again.
                raise ProblemError(413, f"The body may have {limit} bytes", headers={"Connection": "close"})
            return message

        await self._app(scope, limited, send)
