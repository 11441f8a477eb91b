"""Jobs on disk: a row each in the `database`, and a directory each for the files.

- `lock`: held (flock) by whoever works on the job; the kernel frees it with the process, however that ends.
- `document`, until the job is finished, and `result`: the bytes. `cancel`: there when the job is to stop.

A job exists from the commit of its row, when its document is on disk. The queue only says that there is work: if it
forgets some, a sweep tells it again; if it tells too often, nothing is found.
"""

import fcntl
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from api.privacy.jobs.database import Database, Entry, Waiting
from api.privacy.jobs.record import FINAL, Record, Status
from api.privacy.jobs.upgrade import FORMER_JOBS, FORMER_RECORD, former_drafts, former_jobs, read_former

DRAFT_AGE = timedelta(hours=6)
"""How long nothing was written to what a killed upload has left."""
DOCUMENT, RESULT, LOCK, CANCEL = "document", "result", "lock", "cancel"
DOCUMENTS = "documents"
HOLD_STEP = 1024 * 1024
"""Bytes of room held at once for a body that does not say how long it is."""
DOCUMENT_ROOM = 8192
"""Bytes of disk, about, that a document takes beside its own."""
MOST = 100
"""Jobs looked at in one step."""


class ShareError(Exception):
    """A client's jobs would take more room than it may have."""


