"""The end of a server whose workers cannot start.

All of them find the same thing, and gunicorn's arbiter stumbles, with a traceback, over a second worker that tells it
to stop: so the first one does, and the others just end.
"""

import mmap
import sys
from typing import NoReturn

_halting = mmap.mmap(-1, 1)  # shared by forked workers: to be imported before the fork


def halt(status: int, line: str | None = None) -> NoReturn:
    """End this process; the first to do so with the status, and with the line on stderr.

    Args:
        status: gunicorn's `Arbiter.APP_LOAD_ERROR` or `Arbiter.WORKER_BOOT_ERROR`, which stop it.
        line: what is wrong, where the log does not say it.

    """
    if _halting[0]:
        sys.exit(0)
    _halting[0] = 1
    if line is not None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    sys.exit(status)
