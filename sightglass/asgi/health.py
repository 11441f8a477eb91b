"""Liveness and readiness: a registry of named checks an app can add to, and the answers made of them."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sightglass.settings import load_settings

CheckResult = bool | str | None
Check = Callable[[], CheckResult | Awaitable[CheckResult]]

CHECK_SECONDS = 2.0
MODEL_CHECK = "model"  # its outcome is the answer's ``model_loaded``


class Health:
    """What the process knows about its own condition.

    Args:
        version: the version `liveness` names; ``APP_VERSION`` when None.

    """

    def __init__(self, version: str | None = None) -> None:
        self._version = version
        self._started = time.monotonic()
        self._checks: dict[str, SharedCheck] = {}
        self._live: set[str] = set()
        self._shutting_down = False

    def add_check(self, name: str, check: Check, *, live: bool = False) -> None:
        """Add a check, or replace the one of that name.

        Args:
            name: what the answer calls it.
            check: a function or coroutine function; None or True mean fine, False or a reason mean not, as does an
                exception, of which only the type is told. A function runs in a thread, so it may block. It has
                `CHECK_SECONDS`; then it counts as failed, and is not started again before it has ended.
            live: whether the process should be restarted when the check fails: it decides `liveness` too.

        """
        self._checks[name] = SharedCheck(name, check)
        self._live.discard(name)
        if live:
            self._live.add(name)

    def set_started(self) -> None:
        """Make `readiness` depend on the checks, after a shutdown too."""
        self._shutting_down = False

    def set_shutting_down(self) -> None:
        """Make `readiness` fail from now on."""
        self._shutting_down = True

    async def liveness(self) -> tuple[int, dict[str, Any]]:
        """Return the status code and body of ``/health``.

        Without a check named "model" there is no model, and ``model_loaded`` is false.
        """
        asked = [check for name, check in self._checks.items() if name in self._live or name == MODEL_CHECK]
        reasons = await _run(asked)
        healthy = self._live.isdisjoint(reasons)
        return 200 if healthy else 503, {
            "status": "healthy" if healthy else "unhealthy",
            "version": self._version or load_settings().app_version,
            "uptime": round(time.monotonic() - self._started, 3),
            "model_loaded": MODEL_CHECK in self._checks and MODEL_CHECK not in reasons,
        }

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """Return the status code and body of ``/ready``."""
        if self._shutting_down:
            return 503, {"ready": False, "reasons": ["shutting down"]}
        reasons = await _run(list(self._checks.values()))
        if reasons:
            return 503, {"ready": False, "reasons": [f"{name}: {reason}" for name, reason in reasons.items()]}
        return 200, {"ready": True}


class SharedCheck:
    """A check with a limit of time, run once for all who ask at the same time."""

    def __init__(self, name: str, check: Check) -> None:
        self.name = name
        self._check = check
        self._running: asyncio.Future[str | None] | None = None

    async def reason(self) -> str | None:
        """Return why the check fails, None when it passes; probes at the same time share one run."""
        running = self._running
        # What a run found that has ended before, too late for its own probe, may not be true any more.
        if running is None or running.done() or running.get_loop() is not asyncio.get_running_loop():
            running = self._running = asyncio.ensure_future(self._outcome())
        await asyncio.wait({running}, timeout=CHECK_SECONDS)
        return running.result() if running.done() else f"no answer within {CHECK_SECONDS:g} s"

    async def _outcome(self) -> str | None:
        try:
            if inspect.iscoroutinefunction(self._check):
                result = await self._check()
            else:
                result = await _in_thread(self._check)
                if inspect.isawaitable(result):
                    result = await result
        except Exception as error:
            return type(error).__name__
        if isinstance(result, str):
            return result
        return None if result is None or result else "failed"


async def _run(checks: list[SharedCheck]) -> dict[str, str]:
    reasons = await asyncio.gather(*(check.reason() for check in checks))
    return {check.name: reason for check, reason in zip(checks, reasons, strict=True) if reason is not None}


async def _in_thread(function: Callable[[], Any]) -> Any:
    # Not the event loop's own threads: a check that never returns would keep the process from ending.
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not done.done():
            done.set_result(result) if error is None else done.set_exception(error)

    def call() -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = (function(), None)
        except Exception as error:
            outcome = (None, error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=call, name="health-check", daemon=True).start()
    return await done


health = Health()
