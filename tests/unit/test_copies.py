"""What docker/backup/copies.py makes of volumes whose services are at work meanwhile."""

import fcntl
import importlib.util
import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("copies", ROOT / "docker/backup/copies.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    return module


@pytest.fixture
def volume(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    return make


def write(path: Path, content: str = "here") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_an_empty_volume_stays_empty(copies: ModuleType, volume: Callable[[str], Path]) -> None:
    path = volume("valkey")
    assert copies.copy_all(path.parent) == ["ok"]
    assert list(path.iterdir()) == []


def test_what_is_replaced_or_removed_later_is_in_the_copy(copies: ModuleType, volume: Callable[[str], Path]) -> None:
    tls = volume("tls")
    write(tls / "tls.key", "old").chmod(0o640)
    write(tls / "deep/er/file")
    (tls / "link").symlink_to("tls.key")
    tls.chmod(0o1777)
    assert copies.copy_all(tls.parent) == ["ok"]
    write(tls / "new", "new").replace(tls / "tls.key")
    (tls / "deep/er/file").unlink()
    copy = tls / ".backup"
    assert (copy / "tls.key").read_text() == "old"
    assert (copy / "tls.key").stat().st_mode & 0o7777 == 0o640
    assert (copy / "deep/er/file").read_text() == "here"
    assert (copy / "link").readlink() == Path("tls.key")
    assert copy.stat().st_mode & 0o7777 == 0o1777
    copies.drop(tls.parent)
    assert not copy.exists()


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
@pytest.mark.parametrize("opened", [True, False])
def test_a_database_is_copied_with_what_its_log_has(
    copies: ModuleType, volume: Callable[[str], Path], mode: str, opened: bool
) -> None:
    path = volume("grafana") / "grafana.db"
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA journal_mode = {mode}")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    database.execute("CREATE TABLE t (x)")
    database.execute("INSERT INTO t VALUES (1)")
    database.commit()
    database.execute("INSERT INTO t VALUES (2)")  # not committed
    if not opened:
        database.rollback()
        database.close()
    before = {entry.name for entry in path.parent.iterdir()}
    assert copies.copy_all(path.parent.parent) == ["ok"]
    assert {entry.name for entry in path.parent.iterdir()} == before | {".backup"}
    copy = path.parent / ".backup"
    assert {entry.name for entry in copy.iterdir()} == {"grafana.db"}
    assert sqlite3.connect(copy / "grafana.db").execute("SELECT x FROM t").fetchall() == [(1,)]
    if opened:
        database.commit()  # nobody holds it
        database.close()


def test_a_database_that_is_broken_fails_by_its_name(copies: ModuleType, volume: Callable[[str], Path]) -> None:
    path = volume("grafana") / "grafana.db"
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))
    (said,) = copies.copy_all(path.parent.parent)
    assert said.startswith("grafana: cannot be copied: ")
    assert not (path.parent / ".backup").exists()


def jobs(path: Path, **statuses: str) -> sqlite3.Connection:
    database = sqlite3.connect(path / "jobs.db")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE jobs (directory, status, finished)")
    for directory, status in statuses.items():
        finished = None if status in ("queued", "running") else 1
        database.execute("INSERT INTO jobs VALUES (?, ?, ?)", (f"documents/{directory}", status, finished))
    database.commit()
    return database


