"""Waiting for what happens by itself, and not a moment longer."""

import time
from collections.abc import Callable

DEADLINE = 90.0  # seconds; reached only where the test fails


def eventually(
    condition: Callable[[], object],
    message: Callable[[], object] = lambda: "",
    deadline: float = DEADLINE,
    *,
    longest_pause: float = 0.5,
) -> None:
    """Poll until a condition holds, ever more slowly; pauses are of 0.01 to `longest_pause` seconds.

    Raises:
        AssertionError: it did not within `deadline` seconds; with the message.

    """
    end = time.monotonic() + deadline
    pause = 0.01
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"after {deadline:.0f} s: {message()}")
        time.sleep(pause)
        pause = min(2 * pause, longest_pause)
