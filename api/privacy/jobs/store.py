"""Jobs: a row each, and a directory each of documents: `document`, until the job is finished, and the result.

A job exists from the commit of its row, when its document is kept for good. The queue only says that there is work: if
it forgets some, a sweep tells it again; if it tells too often, nothing is found.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from typing import BinaryIO
from uuid import uuid4

from api.privacy.jobs.record import Record, Status, now
from api.privacy.jobs.state.interface import AwayError, Documents, Draft, Entry, Hold, LostError, Rows, Waiting
from api.privacy.jobs.state.opened import open_state
from api.settings import Settings

DRAFT_AGE = timedelta(hours=6)
"""How long nothing was written to what a killed upload has left."""
DOCUMENT, RESULT = "document", "result"
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
    """A job held by this process alone. Every write raises `LostError` once it is not."""

    def __init__(self, rows: Rows, documents: Documents, hold: Hold) -> None:
        self.record = hold.record
        self._rows = rows
        self._documents = documents
        self._hold = hold
        self._measured = False

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop."""
        return self._hold.cancelled

    def save(self, **changes: object) -> None:
        """Change the record, for good, and what room the job takes."""
        record = self.record.model_copy(update=changes)
        size = self._documents.size(record.directory) if self._measured else None
        self._rows.save(self._hold, record, size)
        self.record = record

    def open_document(self) -> BinaryIO:
        """Read the document as sent."""
        return self._documents.open(self.record.directory, DOCUMENT)

    @property
    def result(self) -> str:
        """The name of the result that is written by these hands: of those before, some may still move."""
        return f"{RESULT}-{self._hold.token}" if self._hold.token else RESULT

    def create_result(self) -> AbstractContextManager[Draft]:
        """Write the result."""
        self._measured = True
        return self._documents.create(self.record.directory, self.result)

    def drop_original(self) -> None:
        """Remove the document of a finished job."""
        self._documents.remove(self.record.directory, DOCUMENT)
        self._measured = True
        self.save(original=False)


class Upload:
    """Documents on their way, a directory each below `directory`; there is room for them while they come."""

    def __init__(self, store: "JobStore", client: str) -> None:
        self.directory = f"{DOCUMENTS}/{uuid4().hex}"
        self.client = client
        self.held = 0
        self.kept = False
        """Whether its documents are those of jobs, or may be."""
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

    def part(self) -> tuple[str, AbstractContextManager[Draft]]:
        """Give the directory of one more document, and write that."""
        self.take(DOCUMENT_ROOM)
        directory = f"{self.directory}/{self._parts}"
        self._parts += 1
        return directory, self._store.documents.create(directory, DOCUMENT)