class Claim:
    """A job held by this process alone."""

    def __init__(self, database: Database, runs_dir: Path, record: Record) -> None:
        self._database = database
        self.directory = runs_dir / record.directory
        self.record = record

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop."""
        return (self.directory / CANCEL).exists()

    def save(self, **changes: object) -> None:
        """Change the record, on disk too, and what room the job takes."""
        record = self.record.model_copy(update=changes)
        self._database.save(record, _size(self.directory))
        self.record = record

    def drop_original(self) -> None:
        """Remove the document of a finished job."""
        (self.directory / DOCUMENT).unlink(missing_ok=True)
        self.save(original=False)


class Upload:
    """Documents on their way to disk, a directory each below `directory`; there is room for them while they come."""

    def __init__(self, store: "JobStore", client: str) -> None:
        self.directory = f"{DOCUMENTS}/{uuid4().hex}"
        self.client = client
        self.held = 0
        self.accepted = False
        self._store = store
        self._taken = 0
        self._parts = 0

    def expect(self, size: int) -> None:
        """Hold room for a body of so many bytes. Raises what `JobStore.make_room` does."""
        size += DOCUMENT_ROOM
        self._store.make_room(self, size)
        self.held = size

    def take(self, size: int) -> None:
        """Count bytes about to be written, and hold room for more when those held are used up; raises as `expect`."""
        self._taken += size
        if self._taken > self.held:
            self.expect(self._taken + min(self._taken, HOLD_STEP))

    def part(self) -> Path:
        """Give the directory of one more document."""
        self.take(DOCUMENT_ROOM)
        directory = self._store.runs_dir / self.directory / str(self._parts)
        directory.mkdir(parents=True)
        (directory / LOCK).touch()
        self._parts += 1
        return directory


class JobStore:
    """All jobs of a `RUNS_DIR`; any number of this machine's processes may share one.

    What a job's row needs of the disk is an `OSError` where the disk does not give it, with every method.
    """

    def __init__(self, runs_dir: Path, most: int = 10 * 1024**3) -> None:
        """Name the directory, and the bytes that all jobs and uploads together may take of its disk."""
        self.runs_dir = runs_dir
        self._database = Database(runs_dir, most)

    @contextmanager
    def upload(self, client: str) -> Iterator[Upload]:
        """Give room for documents to be jobs; what was not accepted is gone afterwards."""
        upload = Upload(self, client)
        try:
            yield upload
        finally:
            if upload.held and not upload.accepted:
                self._clear(upload.directory)

    def make_room(self, upload: Upload, size: int) -> None:
        """Hold room for an upload, `size` bytes in all; where it is short the client's own oldest results go.

        Raises:
            OSError: the disk or the database fails.
            ShareError: it is more than the client may have, whatever of its own goes.

        """
        if self._database.hold(upload.directory, upload.client, size):
            return
        if self._database.over(upload.client, size - upload.held) > 2 * self._database.evictable(upload.client):
            raise ShareError
        while not self._database.hold(upload.directory, upload.client, size):
            if not self._evict(upload.client):
                raise ShareError

    def accept(self, upload: Upload, records: Sequence[tuple[Path, Record]]) -> list[Record | None]:
        """Make all documents of an upload jobs, synced, in one step; give the record of each that is one already.

        Raises:
            OSError: there is no room; then none is a job.
            TakenError: an id is of another document, or another owner's; then none is a job.

        """
        entries = []
        for directory, record in records:
            record.directory = str(directory.relative_to(self.runs_dir))
            _sync(directory)
            entries.append(Entry(record.directory, _size(directory), record))
        _sync(self.runs_dir / upload.directory)
        _sync(self.runs_dir / DOCUMENTS)
        existing = self._database.accept(upload.directory, entries)
        upload.accepted = True
        for entry, found in zip(entries, existing, strict=True):
            if found:
                self._clear(entry.directory)
        return existing

    def get(self, job_id: str) -> Record | None:
        """Give a job's record, None when there is no such job."""
        return self._database.get(job_id)

    def page(
        self,
        owner: str | None,
        *,
        batch: str | None = None,
        before: tuple[str, str] | None = None,
        limit: int = MOST,
    ) -> list[Record]:
        """Give an owner's jobs, of one form if it is named, the newest first, older than a job's time and id."""
        return self._database.page(owner, batch, before, limit)

    def path(self, record: Record, name: str) -> Path:
        """Give the path of one of a job's files."""
        return self.runs_dir / record.directory / name

    def open_result(self, record: Record) -> BinaryIO | None:
        """Open a job's result, which stays readable however the job ends; None when it is gone."""
        try:
            return self.path(record, RESULT).open("rb")
        except FileNotFoundError:
            return None

    @contextmanager
    def claim(self, job_id: str) -> Iterator[Claim | None]:
        """Hold the job, None when another process does or there is no such job."""
        known = self.get(job_id)
        try:
            lock = os.open(self.path(known, LOCK), os.O_RDWR | os.O_CLOEXEC) if known else None
        except FileNotFoundError:
            lock = None
        if known is None or lock is None:
            yield None
            return
        try:
            yield self._held(lock, known)
        finally:
            os.close(lock)

    def _held(self, lock: int, known: Record) -> Claim | None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        self._adopt(self.runs_dir / known.directory, held=True)
        record = self.get(known.id)  # it may have changed, or be gone and come again, until it was held
        if record is None or record.directory != known.directory:
            return None
        return Claim(self._database, self.runs_dir, record)

    def cancel(self, job_id: str) -> bool:
        """Remove the job, now or, when a job process holds it, as soon as that sees it; True when it is gone."""
        with self.claim(job_id) as claim:
            if claim:
                self.remove(claim)
                return True
        record = self.get(job_id)
        if record is None:
            return True
        try:
            self.path(record, CANCEL).touch()
        except FileNotFoundError:  # it is just going, or its files were taken away
            self._database.discard(job_id)
            self._clear(record.directory)
            return True
        return False

    def remove(self, claim: Claim) -> None:
        """Remove a job that is held."""
        self._database.discard(claim.record.id)
        self._clear(claim.record.directory)

    def clients(self) -> list[str]:
        """Give the clients that have jobs to be done."""
        return self._database.clients()

    def due(self, client: str, moment: datetime) -> list[str]:
        """Give a client's jobs to be done now, the oldest first; some may be in other hands."""
        return self._database.due(client, moment, MOST)

    def waiting(self, moment: datetime) -> tuple[Waiting, list[str]]:
        """Count the jobs that are in nobody's hands, and name the first of them."""
        waiting = self._database.waiting(moment)
        left = []
        for job_id in self._database.with_status(Status.RUNNING, MOST):
            with self.claim(job_id) as claim:  # else its process is at it
                if claim and claim.record.status not in FINAL:
                    left.append(claim.record)
        created = [*([waiting.oldest] if waiting.oldest else []), *(record.created for record in left)]
        ids = [*(record.id for record in left), *self._database.with_status(Status.QUEUED, MOST)]
        return Waiting(waiting.jobs + len(left), waiting.due + len(left), min(created, default=None)), ids

    def expire(self, before: datetime) -> int:
        """Remove jobs finished before a moment, then finished ones of whoever takes most, until all are within bounds.

        The documents of finished jobs go, and what uploads that were killed have left, after `DRAFT_AGE`. Jobs of an
        older version are taken over. Gives the number of jobs removed.
        """
        self.take_over()
        removed = 0
        while gone := sum(map(self.cancel, self._database.finished(before))):
            removed += gone
        while (client := self._database.largest()) and self._evict(client):
            removed += 1
        for job_id in self._database.with_original():
            with self.claim(job_id) as claim:
                if claim:
                    claim.drop_original()
        since = time.time() - DRAFT_AGE.total_seconds()
        for directory, going in self._database.untouched(since):
            if going or _written(self.runs_dir / directory) < since:
                self._clear(directory)
        return removed

    def keep_within_share(self, client: str, kept: str) -> None:
        """Remove a client's oldest finished jobs while it is over its share, but not the one named."""
        while self._database.over(client) > 0:
            if not any(job != kept and self.cancel(job) for job in self._database.oldest_finished(client, 2)):
                return

    def take_over(self) -> None:
        """Make the jobs that an older version has left ones of this."""
        for directory in former_jobs(self.runs_dir):
            self._adopt(directory, held=False)
        for draft in former_drafts(self.runs_dir):
            if _written(draft) < time.time() - DRAFT_AGE.total_seconds():
                shutil.rmtree(draft, ignore_errors=True)

    def _adopt(self, directory: Path, *, held: bool) -> None:
        """Take over what an older version says of a job; it may go on doing so until the job is held."""
        if directory.parent.name != FORMER_JOBS or (record := read_former(directory)) is None:
            return
        if not held and self.get(record.id):
            return
        self._database.adopt(record, _size(directory))
        if held or record.status in FINAL:
            (directory / FORMER_RECORD).unlink(missing_ok=True)

    def _evict(self, client: str) -> bool:
        return any(map(self.cancel, self._database.oldest_finished(client)))

    def _clear(self, name: str) -> None:
        """Remove a directory that is no job, and then its row."""
        directory = self.runs_dir / name
        shutil.rmtree(directory, ignore_errors=True)
        if directory.parent.parent.name == DOCUMENTS:
            with suppress(OSError):  # an upload's own goes with its last document
                directory.parent.rmdir()
        self._database.forget(name)


def _sync(directory: Path) -> None:
    """Put a directory's entries on disk."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _size(directory: Path) -> int:
    """Give the bytes of disk that a directory takes: of a short document the files' own blocks are most."""
    return sum(stat.st_blocks * 512 for stat in _stats(directory))


def _written(directory: Path) -> float:
    """Give the time, in Unix seconds, at which anything in a directory was last written; nothing in it was never."""
    return max((stat.st_mtime for stat in _stats(directory)), default=-math.inf)


def _stats(directory: Path) -> list[os.stat_result]:
    """Look at a directory and what is in it; nothing when it is just going."""
    try:
        return [path.stat() for path in (directory, *directory.rglob("*"))]
    except OSError:
        return []
