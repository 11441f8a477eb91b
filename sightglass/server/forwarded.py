"""Whose ``X-Forwarded-For`` and ``-Proto`` are believed: the proxy's, found by its name, whatever its address is now.

uvicorn believes fixed addresses and networks. In a container network neither is known beforehand, and a range that is
wide enough to hold the proxy holds its neighbours, too.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from sightglass.exchange import EDGE

_log = logging.getLogger(__name__)

FRESH_SECONDS = 10.0  # so old may an answer of the DNS be; it is renewed beside the requests
STRANGER_SECONDS = 1.0  # the least between two questions about the same stranger
LOOKUP_SECONDS = 2.0

Resolve = Callable[[str], Awaitable[Iterable[str]]]


async def resolve(name: str) -> set[str]:
    """Return a name's addresses.

    Raises:
        OSError: there are none, or nobody can tell.

    """
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return {str(address[0]) for _, _, _, _, address in found}


class ProxiesByName:
    """ASGI middleware: a request has the client and scheme its headers name if one of `names` resolves to its peer."""

    def __init__(
        self,
        app: ASGIApp,
        names: Sequence[str],
        *,
        resolve: Resolve = resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._names = names
        self._resolve = resolve
        self._clock = clock
        self._addresses: dict[str, set[str]] = {}  # by name
        self._trusted: set[str] = set()
        self._believing = ProxyHeadersMiddleware(app, [])  # type: ignore[arg-type]
        self._strangers: set[str] = set()  # who asked since the last look, and was none of the trusted
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        peer = scope["client"][0] if scope.get("client") else None
        if peer in self._trusted:
            if self._clock() - self._looked_at > FRESH_SECONDS:
                self._look()
        elif peer is not None and _is_forwarded(scope):
            await self._meet(peer)
        if peer in self._trusted:
            scope[EDGE] = True
            await self._believing(scope, receive, send)  # type: ignore[arg-type]
        else:
            await self._app(scope, receive, send)

    async def _meet(self, peer: str) -> None:
        """Find out whether it is a proxy that was started, or has moved, since the last look."""
        if peer not in self._strangers or self._clock() - self._looked_at > STRANGER_SECONDS:
            await asyncio.shield(self._look())  # the client may leave; others wait for the same answer
            if peer not in self._trusted:
                self._strangers.add(peer)

    def _look(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_up())
        return self._looking

    async def _look_up(self) -> None:
        for name in self._names:
            try:
                self._addresses[name] = set(await asyncio.wait_for(self._resolve(name), LOOKUP_SECONDS))
            # No answer changes nothing: what was so a moment ago is likelier than nothing.
            except (OSError, asyncio.TimeoutError) as error:  # noqa: UP041 - which was no OSError before Python 3.11
                _log.debug("the proxy's name has no address", extra={"name_asked": name, "error": str(error)})
        trusted = set().union(*self._addresses.values())
        if trusted != self._trusted:
            self._trusted = trusted
            self._believing = ProxyHeadersMiddleware(self._app, sorted(trusted))  # type: ignore[arg-type]
        self._strangers = set()
        self._looked_at = self._clock()


def _is_forwarded(scope: Scope) -> bool:
    return any(name in (b"x-forwarded-for", b"x-forwarded-proto") for name, _ in scope["headers"])
