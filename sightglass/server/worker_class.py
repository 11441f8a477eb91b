"""gunicorn's worker class, with an end in the right order.

``/ready`` fails first; after ``SHUTDOWN_DELAY`` the listener closes; requests in flight finish; the app's lifespan
ends; spans and log lines go out; the process ends, all of that within gunicorn's ``graceful_timeout``.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Generator
from types import FrameType
from typing import Any

import uvicorn_worker
from gunicorn.arbiter import Arbiter
from uvicorn import Config, Server

from sightglass.asgi.health import health
from sightglass.logs import writer
from sightglass.server.early_answers import EarlyAnswers
from sightglass.server.forwarded import ProxiesByName
from sightglass.server.halt import halt
from sightglass.server.protocol import Protocol
from sightglass.server.settings import load_settings

_LAST_SECONDS = 8  # for the app's own lifespan shutdown, the last spans (3) and the last lines (2)
_ACCEPTED_SECONDS = 0.2


def seconds_to_finish(graceful_timeout: int, delay: int) -> int:
    """Return the seconds that requests in flight have before they are cancelled: at least half of what is left."""
    left = graceful_timeout - delay
    return max(left - _LAST_SECONDS, left // 2, 1)


class _GracefulServer(Server):
    def __init__(self, config: Config, worker: "UvicornWorker", delay: int) -> None:
        super().__init__(config)
        self._worker = worker
        self._delay = delay
        self._exit_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        health.set_shutting_down()
        if sig == signal.SIGTERM and self._delay > 0:
            # gunicorn repeats SIGTERM every second while it waits.
            self._exit_at = self._exit_at or time.monotonic() + self._delay
        else:
            super().handle_exit(sig, frame)

    def quit(self) -> None:
        """Stop without waiting for requests in flight."""
        self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        delayed = self._exit_at is not None and time.monotonic() >= self._exit_at
        # The reloader only sets `alive`, and without its arbiter a worker would hold the port for ever.
        if delayed or not self._worker.alive or os.getppid() != self._worker.ppid:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: Any = None) -> None:  # noqa: ARG002
        health.set_shutting_down()  # a worker that has served its `max_requests` had no signal
        beating = asyncio.create_task(self._beat())
        for server in self.servers:
            server.close()
        # uvicorn closes connections without a request next: first read the requests of those accepted just now.
        await asyncio.sleep(_ACCEPTED_SECONDS)
        # The event loop's servers close their sockets; closing those once more is an error that gunicorn logs.
        await super().shutdown()
        beating.cancel()

    async def _beat(self) -> None:
        # uvicorn's heartbeat ends here, and the last may be half a `timeout` old: the arbiter would kill the draining
        # worker of a reload or a recycling. Not for ever, though: it should, when the end hangs.
        for _ in range(self._worker.cfg.graceful_timeout):
            self._worker.notify()
            await asyncio.sleep(1)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        handled = (signal.SIGINT, signal.SIGTERM)
        for sig in handled:
            signal.signal(sig, self.handle_exit)
        yield
        # uvicorn would now kill the process with the signal it got; it is ending, and its last lines are to be written.
        for sig in handled:
            signal.signal(sig, signal.SIG_IGN)


class UvicornWorker(uvicorn_worker.UvicornWorker):  # type: ignore[misc]
    """uvicorn under gunicorn: its access log off (ours has that line), no ``Server`` header, a bounded drain."""

    # An instrumented app always has a lifespan: one that is not answered is a failed start.
    CONFIG_KWARGS: dict[str, Any] = {  # noqa: RUF012 - the base's type
        "access_log": False,
        "http": Protocol,  # by itself: old uvicorns know names of their own alone
        "server_header": False,
        "lifespan": "on",
        "workers": 1,  # or uvicorn reads WEB_CONCURRENCY, the application's, and stumbles over some values
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delay = load_settings().shutdown_delay
        self.config.timeout_graceful_shutdown = seconds_to_finish(self.cfg.graceful_timeout, self._delay)

    def init_signals(self) -> None:
        """Take SIGABRT, too: the arbiter's word to a worker that hangs."""
        super().init_signals()
        signal.signal(signal.SIGABRT, self._aborted)

    def _aborted(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # What blocks the event loop runs in the context of its request. It never gets here where it holds the
        # interpreter, too: then the arbiter kills.
        self.log.critical("the event loop was blocked here", stack_info=True)
        writer.stdout.flush()
        signal.signal(sig, signal.SIG_DFL)
        os.kill(os.getpid(), sig)

    async def _serve(self) -> None:
        names = load_settings().forwarded_allow_names
        self.config.app = EarlyAnswers(ProxiesByName(self.wsgi, names) if names else self.wsgi)
        server = _GracefulServer(self.config, self, self._delay)
        # The base class leaves SIGQUIT, gunicorn's quick stop, without effect.
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, server.quit)
        # uvicorn exits by itself where the lifespan's start failed, and returns where it could not listen.
        with contextlib.suppress(SystemExit):
            # The bare sockets: gunicorn's wrappers log an error when uvloop closes them.
            await server.serve(sockets=[listener.sock for listener in self.sockets])
        if not server.started:
            halt(Arbiter.WORKER_BOOT_ERROR)
