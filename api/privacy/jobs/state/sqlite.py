"""The embedded rows: SQLite, `RUNS_DIR/jobs.db`.

Triggers keep the sum of the bytes by client. `RUNS_DIR` is on a file system of this machine: SQLite's write-ahead log
works on no other. Whoever works on a job holds `lock` in its directory (flock), which the kernel frees with the
process, however that ends; `cancel` is there when the job is to stop.
"""

import errno
import fcntl
import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from api.privacy.jobs.record import FINAL, Record, Status, sortable
from api.privacy.jobs.state.directory import LOCK, size_of, written_in
from api.privacy.jobs.state.interface import Hold
from api.privacy.jobs.state.sql import FRESH, PUT_OFF, SqlRows, Statements
from api.privacy.jobs.state.upgrade import FORMER_JOBS, FORMER_RECORD, former_drafts, former_jobs, read_former

BUSY_SECONDS = 30.0
"""How long to wait for another process's transaction."""
CACHE = 512
"""KiB of pages that a thread's connection keeps."""
CANCEL = "cancel"
MOST = 100
"""Jobs of a client that are tried, the oldest first, until one is in nobody's hands."""

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
CREATE INDEX IF NOT EXISTS due_by_client ON jobs (client, not_before, created, id) WHERE to_do IS NOT NULL;
DROP INDEX IF EXISTS to_do_by_client;
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
_DUE = "SELECT id FROM jobs WHERE to_do IS NOT NULL AND client = ? AND"


class _Held:
    """A job whose lock this process has."""

    token = ""

    def __init__(self, directory: Path, record: Record) -> None:
        self.record = record
        self._cancel = directory / CANCEL

    @property
    def cancelled(self) -> bool:
        return self._cancel.exists()


class SqliteRows(SqlRows):
    """The rows of a `RUNS_DIR`; any number of this machine's processes may share one. Opened at first use."""

    def __init__(self, runs_dir: Path, most: int) -> None:
        super().__init__(most)
        self._runs_dir = runs_dir
        self._file = runs_dir / "jobs.db"
        self._threads = threading.local()
        self._prepared = False

    def secret(self) -> bytes:
        return secret_in(self._runs_dir / "secret")

    def save(self, hold: Hold, record: Record, size: int | None = None) -> None:  # noqa: ARG002  (a lock is never lost)
        with self._write() as rows:
            rows.execute(
                "UPDATE jobs SET record = ?, bytes = COALESCE(?, bytes) WHERE id = ? AND directory = ?",
                (record.model_dump_json(), size, record.id, record.directory),
            )

    @contextmanager
    def claim(self, job_id: str) -> Iterator[Hold | None]:
        known = self.get(job_id)
        lock = self._open_lock(known) if known else None
        if known is None or lock is None:
            yield None
            return
        try:
            yield self._held(lock, known)
        finally:
            os.close(lock)

    def _open_lock(self, known: Record) -> int | None:
        path = self._runs_dir / known.directory / LOCK
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        record = self.get(known.id)
        if record is None or record.directory != known.directory:  # it was just going
            return None
        # Its files were taken away: without a lock nobody could end it.
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o666)

    def _held(self, lock: int, known: Record) -> Hold | None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        self._adopt(self._runs_dir / known.directory, held=True)
        record = self.get(known.id)  # it may have changed, or be gone and come again, until it was held
        if record is None or record.directory != known.directory:
            return None
        return _Held(self._runs_dir / record.directory, record)

    @contextmanager
    def claim_due(self, client: str, moment: datetime) -> Iterator[Hold | None]:
        for job_id in self.due(client, moment, MOST):
            with self.claim(job_id) as hold:
                if hold and hold.record.status not in FINAL:
                    yield hold
                    return
        yield None

    def due(self, client: str, moment: datetime, most: int) -> list[str]:
        """Give a client's jobs to be done now, the oldest first; some may be in other hands."""
        with self._read() as rows:
            put_off = [value for (value,) in rows.execute(f"{_DUE} {PUT_OFF}", (client, sortable(moment), most))]
            return [*put_off, *(value for (value,) in rows.execute(f"{_DUE} {FRESH}", (client, most - len(put_off))))]

    def ask_to_stop(self, record: Record) -> bool:
        try:
            (self._runs_dir / record.directory / CANCEL).touch()
        except FileNotFoundError:  # it is just going, or its files were taken away
            return False
        return True

    def _is_going(self, rows: Statements, record: Record) -> bool:  # noqa: ARG002
        return (self._runs_dir / record.directory / CANCEL).exists()

    def left(self, most: int) -> list[Record]:
        found = []
        for job_id in self.with_status(Status.RUNNING, most):
            with self.claim(job_id) as hold:  # else its process is at it
                if hold and hold.record.status not in FINAL:
                    found.append(hold.record)
        return found

    def take_over(self, abandoned_before: float) -> None:
        for directory in former_jobs(self._runs_dir):
            self._adopt(directory, held=False)
        for draft in former_drafts(self._runs_dir):
            if written_in(draft) < abandoned_before:
                shutil.rmtree(draft, ignore_errors=True)

    def _adopt(self, directory: Path, *, held: bool) -> None:
        """Take over what an older version says of a job; it may go on doing so until the job is held."""
        if directory.parent.name != FORMER_JOBS or (record := read_former(directory)) is None:
            return
        if not held and self.get(record.id):
            return
        with self._write() as rows:
            rows.execute(
                "INSERT INTO jobs (directory, client, bytes, touched, record) VALUES (?, ?, ?, 0, ?) "
                "ON CONFLICT (directory) DO UPDATE SET record = excluded.record, bytes = excluded.bytes",
                (record.directory, record.client, size_of(directory), record.model_dump_json()),
            )
        if held or record.status in FINAL:
            (directory / FORMER_RECORD).unlink(missing_ok=True)

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connection()
        except sqlite3.Error as error:
            raise _as_os_error(error) from None

    @contextmanager
    def _write(self, *, alone: bool = False) -> Iterator[Statements]:  # noqa: ARG002  (every transaction is)
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


def secret_in(file: Path) -> bytes:
    """Read a secret, which the first process makes.

    Raises:
        OSError: it can neither be read nor made.

    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f"secret.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as written:
                written.write(secrets.token_bytes(32))
                written.flush()
                os.fsync(written.fileno())
            with suppress(FileExistsError):  # another process was first
                os.link(draft, file)
        finally:
            draft.unlink()
    return file.read_bytes()


def _as_os_error(error: sqlite3.Error) -> OSError:
    full = getattr(error, "sqlite_errorname", "").startswith("SQLITE_FULL")
    return OSError(errno.ENOSPC if full else errno.EIO, f"the jobs' database: {error}")
