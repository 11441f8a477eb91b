"""Waiting for what happens by itself, and not a moment longer."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 180.0  # seconds; reached only where the test fails


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


def awaited(probe: Callable[[], T], wanted: Callable[[T], object] = bool) -> T:
    """Probe until it shows what is wanted, and return that; a connection that fails is not it yet."""
    found: list[T | OSError] = []

    def shown() -> object:
        found.clear()
        try:
            value = probe()
        except OSError as error:
            found.append(error)
            return False
        found.append(value)
        return wanted(value)

    eventually(shown, lambda: f"still {found}", longest_pause=0.05)
    (value,) = found
    assert not isinstance(value, OSError)
    return value
