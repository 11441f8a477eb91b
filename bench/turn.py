"""A way of observing in a process of its own: each line on stdin asks for a round, each on stdout tells its cost.

`bench.request_cost` and what it measures come from the tree that ``PYTHONPATH`` names, which may be an older one.
"""

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Message

from bench.request_cost import LOGGER, REQUESTS, WAYS, measure


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[None]:
    """Have an app started, and stopped afterwards, as a server does."""
    told: asyncio.Queue[Message] = asyncio.Queue()
    heard: asyncio.Queue[Message] = asyncio.Queue()

    async def serve() -> None:
        await app({"type": "lifespan", "state": {}}, told.get, heard.put)

    serving = asyncio.create_task(serve())
    await told.put({"type": "lifespan.startup"})
    assert (await heard.get())["type"] == "lifespan.startup.complete"
    yield
    await told.put({"type": "lifespan.shutdown"})
    await serving


async def serve_rounds(app: ASGIApp) -> None:
    """Serve one for each line on stdin."""
    async with started(app):
        for _ in range(10):
            await measure(app, REQUESTS)
        gc.freeze()
        for _ in sys.stdin:
            print(await measure(app, REQUESTS), flush=True)


def main() -> None:
    """Serve rounds of the way whose name is the argument, in CPU microseconds a request, until stdin ends."""
    logging.getLogger(LOGGER).setLevel(logging.INFO)
    with asyncio.Runner() as runner:
        runner.run(serve_rounds(WAYS[sys.argv[1]]()))


if __name__ == "__main__":
    main()
