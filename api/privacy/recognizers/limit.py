"""The bound of CPU time that one window's search has, so that no text takes the model from the others."""

import time
from collections.abc import Callable

from api.problem import ProblemError

WINDOW_CPU_SECONDS = 1.0
"""CPU time that the search of a window may take; the costliest texts known take a thirtieth of it."""


TICKS = 64
"""Small steps between two looks at the clock, each of which costs about as much as a step."""


class SearchLimitError(ProblemError):
    """A window's search met its bound: 422, as the same text would meet it again. Nothing of the text is given out."""

    def __init__(self) -> None:
        super().__init__(422, "The text cannot be searched within the CPU time a part of it may take")


class Budget:
    """What is left of a window's CPU time in seconds; it is the thread's own, whatever else the processor does."""

    def __init__(self, seconds: float = WINDOW_CPU_SECONDS, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._ticks = 0

    def left(self) -> float:
        """Give the seconds that are left, above 0.

        Raises:
            SearchLimitError: there are none.

        """
        left = self._end - self._clock()
        if left <= 0:
            raise SearchLimitError
        return left

    def tick(self) -> None:
        """Count a small step; raises as `left`, at the first step and every so many."""
        if self._ticks % TICKS == 0:
            self.left()
        self._ticks += 1
