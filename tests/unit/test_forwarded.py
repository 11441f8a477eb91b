"""Who is believed about a request's client and scheme: whoever the proxy's names resolve to now, and nobody else."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from sightglass.server import forwarded
from sightglass.server.forwarded import FRESH_SECONDS, STRANGER_SECONDS, ProxiesByName

EDGE, OTHER = "100.64.77.3", "100.64.77.9"
CLIENT = "203.0.113.7"


class World:
    """A DNS that can be changed, a clock that can be set, and what the application was told."""

    def __init__(self, **addresses: Iterable[str]) -> None:
        self.addresses: dict[str, Iterable[str] | OSError] = dict(addresses)
        self.now = 0.0
        self.lookups: list[str] = []
        self.told: list[tuple[str | None, str]] = []
        self.middleware = ProxiesByName(self.app, list(addresses), resolve=self.resolve, clock=lambda: self.now)

    async def resolve(self, name: str) -> Iterable[str]:
        self.lookups.append(name)
        await asyncio.sleep(0)
        found = self.addresses[name]
        if isinstance(found, OSError):
            raise found
        return found

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.told.append((scope["client"] and scope["client"][0], scope["scheme"]))

    async def ask(self, peer: str | None, kind: str = "http", **headers: str) -> tuple[str | None, str]:
        given = headers or {"x-forwarded-for": CLIENT, "x-forwarded-proto": "https"}
        scope: dict[str, Any] = {
            "type": kind,
            "scheme": "ws" if kind == "websocket" else "http",
            "client": peer and (peer, 1),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        }
        await self.middleware(scope, None, None)  # type: ignore[arg-type]
        told = self.told[-1]
        for _ in range(20):  # what goes on beside it
            await asyncio.sleep(0)
        return told


@pytest.mark.parametrize("address", ["172.18.0.3", "10.0.0.3", "100.64.77.3", "203.0.113.3", "2001:db8::3"])
def test_the_proxy_is_believed_whatever_its_address(address: str) -> None:
    async def check() -> None:
        world = World(edge=[address])
        assert await world.ask(address) == (CLIENT, "https")
        assert await world.ask(address, "websocket") == (CLIENT, "wss")

    asyncio.run(check())


@pytest.mark.parametrize("peer", [OTHER, "127.0.0.1", "172.18.0.3", CLIENT, None])
def test_no_other_is(peer: str | None) -> None:
    async def check() -> None:
        world = World(edge=[EDGE])
        assert await world.ask(peer) == (peer, "http")
        assert await world.ask(EDGE) == (CLIENT, "https")
        assert await world.ask(peer) == (peer, "http")

    asyncio.run(check())


def test_nobody_is_looked_up_for_what_says_nothing() -> None:
    async def check() -> None:
        world = World(edge=[EDGE])
        assert await world.ask(OTHER, host="api") == (OTHER, "http")
        assert world.lookups == []

    asyncio.run(check())


def test_a_proxy_that_moves_is_believed_at_once_and_its_old_address_soon_not() -> None:
    async def check() -> None:
        world = World(edge=[EDGE], second=["10.0.0.1"])
        assert await world.ask(EDGE) == (CLIENT, "https")
        world.addresses["edge"] = [OTHER]
        assert await world.ask(OTHER) == (CLIENT, "https")
        assert await world.ask(EDGE) == (EDGE, "http")
        world.addresses["edge"] = ["10.0.0.2"]
        world.now += FRESH_SECONDS + 1
        assert await world.ask(OTHER) == (CLIENT, "https")  # not held up: the look goes on beside it …
        assert await world.ask(OTHER) == (OTHER, "http")  # … and now it is known
        assert await world.ask("10.0.0.1") == (CLIENT, "https")

    asyncio.run(check())


def test_no_answer_of_the_dns_takes_nothing_away() -> None:
    async def check() -> None:
        world = World(edge=[EDGE])
        world.addresses["edge"] = OSError("temporary failure in name resolution")
        assert await world.ask(EDGE) == (EDGE, "http")
        world.addresses["edge"] = [EDGE]
        world.now += STRANGER_SECONDS + 0.1
        assert await world.ask(EDGE) == (CLIENT, "https")
        world.addresses["edge"] = OSError("temporary failure in name resolution")
        world.now += FRESH_SECONDS + 1
        for _ in range(3):
            assert await world.ask(EDGE) == (CLIENT, "https")

    asyncio.run(check())


def test_a_flood_of_strangers_is_one_question_a_second() -> None:
    async def check() -> None:
        world = World(edge=[EDGE])
        await asyncio.gather(*(world.ask(OTHER) for _ in range(100)))
        for _ in range(100):
            assert await world.ask(OTHER) == (OTHER, "http")
        assert world.lookups == ["edge"]
        world.now += STRANGER_SECONDS + 0.1
        await asyncio.gather(*(world.ask(OTHER) for _ in range(100)))
        assert world.lookups == ["edge"] * 2

    asyncio.run(check())


def test_names_are_resolved_as_the_system_does() -> None:
    assert "127.0.0.1" in asyncio.run(forwarded.resolve("localhost"))
    with pytest.raises(OSError, match=r"."):
        asyncio.run(forwarded.resolve("nowhere.invalid"))
