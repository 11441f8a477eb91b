"""Rows in a database that speaks SQL: what both dialects say alike. Its placeholder is `?`."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from api.privacy.jobs.record import Record, Status, sortable
from api.privacy.jobs.state.interface import Entry, GoingError, TakenError, Waiting

PUT_OFF = "not_before <= ? ORDER BY not_before, created LIMIT ?"
FRESH = "not_before IS NULL ORDER BY not_before, created LIMIT ?"
"""Which of a client's jobs are due: those put off until a time that has come, then the others, which are younger.

Each is a range of the index, in its order: what is put off for later is not looked at, however much of it there is.
"""


class Answer(Protocol):
    """A query's rows."""

    def fetchone(self) -> Any:
        """Give the next one, None after the last."""

    def __iter__(self) -> Iterator[Any]:
        """Give all."""


class Statements(Protocol):
    """A connection."""

    def execute(self, query: str, values: Sequence[object] = (), /) -> Answer:
        """Run one statement."""


class SqlRows(ABC):
    """What is known of jobs; found by index and never all read at once."""

    def __init__(self, most: int) -> None:
        """Take the bytes that all rows together may take."""
        self._most = most

    @abstractmethod
    def _read(self) -> AbstractContextManager[Statements]:
        """Give a connection; its errors become `OSError`."""

    @abstractmethod
    def _write(self, *, alone: bool = False) -> AbstractContextManager[Statements]:
        """Give a transaction; `alone` it is the only such one."""

    @abstractmethod
    def _is_going(self, rows: Statements, record: Record) -> bool:
        """Tell whether a job is asked to stop."""

    def hold(self, directory: str, client: str, size: int) -> bool:
        with self._write(alone=True) as rows:
            found = rows.execute("SELECT bytes FROM jobs WHERE directory = ?", (directory,)).fetchone()
            more = size - (found[0] if found else 0)
            if more > 0 and self._over(rows, client, more) > 0:
                return False
            rows.execute(
                "INSERT INTO jobs (directory, client, bytes, touched) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (directory) DO UPDATE SET bytes = excluded.bytes, touched = excluded.touched",
                (directory, client, size, time.time()),
            )
        return True

    def over(self, client: str, more: int = 0) -> int:
        with self._read() as rows:
            return self._over(rows, client, more)

    def evictable(self, client: str) -> int:
        query = "SELECT COALESCE(SUM(bytes), 0) FROM jobs WHERE client = ? AND finished IS NOT NULL"
        return int(self._one(query, client)[0])

    def accept(self, upload: str, entries: Sequence[Entry]) -> list[Record | None]:
        existing: list[Record | None] = []
        with self._write(alone=True) as rows:
            rows.execute("DELETE FROM jobs WHERE directory = ?", (upload,))
            for directory, size, record in entries:
                found = as_record(rows.execute("SELECT record FROM jobs WHERE id = ?", (record.id,)).fetchone())
                if found and (found.digest, found.owner) != (record.digest, record.owner):
                    raise TakenError
                if found and self._is_going(rows, found):
                    raise GoingError
                existing.append(found)
                rows.execute(
                    "INSERT INTO jobs (directory, client, bytes, touched, record) VALUES (?, ?, ?, ?, ?)",
                    (directory, record.client, size, 0.0, None if found else record.model_dump_json()),
                )
        return existing

    def get(self, job_id: str) -> Record | None:
        with self._read() as rows:
            return as_record(rows.execute("SELECT record FROM jobs WHERE id = ?", (job_id,)).fetchone())

    def discard(self, record: Record) -> None:
        with self._write() as rows:
            rows.execute(
                "UPDATE jobs SET record = NULL, touched = 0 WHERE id = ? AND directory = ?",
                (record.id, record.directory),
            )

    def forget(self, directory: str) -> None:
        with self._write() as rows:
            rows.execute("DELETE FROM jobs WHERE directory = ? AND record IS NULL", (directory,))

    def untouched(self, since: float, most: int = 100) -> list[tuple[str, bool]]:
        query = "SELECT directory, touched = 0 FROM jobs WHERE record IS NULL AND touched < ? ORDER BY touched LIMIT ?"
        with self._read() as rows:
            return [(directory, bool(going)) for directory, going in rows.execute(query, (since, most))]

    def page(self, owner: str | None, batch: str | None, before: tuple[str, str] | None, limit: int) -> list[Record]:
        # No `IS ?`: PostgreSQL has no index for it.
        where, values = ("owner IS NULL", []) if owner is None else ("owner = ?", [owner])
        if batch is not None:
            where, values = f"batch = ? AND {where}", [batch, *values]
        if before is not None:
            where, values = f"{where} AND (created, id) < (?, ?)", [*values, *before]
        query = f"SELECT record FROM jobs WHERE record IS NOT NULL AND {where} ORDER BY created DESC, id DESC LIMIT ?"  # noqa: S608
        return [Record.model_validate_json(text) for text in self._column(query, *values, limit)]

    def clients(self) -> list[str]:
        # A step through the index for each, however many jobs it has.
        return self._column(
            """WITH RECURSIVE found(client) AS (
                SELECT MIN(client) FROM jobs WHERE to_do IS NOT NULL UNION ALL
                SELECT (SELECT MIN(client) FROM jobs WHERE to_do IS NOT NULL AND client > found.client) FROM found
                WHERE client IS NOT NULL
            ) SELECT client FROM found WHERE client IS NOT NULL"""
        )

    def waiting(self, moment: datetime) -> Waiting:
        query = (
            "SELECT COUNT(*), COUNT(*) FILTER (WHERE not_before IS NULL OR not_before <= ?), MIN(created), "
            "(SELECT COUNT(*) FROM jobs WHERE to_do = ?) FROM jobs WHERE to_do = ?"
        )
        values = (sortable(moment), Status.RUNNING.value, Status.QUEUED.value)
        jobs, due, oldest, begun = self._one(query, *values)
        return Waiting(int(jobs), int(due), datetime.fromisoformat(oldest) if oldest else None, int(jobs) + int(begun))

    def with_status(self, status: Status, most: int) -> list[str]:
        query = "SELECT id FROM jobs WHERE to_do = ? ORDER BY created LIMIT ?"
        return self._column(query, status.value, most)

    def finished(self, before: datetime, most: int = 100) -> list[str]:
        query = "SELECT id FROM jobs WHERE finished IS NOT NULL AND finished < ? ORDER BY finished LIMIT ?"
        return self._column(query, sortable(before), most)

    def oldest_finished(self, client: str, most: int = 1) -> list[str]:
        query = "SELECT id FROM jobs WHERE client = ? AND finished IS NOT NULL ORDER BY finished LIMIT ?"
        return self._column(query, client, most)

    def with_original(self, most: int = 100) -> list[str]:
        return self._column("SELECT id FROM jobs WHERE to_clear = 1 LIMIT ?", most)

    def largest(self) -> str | None:
        (total,) = self._one("SELECT COALESCE(SUM(bytes), 0) FROM clients")
        if int(total) <= self._most:
            return None
        query = (
            "SELECT client FROM clients c WHERE EXISTS "
            "(SELECT 1 FROM jobs WHERE client = c.client AND finished IS NOT NULL) ORDER BY bytes DESC LIMIT 1"
        )
        return next(iter(self._column(query)), None)

    def _over(self, rows: Statements, client: str, more: int) -> int:
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


def as_record(row: tuple[str | None] | None) -> Record | None:
    """Read the record that a query for one has found."""
    return Record.model_validate_json(row[0]) if row and row[0] else None