class JobStore:
    """All jobs of a service; any number of processes may share them.

    What a job's row needs of the disk, or of a server, is an `OSError` where it is not given, with every method.
    """

    def __init__(self, settings: Settings) -> None:
        self._rows, self.documents = open_state(settings)
        self._kept = timedelta(hours=settings.job_retention_hours)

    def secret(self) -> bytes:
        """Give what all processes share and nobody else knows."""
        return self._rows.secret()

    @contextmanager
    def upload(self, client: str) -> Iterator[Upload]:
        """Give room for documents to be jobs; what was not accepted is gone afterwards."""
        upload = Upload(self, client)
        try:
            yield upload
        finally:
            if upload.held and not upload.kept:
                self._clear(upload.directory)

    def make_room(self, upload: Upload, size: int) -> None:
        """Hold room for an upload, `size` bytes in all; where it is short the client's own oldest results go.

        Raises:
            OSError: the disk or the database fails.
            ShareError: it is more than the client may have, whatever of its own goes.

        """
        if self._rows.hold(upload.directory, upload.client, size):
            return
        if self._rows.over(upload.client, size - upload.held) > 2 * self._rows.evictable(upload.client):
            raise ShareError
        while not self._rows.hold(upload.directory, upload.client, size):
            if not self._evict(upload.client):
                raise ShareError

    def accept(self, upload: Upload, records: Sequence[tuple[str, Record]]) -> list[Record | None]:
        """Make all documents of an upload jobs, in one step; give the record of each that is one already.

        Raises:
            GoingError: the job that has an id is asked to stop; then none is a job.
            OSError: there is no room; then none is a job.
            TakenError: an id is of another document, or another owner's; then none is a job.

        """
        entries = []
        for directory, record in records:
            record.directory = directory
            entries.append(Entry(directory, self.documents.size(directory), record))
        self.documents.settle(upload.directory)
        try:
            existing = self._rows.accept(upload.directory, entries)
        except AwayError as error:
            upload.kept = error.unheard  # then documents of no job go when they are untouched for long
            raise
        upload.kept = True
        for entry, found in zip(entries, existing, strict=True):
            if found:
                self._clear(entry.directory)
        return existing

    def get(self, job_id: str) -> Record | None:
        """Give a job's record, None when there is no such job."""
        return self._rows.get(job_id)

    def page(
        self,
        owner: str | None,
        *,
        batch: str | None = None,
        before: tuple[str, str] | None = None,
        limit: int = MOST,
    ) -> list[Record]:
        """Give an owner's jobs, of one form if it is named, the newest first, older than a job's time and id."""
        return self._rows.page(owner, batch, before, limit)

    def open_result(self, record: Record) -> BinaryIO | None:
        """Open a job's result, which stays readable however the job ends; None when it is gone."""
        try:
            return self.documents.open(record.directory, record.result)
        except FileNotFoundError:
            return None

    @contextmanager
    def claim(self, job_id: str) -> Iterator[Claim | None]:
        """Hold the job, None when another process does or there is no such job."""
        with self._rows.claim(job_id) as hold:
            yield Claim(self._rows, self.documents, hold) if hold else None

    @contextmanager
    def claim_due(self, client: str, moment: datetime) -> Iterator[Claim | None]:
        """Hold the oldest of a client's jobs that are to be done now, None when there is none in nobody's hands."""
        with self._rows.claim_due(client, moment) as hold:
            yield Claim(self._rows, self.documents, hold) if hold else None

    def cancel(self, job_id: str) -> bool:
        """Remove the job, now or, when a job process works on it, as soon as that sees it; True when it is gone.

        Of one that is asked to stop as it ends, either its end is seen here, or what was asked is seen there
        (`Runner`): whoever holds it looks at that after it has saved the end.
        """
        for asked in (False, True):  # whoever held it may have given it back before it was asked
            with self.claim(job_id) as claim:
                if claim:
                    self.remove(claim)
                    return True
            record = self.get(job_id)
            if record is None:
                return True
            if record.finished or (not asked and not self._rows.ask_to_stop(record)):
                self._remove(record)
                return True
        return False

    def remove(self, claim: Claim) -> None:
        """Remove a job that is held."""
        self._remove(claim.record)

    def _remove(self, record: Record) -> None:
        self._rows.discard(record)
        self._clear(record.directory)

    def clients(self) -> list[str]:
        """Give the clients that have jobs to be done."""
        return self._rows.clients()

    def waiting(self, moment: datetime) -> tuple[Waiting, list[str]]:
        """Count the jobs that are in nobody's hands, and name the first of them."""
        waiting = self._rows.waiting(moment)
        left = self._rows.left(MOST)
        created = [*([waiting.oldest] if waiting.oldest else []), *(record.created for record in left)]
        ids = [*(record.id for record in left), *self._rows.with_status(Status.QUEUED, MOST)]
        found = Waiting(
            waiting.jobs + len(left), waiting.due + len(left), min(created, default=None), waiting.unfinished
        )
        return found, ids

    def expire_old(self) -> int:
        """Remove what `expire` does of jobs that have been finished for longer than they are kept."""
        return self.expire(now() - self._kept)

    def expire(self, before: datetime) -> int:
        """Remove jobs finished before a moment, then finished ones of whoever takes most, until all are within bounds.

        The documents of finished jobs go, and what uploads that were killed have left, after `DRAFT_AGE`. Jobs of an
        older version are taken over. Gives the number of jobs removed.
        """
        self.take_over()
        removed = 0
        while gone := sum(map(self.cancel, self._rows.finished(before))):
            removed += gone
        while (client := self._rows.largest()) and self._evict(client):
            removed += 1
        for job_id in self._rows.with_original():
            with self.claim(job_id) as claim, suppress(LostError):  # removed since
                if claim and claim.cancelled:  # as it ended, and with it its process
                    self.remove(claim)
                elif claim:
                    claim.drop_original()
        self._clear_abandoned()
        return removed

    def expire_some(self) -> int:
        """Remove a few jobs that have been finished for longer than they are kept, and what uploads have left.

        What `expire` does goes on until all is done: too long for who has other things to do, or is to end.
        """
        removed = sum(map(self.cancel, self._rows.finished(now() - self._kept)))
        self._clear_abandoned()
        return removed

    def keep_within_share(self, client: str, kept: str) -> None:
        """Remove a client's oldest finished jobs while it is over its share, but not the one named."""
        while self._rows.over(client) > 0:
            if not any(job != kept and self.cancel(job) for job in self._rows.oldest_finished(client, 2)):
                return

    def take_over(self) -> None:
        """Make the jobs that an older version has left ones of this."""
        self._rows.take_over(_abandoned())

    def _evict(self, client: str) -> bool:
        return any(map(self.cancel, self._rows.oldest_finished(client)))

    def _clear_abandoned(self) -> None:
        since = _abandoned()
        for directory, going in self._rows.untouched(since):
            if going or self.documents.written(directory) < since:
                self._clear(directory)

    def _clear(self, name: str) -> None:
        """Remove a directory that is no job, and then its row."""
        self.documents.clear(name)
        self._rows.forget(name)


def _abandoned() -> float:
    return time.time() - DRAFT_AGE.total_seconds()
