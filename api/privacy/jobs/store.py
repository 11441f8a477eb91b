"""Jobs on disk: a directory each, `RUNS_DIR/jobs/<id>`, which is all the truth there is about a job.

- `record.json`: what was asked and how far it is, replaced as a whole, only by who holds the lock.
- `lock`: held (flock) by whoever works on the job; the kernel frees it with the process, however that ends.
- `document` and `result`: the bytes. `cancel`: there when the job is to stop.

A job exists from the one rename that puts its directory in place. The queue only says which job to look at next: if
it forgets one, a sweep tells it again; if it names one twice, the second finds the lock held or the job done.
"""

import fcntl
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ValidationError

DRAFT_AGE = timedelta(hours=6)
"""How long nothing was written to what a killed upload has left."""
DOCUMENT, RESULT, RECORD, LOCK, CANCEL = "document", "result", "record.json", "lock", "cancel"


class Status(StrEnum):
    """Where a job is; the last three are for good."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the document cannot be redacted
    DEAD = "dead"  # given up after all attempts


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.DEAD})


class Record(BaseModel):
    """A job. Times are UTC, sizes bytes as sent."""

    id: str
    status: Status = Status.QUEUED
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    not_before: datetime | None = None
    attempts: int = 0
    interruptions: int = 0
    size: int
    done: int = 0
    error: str | None = None

    media_type: str
    charset: str | None
    coding: str
    language: str
    min_confidence: float
    delimiter: str | None = None
    owner: str | None
    digest: str
    batch: str | None = None
    part: int | None = None
    request_id: str | None = None
    traceparent: str | None = None


class Claim:
    """A job held by this process alone."""

    def __init__(self, directory: Path, record: Record) -> None:
        self.directory = directory
        self.record = record

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop."""
        return (self.directory / CANCEL).exists()

    def save(self, **changes: object) -> None:
        """Change the record, on disk too."""
        self.record = self.record.model_copy(update=changes)
        write_record(self.directory, self.record)


class JobStore:
    """All jobs of a `RUNS_DIR`; any number of processes may share one."""

    def __init__(self, runs_dir: Path) -> None:
        self._jobs = runs_dir / "jobs"
        self._drafts = runs_dir / "drafts"

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Give a directory for a job to be; it is gone afterwards unless it was accepted."""
        self._jobs.mkdir(parents=True, exist_ok=True)
        directory = self._drafts / uuid4().hex
        directory.mkdir(parents=True)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def accept(self, draft: Path, record: Record) -> bool:
        """Make the draft, which holds a synced document, a job; False when there is one of its id already.

        Raises:
            OSError: there is no room; then there is no job either.

        """
        (draft / LOCK).touch()
        write_record(draft, record)
        try:
            draft.rename(self._jobs / record.id)
        except OSError:
            if self.get(record.id) is None:
                raise
            return False
        try:
            _sync(self._jobs)
        except OSError:
            self.cancel(record.id)
            raise
        return True

    def get(self, job_id: str) -> Record | None:
        """Give a job's record, None when there is no such job."""
        try:
            return Record.model_validate_json((self._jobs / job_id / RECORD).read_bytes())
        except (OSError, ValidationError):
            return None

    def all(self) -> list[Record]:
        """Give every job's record, the oldest first."""
        names = (job.name for job in self._jobs.iterdir()) if self._jobs.is_dir() else ()
        return sorted((record for name in names if (record := self.get(name))), key=lambda record: record.created)

    def path(self, job_id: str, name: str) -> Path:
        """Give the path of one of a job's files."""
        return self._jobs / job_id / name

    @contextmanager
    def claim(self, job_id: str) -> Iterator[Claim | None]:
        """Hold the job, None when another process does or there is no such job."""
        directory = self._jobs / job_id
        try:
            lock = os.open(directory / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been removed, and even replaced, between the two calls.
            held = os.path.samestat(os.fstat(lock), (directory / LOCK).stat())
        except OSError:
            held = False
        try:
            record = self.get(job_id) if held else None
            yield Claim(directory, record) if record else None
        finally:
            os.close(lock)

    def cancel(self, job_id: str) -> bool:
        """Remove the job, now or, when a job process holds it, as soon as that sees it; True when it is gone."""
        with self.claim(job_id) as claim:
            if claim:
                self.remove(claim)
                return True
        try:
            (self._jobs / job_id / CANCEL).touch()
        except FileNotFoundError:
            return True
        return False

    def remove(self, claim: Claim) -> None:
        """Remove a job that is held."""
        self._drafts.mkdir(parents=True, exist_ok=True)
        away = self._drafts / uuid4().hex
        claim.directory.rename(away)
        shutil.rmtree(away, ignore_errors=True)

    def expire(self, before: datetime, size: int) -> int:
        """Remove jobs finished before a moment, then the oldest until all take at most `size` bytes of the disk.

        Only finished ones are removed, but uploads count too; those a killed process has left go after `DRAFT_AGE`.
        Gives the number of jobs removed.
        """
        removed = 0
        drafts = list(self._drafts.iterdir()) if self._drafts.is_dir() else []
        for draft in drafts:
            if _written(draft) < (now() - DRAFT_AGE).timestamp():
                shutil.rmtree(draft, ignore_errors=True)
        records = self.all()
        sizes = {record.id: _size(self._jobs / record.id) for record in records}
        total = sum(sizes.values()) + sum(map(_size, drafts))
        for record in records:
            finished = record.finished if record.status in FINAL else None
            if finished is None or (finished >= before and total <= size):
                continue
            if self.cancel(record.id):
                total -= sizes[record.id]
                removed += 1
        return removed


def now() -> datetime:
    """Give the time, in UTC."""
    return datetime.now(UTC)


def write_record(directory: Path, record: Record) -> None:
    """Replace a record so that a reader, or a crash, finds the old or the new one."""
    part = directory / f"{RECORD}.part"
    with part.open("w") as file:
        file.write(record.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    part.replace(directory / RECORD)
    _sync(directory)


def _sync(directory: Path) -> None:
    """Put a directory's entries on disk: a rename is not, until then."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _size(directory: Path) -> int:
    """Give the bytes of disk that a directory takes: of a short document the files' own blocks are most."""
    return sum(stat.st_blocks * 512 for stat in _stats(directory))


def _written(directory: Path) -> float:
    """Give the time, in Unix seconds, at which anything in a directory was last written; one that is going has none."""
    return max((stat.st_mtime for stat in _stats(directory)), default=math.inf)


def _stats(directory: Path) -> list[os.stat_result]:
    """Look at a directory and its files; nothing when they are just going."""
    try:
        return [path.stat() for path in (directory, *directory.iterdir())]
    except OSError:
        return []
