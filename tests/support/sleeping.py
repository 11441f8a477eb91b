"""A sleep of a test's own."""

import threading
import time
from collections.abc import Callable


def sleep_here(instead: Callable[[float], object]) -> Callable[[float], None]:
    """Return a `time.sleep` that is `instead` in this thread, and itself in those that earlier tests have left."""
    here, real = threading.current_thread(), time.sleep

    def sleep(seconds: float) -> None:
        (instead if threading.current_thread() is here else real)(seconds)

    return sleep
