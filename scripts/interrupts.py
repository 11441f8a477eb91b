"""What ends a program from outside: it may clean up first. Standard library only."""

import signal
from collections.abc import Iterable
from types import FrameType

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interruptible(numbers: Iterable[signal.Signals] = INTERRUPTS) -> None:
    """Have these signals raise `KeyboardInterrupt`."""
    for number in numbers:
        signal.signal(number, _interrupt)


def uninterruptible() -> None:
    """From here on it is finished, whatever comes: a half would be worse than either."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
