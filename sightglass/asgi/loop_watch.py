"""What blocked the event loop: a thread asks it for a sign of life and, when none comes, looks where it stands.

The thread reads the interpreter's own frames (`sys._current_frames`): no signal, no ptrace, nothing on the loop but an
empty callback. Native code that holds the interpreter holds the thread, too; it looks as soon as that is over, when the
line that called is still the one that is run.
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from time import monotonic, process_time
from types import FrameType
from typing import Any, NamedTuple

from prometheus_client import Counter

from sightglass.context import RequestContext, current_request
from sightglass.logs.lines import name_of

BLOCKED = Counter("sightglass_event_loop_blocked", "Times that the event loop stood still for longer than allowed.")

LINE_SECONDS = 10.0
"""The least between two lines; what is not told meanwhile is counted in the next one."""
_PATIENCE_SECONDS = 5.0  # a loop that stands for longer is told of before it goes on: gunicorn may kill it first
_FRAMES = 50  # the innermost ones

_MESSAGE = "the event loop was blocked"

logger = logging.getLogger(__name__)


class LoopWatch:
    """Watches one event loop.

    Args:
        threshold: seconds that it may stand still.

    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._stopped = threading.Event()
        self._told_at = float("-inf")
        self._untold = 0

    def start(self) -> None:
        """Watch the loop that runs in this thread."""
        self._stopped = threading.Event()  # a thread that was stopped before stays so
        where = (asyncio.get_running_loop(), threading.get_ident(), self._stopped)
        threading.Thread(target=self._run, args=where, name="loop-watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self, loop: asyncio.AbstractEventLoop, thread: int, stopped: threading.Event) -> None:
        while not stopped.wait(self._threshold / 4):
            alive = threading.Event()
            asked, used = monotonic(), process_time()
            try:
                loop.call_soon_threadsafe(alive.set)
            except RuntimeError:  # it is closed
                return
            if alive.wait(self._threshold) or self._starved(monotonic() - asked, process_time() - used):
                continue
            place = _look(loop, thread)
            BLOCKED.inc()
            alive.wait(_PATIENCE_SECONDS)
            self._tell(monotonic() - asked, place)
            while not (alive.wait(1) or stopped.is_set()):
                pass

    def _starved(self, elapsed: float, used: float) -> bool:
        """Tell whether nothing of this process ran, this thread neither: it was stopped, or got no CPU."""
        return elapsed > 1.5 * self._threshold and used < elapsed / 2

    def _tell(self, seconds: float, place: "_Place") -> None:
        now = monotonic()
        if now - self._told_at < LINE_SECONDS:
            self._untold += 1
            return
        self._told_at = now
        extra: dict[str, Any] = {"duration": round(seconds, 3), "stack": place.stack}
        if self._untold:
            extra["untold"], self._untold = self._untold, 0
        token = current_request.set(place.request)
        try:
            # The line's module, function and line are those that blocked.
            logger.handle(
                logger.makeRecord(
                    logger.name, logging.WARNING, place.file, place.line, _MESSAGE, (), None, place.function, extra
                )
            )
        finally:
            current_request.reset(token)


class _Place(NamedTuple):
    """Where a loop stood: the innermost frame, all of them (``file:line in function``, outermost first), for whom."""

    file: str
    line: int
    function: str
    stack: list[str]
    request: RequestContext | None


def _look(loop: asyncio.AbstractEventLoop, thread: int) -> _Place:
    innermost = sys._current_frames().get(thread)
    frames = list(islice(_outward(innermost), _FRAMES))
    described = [(one.f_code.co_filename, one.f_lineno or 0, name_of(one)) for one in frames]
    file, line, function = described[0] if described else ("unknown", 0, "unknown")
    stack = [f"{file}:{line} in {function}" for file, line, function in reversed(described)]
    return _Place(file, line, function, stack, _request(loop, innermost))


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _request(loop: asyncio.AbstractEventLoop, innermost: FrameType | None) -> RequestContext | None:
    """Find the request that the task at hand works for."""
    task = asyncio.current_task(loop)
    if task is not None and hasattr(task, "get_context"):  # since Python 3.12
        found: RequestContext | None = task.get_context().get(current_request)
        return found
    # Before, only where the request's own task is at hand: its outermost layer is on the stack.
    for frame in _outward(innermost):
        if frame.f_code.co_name == "__call__" and isinstance(context := frame.f_locals.get("context"), RequestContext):
            return context
    return None
