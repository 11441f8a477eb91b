"""The rows of many machines: PostgreSQL.

Whoever works on a job has it for `LEASE_SECONDS`, and renews that for as long as its process moves; nobody waits for a
row that another has (`FOR UPDATE SKIP LOCKED`). Hands that were too slow say nothing more about the job: each write
names the token of the hands it comes from.
"""

import errno
import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from api.privacy.jobs.record import Record, Status, sortable
from api.privacy.jobs.state.interface import AwayError, Hold, LostError
from api.privacy.jobs.state.sql import FRESH, PUT_OFF, Answer, SqlRows, Statements, as_record
from api.privacy.metrics import JOB_STATE_ERRORS

LEASE_SECONDS = 30
"""For which a job is nobody else's once its process is gone."""
RENEW_SECONDS = 3.0
"""Between two renewals; as often the holder hears that it is to stop."""
PATIENCE_SECONDS = 5.0
"""How long to wait for a connection."""
ABANDONED_SECONDS = 10.0
"""After which the server ends a transaction that is not gone on with, and gives up what it holds."""
LOCK_SECONDS = ABANDONED_SECONDS + PATIENCE_SECONDS
"""How long to wait for what another holds."""
SAVE_SECONDS = 60.0
"""How long to try to save what is known of a job: a database that starts again costs no attempt."""
CONNECTIONS = 4
"""Of a process, at most."""
HOST, PASSWORDS = "postgres", Path("/run/database")
"""The profile's own server, and the files of its roles' passwords (docker/postgres)."""
PASSWORD = Path("/run/state/database")
"""The password of any other, where the URL has none."""

SCHEMA = """
CREATE TABLE jobs (
    directory text COLLATE "C" PRIMARY KEY,
    client text COLLATE "C" NOT NULL,
    bytes bigint NOT NULL,
    touched double precision NOT NULL,
    record text,
    holder text,
    held_until timestamptz,
    cancelled boolean NOT NULL DEFAULT false,
    id text COLLATE "C" GENERATED ALWAYS AS (record::json->>'id') STORED,
    owner text COLLATE "C" GENERATED ALWAYS AS (record::json->>'owner') STORED,
    batch text COLLATE "C" GENERATED ALWAYS AS (record::json->>'batch') STORED,
    created text COLLATE "C" GENERATED ALWAYS AS (record::json->>'created') STORED,
    finished text COLLATE "C" GENERATED ALWAYS AS (record::json->>'finished') STORED,
    not_before text COLLATE "C" GENERATED ALWAYS AS (record::json->>'not_before') STORED,
    to_do text COLLATE "C" GENERATED ALWAYS AS
        (CASE WHEN record::json->>'finished' IS NULL THEN record::json->>'status' END) STORED,
    to_clear integer GENERATED ALWAYS AS
        (CASE WHEN record::json->>'finished' IS NOT NULL AND record::json->>'original' = 'true' THEN 1 END) STORED
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX by_id ON jobs (id);
CREATE INDEX by_owner ON jobs (owner, created, id) WHERE record IS NOT NULL;
CREATE INDEX by_batch ON jobs (batch, created, id) WHERE batch IS NOT NULL;
CREATE INDEX to_do_by_status ON jobs (to_do, created, not_before, id) WHERE to_do IS NOT NULL;
CREATE INDEX finished ON jobs (finished, id) WHERE finished IS NOT NULL;
CREATE INDEX finished_by_client ON jobs (client, finished, bytes, id) WHERE finished IS NOT NULL;
CREATE INDEX with_original ON jobs (to_clear, id) WHERE to_clear = 1;
CREATE INDEX no_job ON jobs (touched, directory) WHERE record IS NULL;
CREATE INDEX held ON jobs (holder) WHERE holder IS NOT NULL;

CREATE TABLE clients (client text COLLATE "C" PRIMARY KEY, bytes bigint NOT NULL);
CREATE FUNCTION charge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO clients VALUES (NEW.client, NEW.bytes)
            ON CONFLICT (client) DO UPDATE SET bytes = clients.bytes + excluded.bytes;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE clients SET bytes = bytes + NEW.bytes - OLD.bytes WHERE client = NEW.client;
    ELSE
        UPDATE clients SET bytes = bytes - OLD.bytes WHERE client = OLD.client;
        DELETE FROM clients WHERE client = OLD.client AND bytes <= 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER charged AFTER INSERT OR DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION charge();
CREATE TRIGGER changed AFTER UPDATE OF bytes ON jobs FOR EACH ROW
    WHEN (OLD.bytes IS DISTINCT FROM NEW.bytes) EXECUTE FUNCTION charge();

CREATE TABLE secret (one boolean PRIMARY KEY DEFAULT true CHECK (one), value bytea NOT NULL);
"""
LATER = """
CREATE INDEX due_by_client ON jobs (client, not_before, created, id) WHERE to_do IS NOT NULL;
DROP INDEX IF EXISTS to_do_by_client;
"""
"""What was added to it since the first version."""
_ALONE = "SELECT pg_advisory_xact_lock(7311580)"  # any number, the same for all
_FREE = "(held_until IS NULL OR held_until < clock_timestamp())"
_TAKE = (
    f"UPDATE jobs SET holder = ?, held_until = clock_timestamp() + interval '{LEASE_SECONDS} s' WHERE directory = {{}} "  # noqa: S608
    "RETURNING record, cancelled"
)
_ONE = f"(SELECT directory FROM jobs WHERE {{}} AND {_FREE} AND {{}} FOR UPDATE SKIP LOCKED)"  # noqa: S608
_OF_CLIENT = "to_do IS NOT NULL AND client = ?"
_TAKE_ONE = _TAKE.format(_ONE.format("id = ?", "true LIMIT 1"))
_TAKE_DUE = _TAKE.format(f"COALESCE({_ONE.format(_OF_CLIENT, PUT_OFF)}, {_ONE.format(_OF_CLIENT, FRESH)})")

