"""What a keeper of rows, and one of documents, can do. Each call raises `OSError` when it cannot be done just now."""

import errno
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import BinaryIO, NamedTuple, Protocol

from api.privacy.jobs.record import Record, Status


class TakenError(Exception):
    """There is a job of that id, of another document or owner."""


class GoingError(Exception):
    """The job of that id is asked to stop: it is there, and in a moment it is not."""


class AwayError(OSError):
    """The server that keeps them does not answer, or refuses; it may be back in a moment."""

    def __init__(self, what: str, *, unheard: bool = False) -> None:
        """Say what failed, and whether the server may have done all the same what it was asked for."""
        super().__init__(errno.EIO, what)
        self.unheard = unheard


class LostError(OSError):
    """The job is in other hands: nothing about it may be said any more."""

    def __init__(self) -> None:
        super().__init__(errno.ESTALE, os.strerror(errno.ESTALE))


class Waiting(NamedTuple):
    """Jobs that wait: how many, of them those whose time has come, when the oldest came; and all unfinished ones."""

    jobs: int
    due: int
    oldest: datetime | None
    unfinished: int


class Entry(NamedTuple):
    """A job to be: the directory that has its document, kept for good, and the bytes that takes."""

    directory: str
    size: int
    record: Record


class Hold(Protocol):
    """A job in this process's hands."""

    record: Record
    token: str
    """Tells these hands from all others; empty where there can be no others."""

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop. Raises `LostError` when it is in other hands."""


class Rows(Protocol):
    """A row for each job. One without a record is a directory that is no job: on its way, or going."""

    def secret(self) -> bytes:
        """Give what all processes share and nobody else knows."""

    def hold(self, directory: str, client: str, size: int) -> bool:
        """Hold room, `size` bytes in all, for a directory that is no job yet; False when it is more than the share.

        A client may have as much as it leaves free: alone half of everything, and there is room for the next one.
        """

    def over(self, client: str, more: int = 0) -> int:
        """Give the bytes by which a client would be over its share with so many more, negative when it is not."""

    def evictable(self, client: str) -> int:
        """Give the bytes of a client's finished jobs."""

    def accept(self, upload: str, entries: Sequence[Entry]) -> list[Record | None]:
        """Make all entries of an upload jobs, in one step; give the record of each that is one already.

        Raises:
            GoingError: the job of an id is asked to stop; then none is a job.
            TakenError: an id is another document's or owner's; then none is a job.

        """

    def claim(self, job_id: str) -> AbstractContextManager[Hold | None]:
        """Hold a job, None when another process does or there is no such job."""

    def claim_due(self, client: str, moment: datetime) -> AbstractContextManager[Hold | None]:
        """Hold the oldest of a client's jobs that are to be done now and in nobody's hands."""

    def ask_to_stop(self, record: Record) -> bool:
        """Have whoever holds a job see that it is to stop; False when its files are gone."""

    def get(self, job_id: str) -> Record | None:
        """Give a job's record, None when there is no such job."""

    def save(self, hold: Hold, record: Record, size: int | None = None) -> None:
        """Replace a job's record, and the bytes that it takes if they are given. Raises `LostError`."""

    def discard(self, record: Record) -> None:
        """Make a job's directory one that is going."""

    def forget(self, directory: str) -> None:
        """Remove the row of a directory that is no job and is gone."""

    def untouched(self, since: float, most: int = 100) -> list[tuple[str, bool]]:
        """Give directories that are no job and that nothing was held for since a Unix time, and whether it was one."""

    def page(self, owner: str | None, batch: str | None, before: tuple[str, str] | None, limit: int) -> list[Record]:
        """Give an owner's jobs, of one form if it is named, the newest first, older than a job's time and id."""

    def clients(self) -> list[str]:
        """Give the clients that have jobs to be done."""

    def waiting(self, moment: datetime) -> Waiting:
        """Count the jobs that nobody has begun, and those that are not finished."""

    def left(self, most: int) -> list[Record]:
        """Give jobs that were begun, and are in nobody's hands."""

    def with_status(self, status: Status, most: int) -> list[str]:
        """Give the oldest jobs that are to be done and have a status."""

    def finished(self, before: datetime, most: int = 100) -> list[str]:
        """Give jobs that were finished before a moment, the oldest first."""

    def oldest_finished(self, client: str, most: int = 1) -> list[str]:
        """Give a client's jobs that were finished first."""

    def with_original(self, most: int = 100) -> list[str]:
        """Give finished jobs whose document as sent may still be there."""

    def largest(self) -> str | None:
        """Give who takes the most of those with finished jobs, None while all together are within bounds."""

    def take_over(self, abandoned_before: float) -> None:
        """Make the jobs that an older version has left ones of this; its uploads go, if they are as old (Unix time)."""


class Draft(Protocol):
    """A document as it is written: there from `keep` on, and as if it had never been without."""

    def write(self, data: bytes | bytearray, /) -> int:
        """Write more of it."""

    def keep(self) -> int:
        """Keep it for good; gives its size in bytes."""


class Documents(Protocol):
    """Documents by directory and name."""

    def create(self, directory: str, name: str) -> AbstractContextManager[Draft]:
        """Write one."""

    def open(self, directory: str, name: str) -> BinaryIO:
        """Read one, which stays readable though it is removed. Raises `FileNotFoundError`."""

    def settle(self, upload: str) -> None:
        """Have an upload's directories survive the loss of power, as what was kept in them does."""

    def remove(self, directory: str, name: str) -> None:
        """Remove one, if it is there."""

    def clear(self, directory: str) -> None:
        """Remove a directory and what is below it."""

    def size(self, directory: str) -> int:
        """Give the bytes that a directory takes."""

    def written(self, directory: str) -> float:
        """Give when anything in a directory was last written, as Unix time; long ago, when there is nothing."""
