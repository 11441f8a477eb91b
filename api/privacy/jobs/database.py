"""The truth about jobs: a row each in SQLite, `RUNS_DIR/jobs.db`, found by index and never all read at once.

A row without a record is a directory that is no job: an upload on its way, or what is left of a job and going. Every
row has the room on the disk that it takes, and triggers keep its sum by client. `RUNS_DIR` is on a file system of this
machine: SQLite's write-ahead log works on no other.
"""

import errno
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from api.privacy.jobs.record import Record, Status, sortable

BUSY_SECONDS = 30.0
"""How long to wait for another process's transaction."""
CACHE = 512
"""KiB of pages that a thread's connection keeps."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    directory TEXT PRIMARY KEY,
    client TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    touched REAL NOT NULL,
    record TEXT,
    id TEXT AS (json_extract(record, '$.id')) STORED,
    owner TEXT AS (json_extract(record, '$.owner')) STORED,
    batch TEXT AS (json_extract(record, '$.batch')) STORED,
    status TEXT AS (json_extract(record, '$.status')) STORED,
    created TEXT AS (json_extract(record, '$.created')) STORED,
    finished TEXT AS (json_extract(record, '$.finished')) STORED,
    not_before TEXT AS (json_extract(record, '$.not_before')) STORED,
    original INTEGER AS (json_extract(record, '$.original')) STORED,
    to_do TEXT AS (CASE WHEN finished IS NULL THEN status END) STORED,
    to_clear INTEGER AS (CASE WHEN finished IS NOT NULL THEN original END) STORED
);
CREATE UNIQUE INDEX IF NOT EXISTS by_id ON jobs (id);
CREATE INDEX IF NOT EXISTS by_owner ON jobs (owner, created, id) WHERE record IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_batch ON jobs (batch, created, id) WHERE batch IS NOT NULL;
CREATE INDEX IF NOT EXISTS to_do_by_client ON jobs (client, created, not_before, id) WHERE to_do IS NOT NULL;
CREATE INDEX IF NOT EXISTS to_do_by_status ON jobs (to_do, created, not_before, id) WHERE to_do IS NOT NULL;
CREATE INDEX IF NOT EXISTS finished ON jobs (finished, id) WHERE finished IS NOT NULL;
CREATE INDEX IF NOT EXISTS finished_by_client ON jobs (client, finished, bytes, id) WHERE finished IS NOT NULL;
CREATE INDEX IF NOT EXISTS with_original ON jobs (to_clear, id) WHERE to_clear = 1;
CREATE INDEX IF NOT EXISTS no_job ON jobs (touched, directory) WHERE record IS NULL;

CREATE TABLE IF NOT EXISTS clients (client TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON jobs BEGIN
    INSERT INTO clients VALUES (new.client, new.bytes) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER IF NOT EXISTS changed AFTER UPDATE OF bytes ON jobs BEGIN
    UPDATE clients SET bytes = bytes + new.bytes - old.bytes WHERE client = new.client;
END;
CREATE TRIGGER IF NOT EXISTS removed AFTER DELETE ON jobs BEGIN
    UPDATE clients SET bytes = bytes - old.bytes WHERE client = old.client;
    DELETE FROM clients WHERE client = old.client AND bytes <= 0;
END;
"""


class TakenError(Exception):
    """There is a job of that id, of another document or owner."""


class Waiting(NamedTuple):
    """Jobs that wait: how many, of them those whose time has come, and when the oldest came."""

    jobs: int
    due: int
    oldest: datetime | None


class Entry(NamedTuple):
    """A job to be: the directory below `RUNS_DIR` that has its document, synced, and the bytes that takes."""

    directory: str
    size: int
    record: Record