logger = logging.getLogger(__name__)


class _Held:
    """A job this process has until its lease ends."""

    def __init__(self, record: Record, token: str, *, cancelled: bool) -> None:
        self.record = record
        self.token = token
        self.stop = cancelled
        self.lost = False

    @property
    def cancelled(self) -> bool:
        if self.lost:
            raise LostError
        return self.stop


class _Statements:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, query: str, values: Sequence[object] = (), /) -> Answer:
        return self._connection.execute(query.replace("?", "%s").encode(), values)


class PostgresRows(SqlRows):
    """The rows of a database, which any number of machines may share. Opened at first use."""

    def __init__(self, url: str, most: int) -> None:
        """Name the database, and the bytes that all rows together may take."""
        super().__init__(most)
        self._failed = {one: JOB_STATE_ERRORS.labels("database", one) for one in ("read", "write")}
        self._url = url
        self._opening = threading.Lock()
        self._opened: ConnectionPool[psycopg.Connection[Any]] | None = None
        self._prepared = False
        self._held: dict[str, _Held] = {}
        self._renewing = False

    def close(self) -> None:
        """End the connections."""
        if self._opened:
            self._opened.close()

    def secret(self) -> bytes:
        with self._write() as rows:
            rows.execute("INSERT INTO secret (value) VALUES (?) ON CONFLICT DO NOTHING", (secrets.token_bytes(32),))
            return bytes(rows.execute("SELECT value FROM secret").fetchone()[0])

    def save(self, hold: Hold, record: Record, size: int | None = None) -> None:
        end = time.monotonic() + SAVE_SECONDS
        while True:
            try:
                self._save(hold, record, size)
                return
            except AwayError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def _save(self, hold: Hold, record: Record, size: int | None) -> None:
        with self._write() as rows:
            found = rows.execute(
                "UPDATE jobs SET record = ?, bytes = COALESCE(?, bytes) WHERE id = ? AND holder = ? "
                "RETURNING cancelled",
                (record.model_dump_json(), size, record.id, hold.token),
            ).fetchone()
        held = self._held.get(hold.token)
        if found is None or held is None:
            raise LostError
        held.stop = found[0]

    @contextmanager
    def claim(self, job_id: str) -> Iterator[Hold | None]:
        with self._taken(_TAKE_ONE, job_id) as held:
            yield held

    @contextmanager
    def claim_due(self, client: str, moment: datetime) -> Iterator[Hold | None]:
        with self._taken(_TAKE_DUE, client, sortable(moment), 1, client, 1) as held:
            yield held

    @contextmanager
    def _taken(self, query: str, *values: object) -> Iterator[Hold | None]:
        token = secrets.token_hex(8)
        with self._write() as rows:
            found = rows.execute(query, (token, *values)).fetchone()
        record = as_record(found)
        if record is None:
            yield None
            return
        held = self._held[token] = _Held(record, token, cancelled=found[1])
        self._renew_from_now_on()
        try:
            yield held
        finally:
            del self._held[token]
            with suppress(OSError):  # then the lease ends by itself
                self._release(held)

    def _release(self, held: _Held) -> None:
        """Give a job back."""
        query = "UPDATE jobs SET holder = NULL, held_until = NULL WHERE directory = ? AND holder = ?"
        with self._write() as rows:
            rows.execute(query, (held.record.directory, held.token))

    def _renew_from_now_on(self) -> None:
        with self._opening:
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._keep_renewing, name="leases", daemon=True).start()

    def _keep_renewing(self) -> None:
        while True:
            time.sleep(RENEW_SECONDS)
            try:
                self.renew()
            except OSError as error:  # what is held stays held until another takes it
                logger.warning("the jobs' leases could not be renewed: %s", error.strerror)

    def renew(self) -> None:
        """Renew what this process holds, and hear of what is to stop or lost."""
        held = dict(self._held)
        if not held:
            return
        with self._write() as rows:
            renewed = dict(
                rows.execute(
                    f"UPDATE jobs SET held_until = clock_timestamp() + interval '{LEASE_SECONDS} s' "  # noqa: S608
                    "WHERE holder = ANY(?) RETURNING holder, cancelled",
                    (list(held),),
                )
            )
        for token, one in held.items():
            one.lost = token not in renewed
            one.stop = renewed.get(token, one.stop)

    def ask_to_stop(self, record: Record) -> bool:
        with self._write() as rows:
            rows.execute("UPDATE jobs SET cancelled = true WHERE id = ?", (record.id,))
        return True

    def _is_going(self, rows: Statements, record: Record) -> bool:
        found = rows.execute("SELECT cancelled FROM jobs WHERE id = ?", (record.id,)).fetchone()
        return found is None or bool(found[0])  # none: it went since its record was read

    def left(self, most: int) -> list[Record]:
        query = f"SELECT record FROM jobs WHERE to_do = ? AND {_FREE} ORDER BY created LIMIT ?"  # noqa: S608
        return [Record.model_validate_json(text) for text in self._column(query, Status.RUNNING.value, most)]

    def take_over(self, abandoned_before: float) -> None:
        """Nothing: no older version had a database."""

    @contextmanager
    def _read(self) -> Iterator[Statements]:
        with self._transaction("read") as rows:
            yield rows

    @contextmanager
    def _write(self, *, alone: bool = False) -> Iterator[Statements]:
        with self._transaction("write") as rows:
            if alone:
                rows.execute(_ALONE)
            yield rows

    @contextmanager
    def _transaction(self, operation: str) -> Iterator[Statements]:
        try:
            with self._connections().connection() as connection:  # one, until the connection is given back
                yield _Statements(connection)
        except (psycopg.Error, PoolTimeout) as error:
            self._failed[operation].inc()
            raise _as_os_error(error) from None

    def _connections(self) -> "ConnectionPool[psycopg.Connection[Any]]":
        with self._opening:
            if self._opened is None:
                self._opened = ConnectionPool(
                    self._url,
                    connection_class=_connection_class(self._url),
                    min_size=0,
                    max_size=CONNECTIONS,
                    timeout=PATIENCE_SECONDS,
                    reconnect_timeout=PATIENCE_SECONDS,
                    configure=_bound,
                    check=ConnectionPool.check_connection,
                    kwargs={
                        "connect_timeout": int(PATIENCE_SECONDS),
                        "application_name": "sightglass",
                        # A machine that is gone says nothing: neither when it is listened to, nor to what is sent.
                        "keepalives_idle": 10,
                        "keepalives_interval": 5,
                        "keepalives_count": 3,
                        "tcp_user_timeout": 25_000,
                    },
                    open=True,
                )
        if not self._prepared:  # each waits for the database by itself: one after the other the last would wait long
            with self._opened.connection() as connection:
                _prepare(connection)
            self._prepared = True
        return self._opened


