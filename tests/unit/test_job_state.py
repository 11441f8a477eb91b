"""What keeps jobs elsewhere, while it is not there; with a server it is tests/state."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import psycopg_pool
import pytest
from botocore.stub import Stubber  # type: ignore[import-untyped]

from api.privacy.jobs.state import postgresql
from api.privacy.jobs.state.interface import AwayError
from api.privacy.jobs.state.opened import open_state
from api.privacy.jobs.state.postgresql import PostgresRows
from api.privacy.jobs.state.s3 import ROOM, Bucket
from api.settings import Settings, load_settings
from sightglass.environment import SettingsError
from tests.support.service import metric

ROOT = Path(__file__).resolve().parents[2]


def test_whoever_waits_for_a_database_that_never_was_there_waits_beside_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = Barrier(4)

    class Pool:
        check_connection = None

        def __init__(self, *_: object, **__: object) -> None:
            pass

        @contextmanager
        def connection(self) -> Iterator[None]:
            together.wait(60)
            raise psycopg.OperationalError
            yield

    monkeypatch.setattr(postgresql, "ConnectionPool", Pool)
    rows = PostgresRows("postgresql://u@host/db", 1)
    counted = metric("sightglass_job_state_errors_total", store="database", operation="read")

    def look() -> str:
        with pytest.raises(AwayError) as error:
            rows.clients()
        return str(error.value)

    with ThreadPoolExecutor(4) as threads:
        said = [future.result() for future in [threads.submit(look) for _ in range(4)]]
    assert said == ["[Errno 5] the jobs' database: OperationalError"] * 4
    assert metric("sightglass_job_state_errors_total", store="database", operation="read") == counted + 4


def test_a_database_that_vanishes_is_noticed_whoever_has_sent_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of the protocol's first two messages: it lets in, and is ready."""

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")
            connection.recv(4096)

    for statements in ("_bound", "_prepare"):
        monkeypatch.setattr(postgresql, statements, lambda _: None)
    monkeypatch.setattr(psycopg_pool.ConnectionPool, "check_connection", None)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        threads.submit(serve, listener)
        rows = PostgresRows(f"postgresql://u:p@127.0.0.1:{listener.getsockname()[1]}/db?sslmode=disable", 1)
        with closing(rows), rows._connections().connection() as connection:
            with socket.socket(fileno=os.dup(connection.fileno())) as line:
                assert 0 < line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 30_000
                assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            connection.autocommit = True


@pytest.fixture(scope="module")
def documents() -> Bucket:
    made = Bucket("s3://documents")
    with pytest.MonkeyPatch.context() as patch:  # read once, when the client is made
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "of-the-tests-own")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        made._client()
    return made


@pytest.fixture
def bucket(documents: Bucket) -> Iterator[tuple[Bucket, Any]]:
    with Stubber(documents._client()) as stub:
        yield documents, stub


def test_an_object_that_is_gone_is_told_from_a_bucket_that_is(bucket: tuple[Bucket, Any]) -> None:
    documents, stub = bucket
    stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    with pytest.raises(FileNotFoundError, match="No such file"):
        documents.open("documents/1", "result")
    stub.add_client_error("get_object", "NoSuchBucket", http_status_code=404)
    with pytest.raises(AwayError, match="NoSuchBucket"):
        documents.open("documents/1", "result")


@pytest.mark.parametrize(
    ("operation", "call", "ask"),
    [
        ("write", "put_object", lambda documents: _put(documents)),
        ("read", "get_object", lambda documents: documents.open("documents/1", "document")),
        ("list", "list_objects_v2", lambda documents: documents.size("documents/1")),
        ("list", "list_objects_v2", lambda documents: documents.written("documents/1")),
        ("remove", "delete_object", lambda documents: documents.remove("documents/1", "document")),
    ],
)
@pytest.mark.parametrize(("code", "away"), [("AccessDenied", True), ("NoSuchBucket", True), ("404", False)])
def test_what_the_bucket_refuses_is_counted(
    bucket: tuple[Bucket, Any], operation: str, call: str, ask: Any, code: str, away: bool
) -> None:
    documents, stub = bucket
    stub.add_client_error(call, code)

    def counted() -> dict[str, float]:
        names = ("read", "write", "list", "remove")
        return {one: metric("sightglass_job_state_errors_total", store="bucket", operation=one) for one in names}

    before = counted()
    with pytest.raises(AwayError if away else FileNotFoundError) as error:
        ask(documents)
    assert counted() == {**before, operation: before[operation] + away}
    if away:
        assert error.value.strerror == f"the documents' bucket: {code}"


def _put(documents: Bucket) -> None:
    with documents.create("documents/1", "document") as draft:
        draft.keep()