def test_a_job_that_is_finished_meanwhile_has_its_result(
    copies: ModuleType, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = volume("runs")
    write(runs / "documents/a/document")
    database = jobs(runs, a="running")
    real = copies.copy_database

    def finish(source: Path, target: Path) -> None:
        write(runs / "documents/a/result")
        (runs / "documents/a/document").unlink(missing_ok=True)
        database.execute("UPDATE jobs SET status = 'succeeded', finished = 1")
        database.commit()
        real(source, target)

    monkeypatch.setattr(copies, "copy_database", finish)
    assert copies.copy_all(runs.parent) == ["ok"]
    assert (runs / ".backup/documents/a/result").exists()
    database.close()


def test_a_job_that_came_and_went_meanwhile_is_looked_for_again(
    copies: ModuleType, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = volume("runs")
    write(runs / "documents/a/result")
    database = jobs(runs, a="succeeded")
    real, times = copies.copy_database, []

    def came(source: Path, target: Path) -> None:
        times.append(target)
        if len(times) == 1:  # in the row, but its document is gone before the copy is at it
            database.execute("INSERT INTO jobs VALUES ('documents/b', 'queued', NULL)")
            database.commit()
            real(source, target)
            write(runs / "documents/b/result")
            database.execute("UPDATE jobs SET status = 'succeeded', finished = 1")
            database.commit()
        else:
            real(source, target)

    monkeypatch.setattr(copies, "copy_database", came)
    assert copies.copy_all(runs.parent) == ["ok"]
    assert len(times) == 2
    with sqlite3.connect(runs / ".backup/jobs.db") as copy:
        assert dict(copy.execute("SELECT directory, status FROM jobs"))["documents/b"] == "succeeded"
    database.close()


def test_a_job_whose_files_are_lost_does_not_keep_all_others_from_being_kept(
    copies: ModuleType, volume: Callable[[str], Path]
) -> None:
    runs = volume("runs")
    jobs(runs, a="queued").close()
    assert copies.copy_all(runs.parent) == ["ok", "runs: 1 jobs without their files"]
    assert (runs / ".backup/jobs.db").exists()


BLOCK = "01J00000000000000000000000"


def test_prometheus_log_is_cut_where_it_is_and_its_blocks_are_whole(
    copies: ModuleType, volume: Callable[[str], Path]
) -> None:
    path = volume("prometheus")
    last = write(path / "wal/00000002", "cut")
    for name in ("wal/00000001", "wal/checkpoint.00000000/00000000", f"{BLOCK}/meta.json", "expected.yml", "lock"):
        write(path / name)
    write(path / "wal/checkpoint.00000001.tmp/00000000")
    write(path / "chunks_head/000001")
    assert copies.copy_all(path.parent) == ["ok"]
    with last.open("a") as log:
        log.write(" and more")
    copy = path / ".backup"
    names = {str(p.relative_to(copy)) for p in copy.rglob("*") if p.is_file()}
    assert names == {
        "wal/00000001", "wal/00000002", "wal/checkpoint.00000000/00000000", f"{BLOCK}/meta.json", "expected.yml",
    }  # fmt: skip
    assert (copy / "wal/00000002").read_text() == "cut"


def test_a_log_that_is_cut_meanwhile_is_copied_again(
    copies: ModuleType, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = volume("prometheus")
    for name in ("wal/00000001", "wal/00000002", f"{BLOCK}/meta.json"):
        write(path / name)
    real, done = copies.one, list[Path]()

    def compact(source: Path, target: Path) -> None:
        real(source, target)
        if source.name == BLOCK and not done:
            done.append(write(path / "wal/checkpoint.00000001/00000000"))
            (path / "wal/00000001").unlink()

    monkeypatch.setattr(copies, "one", compact)
    assert copies.copy_all(path.parent) == ["ok"]
    assert {entry.name for entry in (path / ".backup/wal").iterdir()} == {"00000002", "checkpoint.00000001"}


def test_parts_that_are_merged_all_the_time_are_given_up_in_a_line(
    copies: ModuleType, volume: Callable[[str], Path]
) -> None:
    path = volume("logs")
    write(path / "partitions/20261127/datadb/parts.json", json.dumps(["A", "B"]))
    write(path / "partitions/20261127/datadb/A/metadata.json")
    assert copies.copy_all(path.parent) == [
        "logs: cannot be copied: it changed in each of 5 attempts; the last: parts were merged"
    ]
    write(path / "partitions/20261127/datadb/B/metadata.json")
    assert copies.copy_all(path.parent) == ["ok"]


def test_an_append_only_file_is_copied_with_all_that_its_manifest_names(
    copies: ModuleType, volume: Callable[[str], Path]
) -> None:
    path = volume("valkey")
    write(path / "appendonlydir/a.manifest", "file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\n")
    write(path / "appendonlydir/a.1.base.rdb")
    assert "rewritten" in copies.copy_all(path.parent)[0]
    write(path / "appendonlydir/a.1.incr.aof")
    assert copies.copy_all(path.parent) == ["ok"]


def test_traces_are_left_out_while_jaeger_has_them_open(copies: ModuleType, volume: Callable[[str], Path]) -> None:
    path = volume("traces")
    write(path / "keys/MANIFEST")
    held = os.open(path / "keys", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    status, note = copies.copy_all(path.parent)
    assert status == "ok"
    assert "left out" in note
    assert not (path / ".backup").exists()
    os.close(held)
    assert copies.copy_all(path.parent) == ["ok"]
    assert (path / ".backup/keys/MANIFEST").exists()


def test_silences_are_those_that_are_written_down_after_the_backup_began(
    copies: ModuleType, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = volume("alertmanager")
    silences = write(path / "silences", "old")
    os.utime(silences, (time.time() - 5,) * 2)

    def maintain(_: float) -> None:
        write(path / "new", "new").replace(silences)
        os.utime(silences, (time.time() + 1,) * 2)

    monkeypatch.setattr(copies.time, "sleep", maintain)
    assert copies.copy_all(path.parent) == ["ok"]
    assert (path / ".backup/silences").read_text() == "new"


def test_an_alertmanager_that_does_not_run_is_not_waited_for(
    copies: ModuleType, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = volume("alertmanager")
    os.utime(write(path / "silences"), (time.time() - 3600,) * 2)
    monkeypatch.setattr(copies.time, "sleep", lambda _: pytest.fail("waited"))
    assert copies.copy_all(path.parent) == ["ok"]


class Server:
    """What backups see of a PostgreSQL: its lock, and who dumps beside it, whenever somebody waits."""

    def __init__(self, volume: Path, *answers: str) -> None:
        self.dumps, self.answers = volume / "dumps", list(answers)
        write(volume / "18/docker/PG_VERSION", "18")
        self.dumps.mkdir()
        self.lock = write(volume / "lock", "").open()
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def work(self, _: float) -> None:
        request = self.dumps / "request"
        if request.exists() and self.answers:
            said = self.answers.pop(0)
            if said == "ok":
                write(self.dumps / "mlflow.dump", "all of it")
            write(self.dumps / "answer", f"{request.read_text()}\n{said}\n")


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_a_postgresql_that_runs_dumps_its_databases_for_each_backup_anew(
    copies: ModuleType, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = volume("postgres")
    server = Server(path, "FATAL:  the database system is starting up", "ok", "ok")
    monkeypatch.setattr(copies.time, "sleep", server.work)
    for _ in range(2):
        assert copies.copy_all(path.parent) == ["ok"]
        copy = path / ".backup"
        assert names(copy) == {"restore/mlflow"}
        assert (copy / "restore/mlflow").read_text() == "all of it"
        copies.drop(path.parent)
        assert names(path) == {"18/docker/PG_VERSION", "lock", "dumps/answer"}


def test_a_database_that_cannot_be_dumped_fails_the_backup_by_its_reason(
    copies: ModuleType, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = volume("postgres")
    monkeypatch.setattr(copies.time, "sleep", Server(path, *["pg_dump: error: no room"] * 5).work)
    (said,) = copies.copy_all(path.parent)
    assert said.startswith("postgres: cannot be copied: ")
    assert said.endswith("pg_dump: error: no room")
    assert not (path / ".backup").exists()


def test_a_postgresql_that_does_not_answer_is_no_backup(
    copies: ModuleType, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = volume("postgres")
    server = Server(path)
    monkeypatch.setattr(copies, "DUMP_SECONDS", 0.0)
    (said,) = copies.copy_all(path.parent)
    assert said == (
        "postgres: cannot be copied: nobody dumps its databases; expected the service postgres to be healthy"
    )
    assert names(server.dumps) == set()


def test_a_postgresql_that_does_not_run_is_copied_as_files_of_their_own(
    copies: ModuleType, volume: Callable[[str], Path]
) -> None:
    path = volume("postgres")
    Server(path).lock.close()
    (path / "18/docker").chmod(0o700)
    assert copies.copy_all(path.parent) == ["ok"]
    write(path / "18/docker/PG_VERSION", "19")  # in place, as PostgreSQL does once it runs
    copy = path / ".backup"
    assert names(copy) == {"18/docker/PG_VERSION", "lock"}
    assert (copy / "18/docker/PG_VERSION").read_text() == "18"
    assert (copy / "18/docker").stat().st_mode & 0o7777 == 0o700
