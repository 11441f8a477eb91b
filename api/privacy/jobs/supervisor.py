"""A process that looks after another: it counts the other's signs of life, and replaces it when they stop.

A hung process cannot be relied on to end itself, nor can one that is stopped (SIGSTOP). The supervisor does nothing but
look, so there is little in it to hang; nobody looks after it, as nobody looks after gunicorn's arbiter.
"""

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

BEAT_SECONDS = 1.0
"""Between two signs of life."""
PATIENCE_BEATS = 60
"""Beats that may fail to come, one after the other. They are counted, not timed: while the machine, or the container,
is suspended none is missed."""
PAUSE_SECONDS = 1.0
"""Before one that ended by itself is replaced."""

logger = logging.getLogger(__name__)


class Heart:
    """The other process's side: a thread that gives a sign of life for as long as the process moves."""

    def __init__(self, descriptor: int) -> None:
        self.moves: Callable[[], bool] = lambda: True
        """Tells whether the process is at work, or has nothing to do; asked before each beat."""
        self._descriptor = descriptor

    def start(self) -> None:
        """Begin to beat."""
        threading.Thread(target=self._beat, name="heart", daemon=True).start()

    def _beat(self) -> None:
        while True:
            if self.moves():
                try:
                    os.write(self._descriptor, b".")
                except OSError:  # the supervisor is gone: nobody would replace this process, or end it
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
            time.sleep(BEAT_SECONDS)


class Supervisor:
    """Runs a function in a process of its own, again whenever that ends, until told to stop (SIGTERM, SIGINT)."""

    def __init__(self, run: Callable[[Heart], None], patience: int = PATIENCE_BEATS) -> None:
        self._run = run
        self._patience = patience
        self._child: int | None = None
        self._stopping = False

    def supervise(self) -> None:
        """Look after the process until told to stop, and it has ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self._stopping:
            beats = self._start()
            self._watch(beats)
            os.close(beats)
            if not self._stopping:
                time.sleep(PAUSE_SECONDS)

    def _stop(self, *_: int | FrameType | None) -> None:
        self._stopping = True
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGTERM)

    def _start(self) -> int:
        """Start the process; give where its beats come."""
        receiving, sending = os.pipe()
        # A stop that comes in between would reach neither process.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        child = os.fork()
        if child == 0:
            os.close(receiving)
            self._be_child(Heart(sending))
        self._child = child
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
        if self._stopping:
            self._stop()
        os.close(sending)
        return receiving

    def _be_child(self, heart: Heart) -> NoReturn:
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
            heart.start()
            self._run(heart)
            status = 0
        except BaseException as error:
            logger.exception("the job process failed: %s", type(error).__name__)
        finally:
            logging.shutdown()
            os._exit(status)

    def _watch(self, beats: int) -> None:
        """Wait for the process's end, and bring it about when its heart has stopped."""
        assert self._child is not None  # noqa: S101  (it has been started)
        missed = 0
        while True:
            ended, status = os.waitpid(self._child, os.WNOHANG)
            if ended:
                break
            if not select.select([beats], [], [], BEAT_SECONDS)[0]:
                missed += 1
                if missed == self._patience:
                    logger.error("the job process gives no sign of life: it is replaced")
                    os.kill(self._child, signal.SIGKILL)  # stopped or hung, it takes no other
            elif os.read(beats, 4096):
                missed = 0
            else:  # nobody is left to beat: it is just ending
                time.sleep(BEAT_SECONDS / 10)
        self._child = None
        if not self._stopping:
            logger.error("the job process ended: %s", _how(status))


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"status {code}" if code >= 0 else signal.Signals(-code).name
