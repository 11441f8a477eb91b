"""What claiming, listing and expiry of jobs take by the number of jobs: PostgreSQL beside SQLite.

Both have the same jobs, by bulk insert, and take turns at each operation; documents are files on this machine's disk
with both. ``python -m bench.jobs`` runs it, with a PostgreSQL of its own on the loopback address.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg

from api.privacy.jobs.record import Record, Status, now, sortable
from api.privacy.jobs.state.directory import LOCK
from api.privacy.jobs.store import JobStore
from api.settings import Settings
from bench.report import Figure, publish, table
from tests.support import servers

SECTION = "Jobs by their number"
SIZES = (1, 10_000, 300_000)
ROUNDS = 40
EXPIRED = 20
"""Jobs that each round of expiry finds, older than all others."""
WITH_FILES = 20
"""The oldest jobs that wait have a directory: SQLite's are held by a file in it."""
CLIENT, OWNER = "@bench", "bench"
CLIENTS = 1000
START = now() - timedelta(days=30)
HEAD = ["operation, jobs", "SQLite, ms", "PostgreSQL, ms", "÷ SQLite", "SQLite ÷ 1 job", "PostgreSQL ÷ 1 job"]
EXPLAINED = (
    "So many jobs that wait, and as many that are finished; PostgreSQL on the same machine, documents of both in "
    f"files. Wall time, first quartile of {ROUNDS} rounds in which both take turns; writes wait for the disk. Claiming "
    "is the choice of a client, its oldest job held and given back. A page is of 100 jobs, and of one where there is "
    "one. What waits is counted in at most a twentieth of a process's time."
)

Row = tuple[str, str, int, float, str]
Rows = Iterator[Row]


class Shape(NamedTuple):
    """Whose the jobs are that wait, and whether all but the youngest are put off."""

    clients: int = 1
    put_off: bool = False


class Side(NamedTuple):
    """A store, and how to put rows into it without its help."""

    store: JobStore
    runs_dir: Path
    insert: Callable[[Rows], None]
    settle: Callable[[], None]


def job(directory: str, number: int, **changes: Any) -> Row:
    """Return a job's row: the higher its number, the younger it is."""
    record = _EXAMPLE | {"id": f"{number:032x}", "created": sortable(START + timedelta(seconds=number))}
    record |= {"directory": directory, **changes}
    return directory, record["client"], 4096, 0.0, json.dumps(record)


_EXAMPLE = Record(
    id="", created=START, size=1, media_type="text/plain", charset=None, coding="identity", language="en",
    min_confidence=0.35, owner=OWNER, digest="0" * 64, client=CLIENT,
).model_dump(mode="json")  # fmt: skip


def waiting(jobs: int, shape: Shape) -> Rows:
    """Give so many jobs that wait, of clients in turn."""
    later = sortable(now() + timedelta(days=1))
    for number in range(jobs):
        put_off = {"not_before": later} if shape.put_off and number < jobs - 1 else {}
        yield job(f"documents/waiting/{number}", number, client=f"{CLIENT}{number % shape.clients or ''}", **put_off)


def finished(numbers: Sequence[int], age: timedelta = timedelta(0)) -> Rows:
    """Give finished jobs, whose documents as sent are gone."""
    for number in numbers:
        moment = sortable(START - age + timedelta(seconds=number))
        done = {"status": Status.SUCCEEDED.value, "finished": moment, "original": False}
        yield job(f"documents/finished/{number}", number, **done)


@contextmanager
def sqlite() -> Iterator[Side]:
    """Give the embedded side, empty."""
    with tempfile.TemporaryDirectory() as directory:
        store = JobStore(Settings(runs_dir=Path(directory), job_retention_bytes=10**15))
        rows: Any = store._rows

        def insert(given: Rows) -> None:
            with rows._write() as connection:
                connection.executemany(_INSERT.format(", ".join("?" * 5)), given)

        yield Side(store, Path(directory), insert, lambda: None)


@contextmanager
def postgresql(server: servers.Server) -> Iterator[Side]:
    """Give the side of many machines, empty: a schema of its own."""
    url, schema = f"postgresql://postgres@127.0.0.1:{server.port}/postgres", f"bench{uuid4().hex}"
    with tempfile.TemporaryDirectory() as directory, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
        connection.execute(f"SET search_path = {schema}".encode())
        there = f"{url}?options=-csearch_path%3D{schema}"
        store = JobStore(Settings(runs_dir=Path(directory), database_url=there, job_retention_bytes=10**15))
        store.secret()  # the tables are made

        def insert(given: Rows) -> None:
            # The trigger would change one row of `clients` once for each job, all in one transaction.
            connection.execute("SET session_replication_role = replica")
            with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
                for row in given:
                    copy.write_row(row)
            connection.execute("SET session_replication_role = origin")
            connection.execute("DELETE FROM clients")
            connection.execute("INSERT INTO clients SELECT client, SUM(bytes) FROM jobs GROUP BY client")

        def settle() -> None:
            connection.execute("VACUUM ANALYZE jobs")  # as PostgreSQL does by itself

        yield Side(store, Path(directory), insert, settle)
        store._rows.close()  # type: ignore[attr-defined]
        connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())


