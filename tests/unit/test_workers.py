"""The uvicorn server inside a gunicorn worker, where a whole server would take too long to show it."""

import asyncio
import os
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn import Config

from sightglass.asgi.health import health
from sightglass.server.worker_class import _GracefulServer


class Arbitrated:
    """What the server asks of its worker."""

    class cfg:  # noqa: N801
        graceful_timeout = 3

    alive = True
    ppid = os.getppid()
    beats = 0

    def notify(self) -> None:
        self.beats += 1


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def test_draining_worker_keeps_its_heartbeat_for_the_grace_only(monkeypatch: Any) -> None:
    monkeypatch.setattr(health, "_shutting_down", False)
    seconds: list[float] = []
    sleep = asyncio.sleep

    async def quick(delay: float) -> None:
        if delay == 1:
            seconds.append(delay)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", quick)
    worker: Any = Arbitrated()
    server = _GracefulServer(Config(app, log_config=None), worker, 0)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[])
    request = asyncio.get_running_loop().create_future()
    server.server_state.tasks.add(request)  # type: ignore[arg-type]
    ending = asyncio.create_task(server.shutdown())
    async with asyncio.timeout(10):
        while worker.beats < 3:
            await sleep(0.01)
    for _ in range(100):
        await sleep(0)
    assert worker.beats == len(seconds) == 3
    assert not ending.done()
    server.server_state.tasks.clear()
    await ending
    assert (await health.readiness())[0] == 503
