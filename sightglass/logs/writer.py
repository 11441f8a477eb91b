"""Log lines leave the process here: a bounded queue in memory and one thread that writes to stdout.

A full pipe, a stopped terminal or a slow disk blocks that thread and nothing else. Beyond the bound lines are dropped,
counted in ``sightglass_log_lines_dropped_total`` and, once output flows again, said in the log.
"""

import atexit
import fcntl
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing import util
from typing import Any

from prometheus_client import Counter

CAPACITY = 10_000  # lines waiting for stdout; about 5 MB of request lines
_BATCH_LINES = 256
_BATCH_SECONDS = 0.05  # lines of this long share one write: waking a thread for each costs more than the line

LINES_DROPPED = Counter("sightglass_log_lines_dropped", "Log lines lost because stdout did not take them in time.")


class LogWriter:
    """Writes rendered lines to a file descriptor, in order, from a thread of its own.

    Rendering happens in the thread too: `put` takes the function and what to give it.

    Args:
        descriptor: where the lines go.
        capacity: how many lines may wait; a line beyond that is dropped.

    """

    def __init__(self, descriptor: int, *, capacity: int = CAPACITY) -> None:
        self._descriptor = descriptor
        self._capacity = capacity
        # Forked workers share one stdout, and a pipe takes only 4 KiB at once whole; record locks belong to a process.
        self._turn = os.memfd_create("log-turn")
        self.describe_dropped: Callable[[int], bytes] = lambda count: b"%d log lines dropped\n" % count
        self._reset()

    def _reset(self) -> None:
        self._queue: deque[tuple[Callable[[Any], bytes], Any]] = deque()
        self._wake = threading.Event()
        self._flushing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._dropped = 0

    def after_fork(self) -> None:
        """Start afresh in a child: the lines waiting at the fork, and the thread, are the parent's."""
        self._reset()

    def put(self, render: Callable[[Any], bytes], item: Any) -> None:
        """Queue the line ``render(item)``, newline included; never blocks and never raises."""
        if len(self._queue) >= self._capacity:
            self._drop(1)
            return
        self._queue.append((render, item))
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._start()

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until every queued line is written, for at most ``timeout`` seconds; say whether it is."""
        deadline = time.monotonic() + timeout
        self._flushing.set()
        try:
            while self._queue or self._busy:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.002)
        finally:
            self._flushing.clear()
        return True

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                # A daemon: a blocked stdout must not keep the process from ending.
                thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # there are too many of them now: the next line asks again
                    self._wake.clear()
                else:
                    self._thread = thread

    def _drop(self, lines: int) -> None:
        with self._lock:
            self._dropped += lines
        LINES_DROPPED.inc(lines)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                self._busy = True
                self._write_batch()
            self._busy = False
            self._flushing.wait(_BATCH_SECONDS)

    def _write_batch(self) -> None:
        lines: list[bytes] = []
        while self._queue and len(lines) < _BATCH_LINES:
            render, item = self._queue.popleft()
            try:
                lines.append(render(item))
            except Exception:  # one object that cannot be rendered must not end the log
                self._drop(1)
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(self.describe_dropped(dropped))
        try:
            self._write(b"".join(lines))
        except OSError:  # stdout is gone for good: nobody is left to tell
            LINES_DROPPED.inc(len(lines))

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        fcntl.lockf(self._turn, fcntl.LOCK_EX)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # another process made the shared stdout non-blocking
                    select.select([], [self._descriptor], [])
        finally:
            fcntl.lockf(self._turn, fcntl.LOCK_UN)


def _own_stdout() -> int:
    """Return a descriptor for what is stdout now, whatever becomes of ``sys.stdout`` and of 1."""
    try:
        return fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:  # started without a stdout
        return os.open(os.devnull, os.O_WRONLY)


stdout = LogWriter(_own_stdout())
os.register_at_fork(after_in_child=stdout.after_fork)
atexit.register(stdout.flush)  # the standard library flushes only handlers that no new configuration has replaced
# Its children end without that.
util.register_after_fork(stdout, lambda writer: util.Finalize(None, writer.flush, exitpriority=-100))