_COLUMNS = "jobs (directory, client, bytes, touched, record)"
_INSERT = f"INSERT INTO {_COLUMNS} VALUES ({{}})"
_COPY = f"COPY {_COLUMNS} FROM STDIN"


def fill(side: Side, jobs: int, shape: Shape) -> None:
    """Put in as many jobs that wait, and as many that are finished."""
    side.insert(waiting(jobs, shape))
    side.insert(finished(range(jobs, 2 * jobs)))
    for number in {*range(min(jobs, WITH_FILES)), jobs - 1}:
        directory = side.runs_dir / "documents" / "waiting" / str(number)
        directory.mkdir(parents=True)
        (directory / LOCK).touch()
    side.settle()


def claim(side: Side) -> float:
    """Choose a client, hold its oldest job and give it back, as a job process does that begins with one."""
    begun = time.perf_counter()
    client = min(side.store.clients())
    with side.store.claim_due(client, now()) as held:
        assert held
    return time.perf_counter() - begun


def first_page(side: Side) -> float:
    """List the newest 100 jobs."""
    return _page(side, None)


def middle_page(side: Side) -> float:
    """List 100 jobs from the middle on."""
    newest = side.store.page(OWNER, limit=1)[0]
    middle = START + (newest.created - START) / 2
    return _page(side, (sortable(middle), "f" * 32))


def _page(side: Side, before: tuple[str, str] | None) -> float:
    begun = time.perf_counter()
    assert side.store.page(OWNER, before=before, limit=101)
    return time.perf_counter() - begun


_old = count(10**9)


def expire(side: Side) -> float:
    """Remove jobs that are older than all others; gives the seconds for each."""
    numbers = [next(_old) for _ in range(EXPIRED)]
    side.insert(finished(numbers, timedelta(seconds=2 * 10**9)))
    for number in numbers:
        directory = side.runs_dir / "documents" / "finished" / str(number)
        directory.mkdir(parents=True)
        for name in (LOCK, "result"):
            (directory / name).touch()
    begun = time.perf_counter()
    assert side.store.expire(START - timedelta(days=1)) == EXPIRED
    return (time.perf_counter() - begun) / EXPIRED


def depth(side: Side) -> float:
    """Count what waits, and name the first of it, as the sweep does."""
    begun = time.perf_counter()
    side.store.waiting(now())
    return time.perf_counter() - begun


OPERATIONS: dict[str, tuple[Callable[[Side], float], Shape]] = {
    "claiming, of one client": (claim, Shape()),
    f"claiming, of {CLIENTS:,} clients": (claim, Shape(clients=CLIENTS)),
    "claiming, all others put off": (claim, Shape(put_off=True)),
    "listing, the first page": (first_page, Shape()),
    "listing, from the middle on": (middle_page, Shape()),
    "expiry, for each job that goes": (expire, Shape()),
    "counting what waits": (depth, Shape()),
}


def measure(server: servers.Server, jobs: int) -> dict[str, tuple[float, float]]:
    """Return the milliseconds of each operation with SQLite and with PostgreSQL: first quartiles of rounds in turn."""
    found = {}
    for shape in dict.fromkeys(shape for _, shape in OPERATIONS.values()):
        with sqlite() as one, postgresql(server) as other:
            sides = (one, other)
            for side in sides:
                fill(side, jobs, shape)
            for name, (operation, wanted) in OPERATIONS.items():
                if wanted == shape:
                    taken = [[operation(side) for side in sides] for _ in range(ROUNDS)]
                    embedded, shared = (1000 * quantiles(times)[0] for times in zip(*taken, strict=True))
                    found[name] = (embedded, shared)
                    print(f"{jobs:,} jobs: {name}: {embedded:.2f} ms, {shared:.2f} ms", flush=True)
    return found


def main() -> None:
    """Measure and print a table."""
    with servers.postgresql() as server:
        measured = {jobs: measure(server, jobs) for jobs in SIZES}
    rows = []
    for name in OPERATIONS:
        least = measured[SIZES[0]][name]
        for jobs in SIZES:
            embedded, shared = measured[jobs][name]
            rows.append(
                [
                    f"{name}: {jobs:,}", f"{embedded:.2f}", f"{shared:.2f}", f"{shared / embedded:.1f}",
                    f"{embedded / least[0]:.1f}", f"{shared / least[1]:.1f}",
                ]
            )  # fmt: skip
    claiming = next(iter(OPERATIONS))
    one, most = (measured[jobs][claiming] for jobs in (SIZES[0], SIZES[-1]))
    figures = [
        Figure(f"claiming a job among {SIZES[-1]:,}, {name}", "among one", most[side] / one[side])
        for side, name in enumerate(("SQLite", "PostgreSQL"))
    ]
    publish(SECTION, f"{EXPLAINED}\n\n{table(HEAD, rows)}", figures)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