def test_a_large_document_is_sent_at_once_and_so_is_there_or_not(bucket: tuple[Bucket, Any]) -> None:
    documents, stub = bucket
    stub.add_response("put_object", {})
    with documents.create("documents/1", "document") as draft:
        draft.write(bytes(20 * 1024 * 1024))
        assert draft.keep() == 20 * 1024 * 1024
    stub.assert_no_pending_responses()


def test_a_document_of_nothing_takes_room(bucket: tuple[Bucket, Any]) -> None:
    """Else a client's share would be no bound of how many it may have."""
    documents, stub = bucket
    stub.add_response("list_objects_v2", {"Contents": [{"Key": "a", "Size": 0}, {"Key": "b", "Size": 7}]})
    assert documents.size("documents/1") == 7 + 2 * ROOM


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("postgresql://u@host/db", True),
        ("postgres://u:p@host:5432/db", True),
        ("postgresql://u@host/db?sslmode=verify-full&sslrootcert=/run/state/ca.pem", True),
        ("postgresql://u@host/db/other", False),
        ("postgresql://u@host/", False),
        ("postgresql://u@host/?sslmode=require", False),
        ("mysql://u@host/db", False),
    ],
)
def test_what_a_database_is_called(monkeypatch: pytest.MonkeyPatch, url: str, allowed: bool) -> None:
    monkeypatch.setenv("SIGHTGLASS_DATABASE_URL", url)
    load_settings.cache_clear()
    try:
        with nullcontext() if allowed else pytest.raises(SettingsError, match="DATABASE_URL"):
            assert load_settings().database_url == url
    finally:
        load_settings.cache_clear()


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://s3.example", True),
        ("http://10.0.0.7:9000/below", True),
        ("s3.example", False),
        ("s3.example:9000", False),
        ("localhost:9000", False),
        ("ftp://s3.example", False),
        ("https://", False),
        ("http://s3.example:99999", False),
        ("//s3.example", False),
    ],
)
@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "SIGHTGLASS_AWS_ENDPOINT_URL"])
def test_where_another_s3_is(monkeypatch: pytest.MonkeyPatch, name: str, url: str, allowed: bool) -> None:
    monkeypatch.setenv(name, url)
    load_settings.cache_clear()
    try:
        line = re.escape(f"AWS_ENDPOINT_URL={url}: not allowed; expected http://... or https://...")
        with nullcontext() if allowed else pytest.raises(SettingsError, match=f"^{line}$"):
            assert load_settings().aws_endpoint_url == url
    finally:
        load_settings.cache_clear()


def test_that_server_is_asked_under_whatever_name_it_was_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    settings = Settings(
        runs_dir=tmp_path,
        database_url="postgresql://u@host/db",
        documents_url="s3://bucket",
        aws_endpoint_url="http://s3.example:7070",
    )
    documents = open_state(settings).documents
    assert isinstance(documents, Bucket)
    assert documents._client().meta.endpoint_url == "http://s3.example:7070"


@pytest.mark.parametrize("database", [None, "postgresql://u@host/db"])
@pytest.mark.parametrize("documents", [None, "s3://bucket"])
def test_documents_on_this_machine_of_jobs_that_are_elsewhere_are_said(
    database: str | None, documents: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "api")
    settings = Settings(runs_dir=tmp_path, database_url=database, documents_url=documents)
    assert list(settings.conflicts()) == (["documents_url"] if documents and not database else [])
    open_state(settings)
    said = [f"documents and results in RUNS_DIR={tmp_path}, which" in line for line in caplog.messages]
    assert said == ([True] if database and not documents else [])


@pytest.mark.parametrize(("script", "name"), [("postgres", "sightglass"), ("mlflow", "mlflow")])
def test_a_password_that_could_not_be_written_is_not_said_to_be(tmp_path: Path, script: str, name: str) -> None:
    for directory, status in ((tmp_path / "credentials", 0), (tmp_path / "none", 2)):
        made = tmp_path / str(status)
        shutil.copytree(ROOT / "docker" / "postgres", made / "postgres")
        shutil.copytree(ROOT / "docker" / "mlflow", made / "mlflow", dirs_exist_ok=True)
        shared = made / "postgres/password.sh"
        shared.write_text(shared.read_text().replace("/run/credentials", str(directory)))
        (tmp_path / "credentials").mkdir(exist_ok=True)
        result = subprocess.run(["sh", str(made / script / "setup.sh")], capture_output=True, text=True, check=False)
        assert (result.returncode == 0) is (status == 0)
        assert ("generated" in result.stdout) is (status == 0)
    assert len((tmp_path / "credentials" / name).read_text()) == 48