class Database:
    """The rows; every call raises `OSError` when the disk, or what is on it, does not let it."""

    def __init__(self, runs_dir: Path, most: int) -> None:
        """Name the directory, and the bytes that all rows together may take. Opened at first use."""
        self._file = runs_dir / "jobs.db"
        self._most = most
        self._threads = threading.local()
        self._prepared = False

    def hold(self, directory: str, client: str, size: int) -> bool:
        """Hold room, `size` bytes in all, for a directory that is no job yet; False when it is more than the share.

        A client may have as much as it leaves free: alone half of everything, and there is room for the next one.
        """
        with self._write() as rows:
            found = rows.execute("SELECT bytes FROM jobs WHERE directory = ?", (directory,)).fetchone()
            more = size - (found[0] if found else 0)
            if more > 0 and self._over(rows, client, more) > 0:
                return False
            rows.execute(
                "INSERT INTO jobs (directory, client, bytes, touched) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET bytes = excluded.bytes, touched = excluded.touched",
                (directory, client, size, time.time()),
            )
        return True

    def over(self, client: str, more: int = 0) -> int:
        """Give the bytes by which a client would be over its share with so many more, negative when it is not."""
        with self._read() as rows:
            return self._over(rows, client, more)

    def evictable(self, client: str) -> int:
        """Give the bytes of a client's finished jobs."""
        query = "SELECT COALESCE(SUM(bytes), 0) FROM jobs WHERE client = ? AND finished IS NOT NULL"
        return int(self._one(query, client)[0])

    def accept(self, upload: str, entries: Sequence[Entry]) -> list[Record | None]:
        """Make all entries of an upload jobs, in one step; give the record of each that is one already.

        Raises:
            TakenError: an id is another document's or owner's; then none is a job.

        """
        existing: list[Record | None] = []
        with self._write() as rows:
            rows.execute("DELETE FROM jobs WHERE directory = ?", (upload,))
            for directory, size, record in entries:
                found = _record(rows.execute("SELECT record FROM jobs WHERE id = ?", (record.id,)).fetchone())
                if found and (found.digest, found.owner) != (record.digest, record.owner):
                    raise TakenError
                existing.append(found)
                rows.execute(
                    "INSERT INTO jobs (directory, client, bytes, touched, record) VALUES (?, ?, ?, ?, ?)",
                    (directory, record.client, size, 0.0, None if found else record.model_dump_json()),
                )
        return existing

    def adopt(self, record: Record, size: int) -> None:
        """Add a job that an older version has made, or what that has written about it since."""
        with self._write() as rows:
            rows.execute(
                "INSERT INTO jobs (directory, client, bytes, touched, record) VALUES (?, ?, ?, 0, ?) "
                "ON CONFLICT DO UPDATE SET record = excluded.record, bytes = excluded.bytes",
                (record.directory, record.client, size, record.model_dump_json()),
            )

    def get(self, job_id: str) -> Record | None:
        """Give a job's record, None when there is no such job."""
        with self._read() as rows:
            return _record(rows.execute("SELECT record FROM jobs WHERE id = ?", (job_id,)).fetchone())

    def save(self, record: Record, size: int | None = None) -> None:
        """Replace a job's record, and the bytes that it takes if they are given."""
        with self._write() as rows:
            rows.execute(
                "UPDATE jobs SET record = ?, bytes = COALESCE(?, bytes) WHERE id = ?",
                (record.model_dump_json(), size, record.id),
            )

    def discard(self, job_id: str) -> None:
        """Make a job's directory one that is going."""
        with self._write() as rows:
            rows.execute("UPDATE jobs SET record = NULL, touched = 0 WHERE id = ?", (job_id,))

    def forget(self, directory: str) -> None:
        """Remove the row of a directory that is no job and is gone."""
        with self._write() as rows:
            rows.execute("DELETE FROM jobs WHERE directory = ? AND record IS NULL", (directory,))

    def untouched(self, since: float, most: int = 100) -> list[tuple[str, bool]]:
        """Give directories that are no job and that nothing was held for since a Unix time, and whether it was one."""
        query = "SELECT directory, touched = 0 FROM jobs WHERE record IS NULL AND touched < ? ORDER BY touched LIMIT ?"
        with self._read() as rows:
            return [(directory, bool(going)) for directory, going in rows.execute(query, (since, most))]

    def page(self, owner: str | None, batch: str | None, before: tuple[str, str] | None, limit: int) -> list[Record]:
        """Give an owner's jobs, of one form if it is named, the newest first, older than a job's time and id."""
        where = "record IS NOT NULL AND owner IS ?"
        values: list[str | None] = [owner]
        if batch is not None:
            where, values = "batch IS NOT NULL AND batch = ? AND owner IS ?", [batch, owner]
        if before is not None:
            where, values = f"{where} AND (created, id) < (?, ?)", [*values, *before]
        query = f"SELECT record FROM jobs WHERE {where} ORDER BY created DESC, id DESC LIMIT ?"  # noqa: S608
        return [Record.model_validate_json(text) for text in self._column(query, *values, limit)]

    def clients(self) -> list[str]:
        """Give the clients that have jobs to be done: a step through the index for each, however many jobs it has."""
        return self._column(
            """WITH RECURSIVE found(client) AS (
                SELECT MIN(client) FROM jobs WHERE to_do IS NOT NULL UNION ALL
                SELECT (SELECT MIN(client) FROM jobs WHERE to_do IS NOT NULL AND client > found.client) FROM found
                WHERE client IS NOT NULL
            ) SELECT client FROM found WHERE client IS NOT NULL"""
        )

    def due(self, client: str, moment: datetime, most: int) -> list[str]:
        """Give a client's jobs to be done now, the oldest first; some may be in other hands."""
        query = (
            "SELECT id FROM jobs WHERE to_do IS NOT NULL AND client = ? AND (not_before IS NULL OR not_before <= ?) "
            "ORDER BY created LIMIT ?"
        )
        return self._column(query, client, sortable(moment), most)

    def waiting(self, moment: datetime) -> Waiting:
        """Count the jobs that nobody has begun."""
        query = (
            "SELECT COUNT(*), COALESCE(SUM(not_before IS NULL OR not_before <= ?), 0), MIN(created) "
            "FROM jobs WHERE to_do = ?"
        )
        jobs, due, oldest = self._one(query, sortable(moment), Status.QUEUED.value)
        return Waiting(int(jobs), int(due), datetime.fromisoformat(oldest) if oldest else None)

    def with_status(self, status: Status, most: int) -> list[str]:
        """Give the oldest jobs that are to be done and have a status."""
        query = "SELECT id FROM jobs WHERE to_do = ? ORDER BY created LIMIT ?"
        return self._column(query, status.value, most)

    def finished(self, before: datetime, most: int = 100) -> list[str]:
        """Give jobs that were finished before a moment, the oldest first."""
        query = "SELECT id FROM jobs WHERE finished IS NOT NULL AND finished < ? ORDER BY finished LIMIT ?"
        return self._column(query, sortable(before), most)

    def oldest_finished(self, client: str, most: int = 1) -> list[str]:
        """Give a client's jobs that were finished first."""
        query = "SELECT id FROM jobs WHERE client = ? AND finished IS NOT NULL ORDER BY finished LIMIT ?"
        return self._column(query, client, most)

    def with_original(self, most: int = 100) -> list[str]:
        """Give finished jobs whose document as sent may still be there."""
        return self._column("SELECT id FROM jobs WHERE to_clear = 1 LIMIT ?", most)

    def largest(self) -> str | None:
        """Give who takes the most of those with finished jobs, None while all together are within bounds."""
        (total,) = self._one("SELECT COALESCE(SUM(bytes), 0) FROM clients")
        if int(total) <= self._most:
            return None
        query = (
            "SELECT client FROM clients c WHERE EXISTS "
            "(SELECT 1 FROM jobs WHERE client = c.client AND finished IS NOT NULL) ORDER BY bytes DESC LIMIT 1"
        )
        return next(iter(self._column(query)), None)

    def _over(self, rows: sqlite3.Connection, client: str, more: int) -> int:
        own, total = rows.execute(
            "SELECT COALESCE(SUM(bytes) FILTER (WHERE client = ?), 0), COALESCE(SUM(bytes), 0) FROM clients", (client,)
        ).fetchone()
        return int(own) + int(total) + 2 * more - self._most

    def _one(self, query: str, *values: object) -> tuple[Any, ...]:
        with self._read() as rows:
            row: tuple[Any, ...] = rows.execute(query, values).fetchone()
            return row

    def _column(self, query: str, *values: object) -> list[str]:
        with self._read() as rows:
            return [value for (value,) in rows.execute(query, values)]

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connection()
        except sqlite3.Error as error:
            raise _as_os_error(error) from None

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._read() as rows:
            rows.execute("BEGIN IMMEDIATE")
            try:
                yield rows
                rows.execute("COMMIT")
            except BaseException:
                if rows.in_transaction:  # SQLite itself may have ended it
                    rows.execute("ROLLBACK")
                raise

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            if not self._prepared:
                self._prepare()
            connection = self._threads.connection = self._connect()
        return connection

    def _connect(self) -> sqlite3.Connection:
        # Closed by whichever thread collects it; used by its own only.
        connection = sqlite3.connect(self._file, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")  # a job that is accepted survives the loss of power
        connection.execute(f"PRAGMA cache_size = -{CACHE}")
        return connection

    def _prepare(self) -> None:
        """Make the file, for its owner only; one process at a time, as a journal's mode cannot be waited for."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        directory = os.open(self._file.parent, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            if not self._file.exists():  # else closing it would drop the locks of this process's connections (POSIX)
                os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            connection = self._connect()
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(SCHEMA)
            finally:
                connection.close()
            os.fsync(directory)
        finally:
            os.close(directory)
        self._prepared = True


def _record(row: tuple[str | None] | None) -> Record | None:
    return Record.model_validate_json(row[0]) if row and row[0] else None


def _as_os_error(error: sqlite3.Error) -> OSError:
    full = getattr(error, "sqlite_errorname", "").startswith("SQLITE_FULL")
    return OSError(errno.ENOSPC if full else errno.EIO, f"the jobs' database: {error}")
