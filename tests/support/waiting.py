"""Waiting for what happens by itself, and not a moment longer."""

import time
from collections.abc import Callable

DEADLINE = 90.0  # seconds; reached only where the test fails


def eventually(
    condition: Callable[[], object], message: Callable[[], object] = lambda: "", deadline: float = DEADLINE
) -> None:
    """Poll until a condition holds, ever more slowly.

    Raises:
        AssertionError: it did not within `deadline` seconds; with the message.

    """
    end = time.monotonic() + deadline
    pause = 0.01
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"after {deadline:.0f} s: {message()}")
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