def _bound(connection: psycopg.Connection[Any]) -> None:
    """Have the server end a transaction that nobody goes on with: of a machine that is gone it hears nothing else."""
    connection.execute(f"SET idle_in_transaction_session_timeout = {int(ABANDONED_SECONDS * 1000)}".encode())
    connection.execute(f"SET lock_timeout = {int(LOCK_SECONDS * 1000)}".encode())
    connection.commit()


def _prepare(connection: psycopg.Connection[Any]) -> None:
    """Make the tables, once, or what an older version's lack."""
    if not _there(connection, "due_by_client"):
        connection.execute(_ALONE.encode())
        if not _there(connection, "jobs"):  # else another process was first
            connection.execute(SCHEMA.encode())
        if not _there(connection, "due_by_client"):
            connection.execute(LATER.encode())


def _there(connection: psycopg.Connection[Any], name: str) -> bool:
    return connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() != (None,)


def _connection_class(url: str) -> type[psycopg.Connection[Any]]:
    """Give connections that read the password from a file, where there is one, at each beginning: it may change.

    Its successor stands beside it while it does, and PostgreSQL knows one of the two.
    """
    server = urlsplit(url)
    own = PASSWORDS / (server.username or "-")
    if server.password is not None:
        return psycopg.Connection

    class WithPassword(psycopg.Connection[Any]):
        @classmethod
        def connect(cls, conninfo: str = "", **options: Any) -> Any:
            # A cluster may have a Service of the name that Compose's own database has.
            file = own if server.hostname == HOST and own.is_file() else PASSWORD
            successor = file.with_name(f"{file.name}.next")
            if not file.is_file():
                return super().connect(conninfo, **options)
            try:
                return super().connect(conninfo, **options | {"password": file.read_text().strip()})
            except psycopg.OperationalError:  # it does not say whether the password was wrong
                if not successor.is_file():
                    raise
                return super().connect(conninfo, **options | {"password": successor.read_text().strip()})

    return WithPassword


def _as_os_error(error: Exception) -> OSError:
    state = getattr(error, "sqlstate", None)
    if state == "53100":
        return OSError(errno.ENOSPC, "the jobs' database: no space left on its disk")
    broken = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not isinstance(error, PoolTimeout)
    unheard = broken and (state is None or state.startswith(("08", "57P")))  # connection exceptions, shutdowns
    return AwayError(f"the jobs' database: {type(error).__name__}", unheard=unheard)  # its message may have a row in it