@pytest.mark.parametrize(
    ("right", "beside", "expected"),
    [
        ("kept", {}, ["kept"]),
        ("kept", {"database.next": "next"}, ["kept"]),
        ("next", {"database.next": "next"}, ["kept", "next"]),
        ("other", {"database.next": "next"}, ["kept", "next", None]),
        ("next", {"database.new": "next"}, ["kept", None]),
    ],
    ids=["at rest", "before it is told", "after it is told", "neither is right", "what is no successor"],
)
def test_a_passwords_successor_is_tried_too_while_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: str, beside: dict[str, str], expected: list[str | None]
) -> None:
    tried: list[str | None] = []

    def connect(_: object, conninfo: str = "", /, **options: Any) -> None:
        tried.append(options["password"])
        if options["password"] != right:
            raise psycopg.OperationalError

    monkeypatch.setattr(psycopg.Connection, "connect", classmethod(connect))
    monkeypatch.setattr(postgresql, "PASSWORD", tmp_path / "database")
    for name, value in {"database": "kept", **beside}.items():
        (tmp_path / name).write_text(f"{value}\n")
    try:
        postgresql._connection_class("postgresql://u@elsewhere/db").connect("")
    except psycopg.OperationalError:
        tried.append(None)
    assert tried == expected


@pytest.mark.parametrize(
    ("server", "expected"),
    [("postgres", "composes"), ("postgres.state.svc", "clusters"), ("elsewhere", "clusters")],
)
@pytest.mark.parametrize("composed", [True, False], ids=["Compose", "Kubernetes"])
def test_a_password_is_compose_s_own_or_the_one_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, expected: str, *, composed: bool
) -> None:
    used: list[str] = []

    def connect(_: object, conninfo: str = "", /, **options: Any) -> None:
        used.append(options["password"])

    monkeypatch.setattr(psycopg.Connection, "connect", classmethod(connect))
    monkeypatch.setattr(postgresql, "PASSWORD", tmp_path / "database")
    monkeypatch.setattr(postgresql, "PASSWORDS", tmp_path)
    (tmp_path / "database").write_text("clusters")
    connection = postgresql._connection_class(f"postgresql://sightglass@{server}/db")
    if composed:  # by a container that may come later
        (tmp_path / "sightglass").write_text("composes")
    connection.connect("")
    assert used == [expected if composed else "clusters"]


def test_a_database_server_that_cannot_begin_says_why(tmp_path: Path) -> None:
    fakes, secrets = tmp_path / "bin", tmp_path / "run"
    for directory in (fakes, secrets):
        directory.mkdir()
    (secrets / "sightglass").write_text("of-the-tests-own")
    failing = "echo 'FATAL:  no space left on device'; echo \"STATEMENT:  PASSWORD 'of-the-tests-own'\"; exit 1"
    for name, does in {"initdb": "mkdir -p $PGDATA", "postgres": failing}.items():
        (fakes / name).write_text(f"#!/bin/sh\n{does}\n")
        (fakes / name).chmod(0o755)
    script = (ROOT / "docker/postgres/start.sh").read_text()
    script = script.replace("home=/var/lib/postgresql", f"home={tmp_path}").replace("/run/database", str(secrets))
    environment = {"PATH": f"{fakes}:{os.environ['PATH']}", "PGDATA": str(tmp_path / "data")}
    result = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "FATAL:  no space left on device\n")


def test_a_passwords_successor_is_no_role_and_no_database(tmp_path: Path) -> None:
    """PostgreSQL may start, or be dumped, while its password is being changed."""
    fakes, secrets = tmp_path / "bin", tmp_path / "run"
    for directory in (fakes, secrets, tmp_path / "dumps"):
        directory.mkdir()
    for name in ("sightglass", "sightglass.next"):
        (secrets / name).write_text("of-the-tests-own")
    for name, does in {"initdb": "mkdir -p $PGDATA", "postgres": "cat >>$SAID", "pg_dump": "echo $* >>$SAID"}.items():
        (fakes / name).write_text(f"#!/bin/sh\n{does}\n")
        (fakes / name).chmod(0o755)
    said = tmp_path / "said"
    environment = {"PATH": f"{fakes}:{os.environ['PATH']}", "PGDATA": str(tmp_path / "data"), "SAID": str(said)}

    def run(script: str, end: str, then: str = "") -> str:
        said.write_text("")
        text = (ROOT / "docker/postgres" / script).read_text()
        text = text[: text.index(end)].replace("/var/lib/postgresql", str(tmp_path))
        text = text.replace("/run/database", str(secrets)).replace("/run/postgres", str(secrets / "none"))
        subprocess.run(["sh", "-c", f"{text}\n{then}"], env=environment, check=True, timeout=60)
        return said.read_text()

    started = run("start.sh", "if [ -d $home/restore ]")
    assert [line.split()[2] for line in started.splitlines()] == ['"sightglass"'] * 3
    dumped = run("dumps.sh", "answered=''", "dump || true")
    assert [line.split()[-1] for line in dumped.splitlines()] == ["sightglass"]
