"""Makes, when it is asked to, copies of what the services keep while they run, for restic to read at its leisure.

Each volume's is in a directory `.backup` in it: databases copied by SQLite's own means, all else as hard links, which
take no room. A link holds what is replaced or removed later, and a file that is only appended to is, cut anywhere,
what a crash would have left. What belongs together and changed meanwhile is copied again.
Run by /usr/bin/python3 of the service's image, without a network: standard library only.
"""

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

COPY = ".backup"
ATTEMPTS = 5
"""Times a volume is copied before what changes in it is too much."""
SILENCES_SECONDS = 60.0
"""Seconds within which Alertmanager, when it runs, writes its silences down (docker-compose.prod.yml)."""
DUMP_SECONDS = 1800.0
"""Seconds within which PostgreSQL, when it runs, dumps its databases (docker/postgres/dumps.sh)."""
SQLITE = b"SQLite format 3\0"
BLOCK = re.compile(r"[0-9A-Z]{26}")
"""The name of one of Prometheus' blocks, a ULID."""


class ChangedError(Exception):
    """What belongs together changed while it was copied."""


def main() -> None:
    """Answer requests: "copy ID" makes all copies, "drop ID" removes them."""
    volumes, exchange = (Path(argument) for argument in sys.argv[1:3])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    drop(volumes)
    answered = read(exchange / "answer").partition("\n")[0]
    Path("/tmp/ready").touch()  # noqa: S108  # the container's own; for its health check
    try:
        while True:
            request = read(exchange / "request")
            if request != answered:
                drop(volumes)
                said = copy_all(volumes) if request.startswith("copy ") else ["ok"]
                new = exchange / "answer.new"
                new.write_text("\n".join([request, *said, ""]))
                new.replace(exchange / "answer")
                answered = request
            time.sleep(0.2)
    finally:
        drop(volumes)


def read(path: Path) -> str:
    """Return the line a file holds; nothing without the file."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def drop(volumes: Path) -> None:
    """Remove all copies."""
    for copy in volumes.glob(f"*/{COPY}"):
        shutil.rmtree(copy)


def copy_all(volumes: Path) -> list[str]:
    """Copy every volume that holds anything.

    Returns:
        "ok" and a line for each thing that people should know; or a line with what failed.

    """
    notes = []
    for volume in sorted(volumes.iterdir()):
        if any(volume.iterdir()):
            try:
                notes += copy_volume(volume)
            except (OSError, sqlite3.Error, ChangedError) as error:
                drop(volumes)
                return [f"{volume.name}: cannot be copied: {error}"]
    return ["ok", *notes]


def copy_volume(volume: Path) -> list[str]:
    """Copy a volume, again if what belongs together in it changed meanwhile; return what people should know.

    Raises:
        ChangedError: it did each time.
        OSError: a file cannot be read or the copy not be written.
        sqlite3.Error: a database is broken.

    """
    target = volume / COPY
    for attempt in range(ATTEMPTS):
        try:
            return COPIERS.get(volume.name, anything)(volume, target)
        except (ChangedError, FileNotFoundError) as error:
            shutil.rmtree(target, ignore_errors=True)
            reason = error
            time.sleep(attempt)
    raise ChangedError(f"it changed in each of {ATTEMPTS} attempts; the last: {reason}")


def anything(volume: Path, target: Path) -> list[str]:
    """Copy a directory, file by file."""
    target.mkdir(exist_ok=True)
    for entry in sorted(volume.iterdir()):
        if entry.name != COPY:
            one(entry, target / entry.name)
    like(volume, target)
    return []


def one(source: Path, target: Path) -> None:
    """Copy a file or directory, and leave what was copied before."""
    if source.is_symlink():
        if not target.is_symlink():
            target.symlink_to(source.readlink())
    elif source.is_dir():
        anything(source, target)
    elif source.is_file() and not target.exists():
        if database_of(source) is not None:
            return  # what of it counts is in the copy of its database
        if is_database(source):
            copy_database(source, target)
        else:
            os.link(source, target)


def like(source: Path, target: Path) -> None:
    """Give a copy the owner and mode of its source."""
    status = source.stat()
    os.chown(target, status.st_uid, status.st_gid)
    target.chmod(status.st_mode & 0o7777)


def is_database(path: Path) -> bool:
    """Say whether a file is a database of SQLite's."""
    return header(path).startswith(SQLITE)


