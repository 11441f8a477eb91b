"""Turns in few threads, shared fairly: next is who has had the least of them lately.

Start-time fair queueing (Goyal, Vin, Cheng 1996), as Linux' CFS shares a processor: each client has a time of its own
that runs while its steps do, and begins, when it comes or comes back, where those who are served have got to.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

SLICE = 0.002
"""Seconds for which a turn goes on with steps that are shorter: handing over costs each of them a wait."""
REMEMBERED = 64
"""Clients, about, whose time is kept while it says nothing any more."""

T = TypeVar("T")


def take(steps: Iterator[T], use: Callable[[T], object]) -> bool:
    """Use what one turn's steps give; tell whether there is more."""
    end = time.monotonic() + SLICE
    for given in steps:
        use(given)
        if time.monotonic() >= end:
            return True
    return False


class Turns:
    """Threads that run short steps for clients, one of a client's at a time.

    The interpreter lock lets one compute at a time, and for one client there is one thread. A second is for who comes
    while another's long step runs: it need not wait for the end of that.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.thread_time, threads: int = 1) -> None:
        """Name the threads; `clock` tells in seconds what a step has cost the thread that asks."""
        self._executor = ThreadPoolExecutor(threads, name)
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}
        self._begun: dict[str, float] = {}  # by client, the steps that run
        self._reached: dict[str, float] = {}
        self._served = 0.0

    def submit(self, client: str, step: Callable[[], T]) -> "Future[T]":
        """Have a step run when it is the client's turn; a client's steps run in their order."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.setdefault(client, deque()).append((future, step))
        self._executor.submit(self._take)
        return future

    def run(self, client: str, step: Callable[[], T]) -> T:
        """Wait for a step's turn and its end; give what it gives, raise what it raises."""
        return self.submit(client, step).result()

    def stop(self) -> None:
        """Take no more steps; those that wait are cancelled."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for steps in waiting.values():
            for future, _ in steps:
                future.cancel()

    def busy(self) -> float:
        """Give the seconds for which the longest of the present steps has run, 0 when there is none."""
        with self._lock:
            return time.monotonic() - min(self._begun.values()) if self._begun else 0.0

    def _start(self, client: str) -> float:
        return max(self._served, self._reached.get(client, 0.0))

    def _take(self) -> None:
        """Run steps until none waits but of clients with one under way, whose threads take those."""
        while next_one := self._next():
            client, start, future, step = next_one
            before = self._clock()
            try:
                result = step()
            except BaseException as error:
                self._charge(client, start, before)
                future.set_exception(error)
            else:
                self._charge(client, start, before)
                future.set_result(result)

    def _next(self) -> "tuple[str, float, Future[Any], Callable[[], Any]] | None":
        with self._lock:
            while ready := self._waiting.keys() - self._begun.keys():
                client = min(ready, key=self._start)
                steps = self._waiting[client]
                future, step = steps.popleft()
                if not steps:
                    del self._waiting[client]
                if future.set_running_or_notify_cancel():
                    self._served = start = self._start(client)
                    self._begun[client] = time.monotonic()
                    return client, start, future, step
        return None

    def _charge(self, client: str, start: float, before: float) -> None:
        with self._lock:
            del self._begun[client]
            self._reached[client] = start + self._clock() - before
            if not self._waiting and not self._begun:
                self._served = max(self._served, self._reached[client])
            if len(self._reached) > 2 * REMEMBERED:  # a time that is behind those served says nothing
                self._reached = {name: time for name, time in self._reached.items() if time > self._served}