def header(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(20)


def database_of(path: Path) -> Path | None:
    """Return the database that a journal beside it is of."""
    base = re.sub(r"-(wal|shm|journal)$", "", path.name)
    database = path.with_name(base)
    return database if base != path.name and database.is_file() and is_database(database) else None


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as one transaction sees it, and look whether it is whole."""
    # Its files are another user's: none is to be made, which SQLite otherwise would even to read. One with a log that
    # nobody has open has no file of locks.
    log = source.with_name(f"{source.name}-wal")
    closed = header(source)[18:19] == b"\2" and not log.exists()
    options = "immutable=1" if closed else "mode=ro&readonly_shm=1"
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?{options}", 30, uri=True)) as database,
        closing(sqlite3.connect(target)) as copy,
    ):
        database.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # in one file
        (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if closed and log.exists():
        raise ChangedError(f"{source.name} was opened")
    if said != "ok":
        raise ChangedError(f"{source.name}: {said}")
    like(source, target)


def runs(volume: Path, target: Path) -> list[str]:
    """Copy the files, the databases, and the files that came meanwhile: each job has then what its row says it has."""
    for attempt in range(ATTEMPTS):
        anything(volume, target)
        anything(volume, target)
        jobs = target / "jobs.db"
        missing = without_files(target, jobs) if jobs.is_file() and is_database(jobs) else 0
        if not missing:
            return []
        if attempt < ATTEMPTS - 1:
            for path in target.iterdir():
                if path.is_file() and is_database(path):
                    path.unlink()
    return [f"runs: {missing} jobs without their files"]  # nor has the volume


def without_files(runs_dir: Path, database: Path) -> int:
    """Return how many jobs lack the file by which they go on, or are answered (api/privacy/jobs/store.py)."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as rows:
        try:
            jobs = rows.execute(
                "SELECT directory, status FROM jobs"
                " WHERE finished IS NULL AND status IS NOT NULL OR status = 'succeeded'"
            ).fetchall()
        except sqlite3.OperationalError:  # an application's own
            return 0
    names = {"succeeded": "result"}
    return sum(not (runs_dir / directory / names.get(status, "document")).exists() for directory, status in jobs)


def prometheus(volume: Path, target: Path) -> list[str]:
    """Copy the write-ahead log and then the blocks.

    What a compaction moves into a block meanwhile is in both, and is read once; what the log's records have in
    chunks_head is made from them again.
    """
    target.mkdir()
    log = target / "wal"
    log.mkdir()
    entries = sorted(entry for entry in (volume / "wal").iterdir() if not entry.name.endswith(".tmp"))
    segments = [entry for entry in entries if entry.name.isdigit()]
    for entry in entries:
        if entry in segments[-1:]:  # appended to
            shutil.copyfile(entry, log / entry.name)
            like(entry, log / entry.name)
        else:
            one(entry, log / entry.name)
    for entry in sorted(volume.iterdir()):
        if BLOCK.fullmatch(entry.name) or entry.name in ("expected.yml", "last-good.tar"):
            one(entry, target / entry.name)
    if not all(entry.exists() for entry in segments):
        raise ChangedError("the log was cut")
    like(volume / "wal", log)
    like(volume, target)
    return []


def alertmanager(volume: Path, target: Path) -> list[str]:
    """Copy what Alertmanager has written down since now: every few seconds it writes all it knows."""
    begun = time.time()
    silences = volume / "silences"
    while silences.exists() and begun - SILENCES_SECONDS < silences.stat().st_mtime < begun:
        if time.time() > begun + SILENCES_SECONDS:
            break  # it has ended meanwhile
        time.sleep(0.2)
    return anything(volume, target)


def logs(volume: Path, target: Path) -> list[str]:
    """Copy VictoriaLogs' partitions, of which a list says what parts there are; a part never changes."""
    anything(volume, target)
    for file in target.rglob("parts.json"):
        if not all((file.parent / part).is_dir() for part in json.loads(file.read_text())):
            raise ChangedError("parts were merged")
    return []


def traces(volume: Path, target: Path) -> list[str]:
    """Copy what Jaeger's database keeps, unless Jaeger has it open: its files change in place."""
    keys = volume / "keys"
    if keys.is_dir():
        directory = os.open(keys, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            return ["traces: left out, because Jaeger runs; `make backup` stops it meanwhile"]
        finally:
            os.close(directory)
    return anything(volume, target)


def valkey(volume: Path, target: Path) -> list[str]:
    """Copy Valkey's append-only files, of which a manifest says which there are."""
    anything(volume, target)
    for manifest in target.glob("appendonlydir/*.manifest"):
        if not all((manifest.parent / line.split()[1]).exists() for line in manifest.read_text().splitlines() if line):
            raise ChangedError("the append-only file was rewritten")
    return []


def postgres(volume: Path, target: Path) -> list[str]:
    """Have PostgreSQL dump its databases; where it does not run, copy its files, which change in place."""
    with (volume / "lock").open() as lock:  # start.sh holds it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return dumped(volume, target)
        apart(volume, target)
    return []


def dumped(volume: Path, target: Path) -> list[str]:
    """Ask for dumps, and move them to where the next start after a restore looks for them.

    Raises:
        ChangedError: a database cannot be dumped just now.
        TimeoutError: nobody answers.

    """
    dumps, request = volume / "dumps", str(time.time_ns())
    new = dumps / "request.new"
    new.write_text(request)
    new.chmod(0o644)
    new.replace(dumps / "request")
    begun = time.monotonic()
    try:
        while not (answer := read(dumps / "answer")).startswith(request):
            if time.monotonic() > begun + DUMP_SECONDS:
                raise TimeoutError("nobody dumps its databases; expected the service postgres to be healthy")
            time.sleep(0.2)
    finally:
        with suppress(FileNotFoundError):
            (dumps / "request").unlink()
    said = answer.partition("\n")[2]
    if said != "ok":
        raise ChangedError(said)
    (target / "restore").mkdir(parents=True)
    for dump in dumps.glob("*.dump"):
        dump.replace(target / "restore" / dump.stem)
    like(volume, target)
    like(dumps, target / "restore")
    return []


def apart(source: Path, target: Path) -> None:
    """Copy a directory as files of its own."""
    target.mkdir()
    for entry in source.iterdir():
        if entry.is_dir() and entry.name != COPY:
            apart(entry, target / entry.name)
        elif entry.is_file():
            shutil.copyfile(entry, target / entry.name)
            like(entry, target / entry.name)
    like(source, target)


COPIERS: dict[str, Callable[[Path, Path], list[str]]] = {
    "alertmanager": alertmanager, "logs": logs, "postgres": postgres, "prometheus": prometheus, "runs": runs,
    "traces": traces, "valkey": valkey,
}  # fmt: skip
"""How volumes are copied whose files belong together."""

if __name__ == "__main__":
    main()
