"""What only several machines have: hands that are lost, a server that is gone, processes that are killed."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from api.privacy.findings import Finding
from api.privacy.jobs.ids import Ids
from api.privacy.jobs.record import Record, Status, now, sortable
from api.privacy.jobs.routes import PATH
from api.privacy.jobs.state import postgresql
from api.privacy.jobs.state.interface import AwayError, LostError
from api.privacy.jobs.state.postgresql import PostgresRows
from api.privacy.jobs.state.sql import Statements
from api.privacy.jobs.store import JobStore
from sightglass.problem import MEDIA_TYPE
from tests.stack import docker
from tests.support.jobs import Jobs, entry
from tests.support.servers import Server
from tests.support.service import StubModel, eventually, metric, words
from tests.support.workers import workers


@pytest.fixture
def other(jobs: Jobs) -> Iterator[JobStore]:
    """The store as another machine has it."""
    store = JobStore(jobs.settings)
    yield store
    store._rows.close()  # type: ignore[attr-defined]


def give_up(jobs: Jobs) -> None:
    """End all leases, as time does when nobody renews them."""
    with jobs.rows._write() as rows:  # type: ignore[attr-defined]
        rows.execute("UPDATE jobs SET held_until = clock_timestamp() - interval '1 s' WHERE holder IS NOT NULL")


def test_a_job_in_one_machines_hands_is_in_no_others_until_its_lease_ends(jobs: Jobs, other: JobStore) -> None:
    job = jobs.create().json()["id"]
    with jobs.store.claim(job) as mine:
        assert mine
        for _ in range(2):
            with other.claim(job) as theirs, other.claim_due(mine.record.client, now()) as due:
                assert (theirs, due) == (None, None)
        give_up(jobs)
        jobs.hear()  # renewed, before another came
        with other.claim(job) as theirs:
            assert theirs is None
        give_up(jobs)
        with other.claim(job) as theirs:
            assert theirs
            jobs.hear()
            for late in (lambda: mine.cancelled, lambda: mine.save(done=1), mine.drop_original):
                with pytest.raises(LostError):
                    late()
            theirs.save(done=2)
    assert jobs.store.get(job).done == 2  # type: ignore[union-attr]


def test_a_job_that_goes_just_as_its_key_is_sent_again_is_no_promise(
    jobs: Jobs, other: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"Idempotency-Key": "k"}
    job = jobs.create(**key).headers["location"]
    is_going = PostgresRows._is_going

    def discard_and_look(rows: PostgresRows, statements: Statements, record: Record) -> bool:
        other._rows.discard(record)  # what a removal commits first
        return is_going(rows, statements, record)

    with monkeypatch.context() as patched:
        patched.setattr(PostgresRows, "_is_going", discard_and_look)
        answer = jobs.create(**key)
    assert (answer.status_code, answer.headers["content-type"]) == (409, MEDIA_TYPE)
    assert jobs.all() == []
    assert jobs.create(**key).headers["location"] == job


def test_hands_that_were_too_slow_end_no_job_and_count_nothing(
    jobs: Jobs, other: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine stands still in the middle of a job; meanwhile another does it; then the first goes on."""
    job = jobs.create("Zaphod").json()["id"]
    counted = metric("jobs_total", status="succeeded")

    def stand_still(text: str) -> list[Finding]:
        give_up(jobs)
        jobs.runner(StubModel(words("Zaphod"))).run(job)
        return []  # and would find nothing

    slow = Jobs(jobs.client, jobs.settings)
    slow.runner(StubModel(stand_still)).run(job)
    slow.rows.close()  # type: ignore[attr-defined]
    record = jobs.store.get(job)
    assert record
    assert (record.status, record.attempts, record.interruptions) == (Status.SUCCEEDED, 1, 1)
    assert jobs.client.get(f"{PATH}/{job}/result").text == "[WORD]"
    assert metric("jobs_total", status="succeeded") == counted + 1
    assert "job left as it was: LostError" in caplog.text


def test_many_hands_take_each_job_once(jobs: Jobs) -> None:
    made = {jobs.create().json()["id"] for _ in range(40)}
    client = jobs.all()[0].client
    taken: list[str] = []
    start = threading.Barrier(8)

    def take() -> None:
        store = JobStore(jobs.settings)
        start.wait(60)
        while True:
            with store.claim_due(client, now()) as claim:
                if claim is None:
                    break
                taken.append(claim.record.id)
                claim.save(status=Status.FAILED, finished=now())
        store._rows.close()  # type: ignore[attr-defined]

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(take) for _ in range(8)]:
            future.result()
    assert sorted(taken) == sorted(made)


def test_all_machines_have_one_secret(jobs: Jobs, other: JobStore) -> None:
    assert Ids(jobs.store.secret).derived("a") == Ids(other.secret).derived("a")
    assert len(jobs.store.secret()) == 32


def test_documents_and_results_that_are_gone_leave_nothing(jobs: Jobs) -> None:
    made = [jobs.create("Zaphod " * 1000).json()["id"] for _ in range(3)]
    jobs.work()
    assert [jobs.client.delete(f"{PATH}/{job}").status_code for job in made] == [204] * 3
    assert (jobs.left(), jobs.taken(), jobs.all()) == ([], {}, [])


def test_a_machine_that_is_gone_gives_up_what_it_holds(
    jobs: Jobs, other: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is there to the server for as long as TCP has patience; nobody could be accepted meanwhile."""
    monkeypatch.setattr(postgresql, "ABANDONED_SECONDS", 1.0)
    with pytest.raises(AwayError), other._rows._write(alone=True):  # type: ignore[attr-defined]
        assert jobs.create().status_code == 202


def test_what_another_holds_is_not_waited_for_for_ever(
    jobs: Jobs, other: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with jobs.rows._write(alone=True):  # type: ignore[attr-defined]
        monkeypatch.setattr(postgresql, "LOCK_SECONDS", 0.2)
        with pytest.raises(AwayError, match="LockNotAvailable"), other._rows._write(alone=True):  # type: ignore[attr-defined]
            pass


def test_a_database_of_an_earlier_moment_knows_what_it_knew_then(jobs: Jobs, database: Server) -> None:
    """As deploy/RUNBOOK.md tells it: nothing is stopped for it."""
    schema = str(jobs.settings.database_url).rpartition("search_path%3D")[2]
    administer = ("exec", database.name, "sh", "-c")
    before, since = (jobs.create().json()["id"] for _ in range(2))
    jobs.runner().run(before)
    docker(*administer, f"pg_dump --host=/tmp --username=postgres --schema={schema} postgres >/tmp/{schema}.sql")
    jobs.runner().run(since)
    later = jobs.create().json()["id"]
    there = f"psql --host=/tmp --username=postgres --quiet --set=ON_ERROR_STOP=1 --file=/tmp/{schema}.sql postgres"
    docker(*administer, f"psql -h /tmp -U postgres -qc 'DROP SCHEMA {schema} CASCADE' && {there}")

    assert jobs.client.get(f"{PATH}/{before}/result").text == "[WORD]"
    assert jobs.client.get(f"{PATH}/{later}").status_code == 404
    for _ in range(jobs.settings.job_attempts):  # its document went when it was done
        jobs.runner().run(since)
    assert jobs.store.get(since).status is Status.DEAD  # type: ignore[union-attr]
    new = jobs.create().json()["id"]
    jobs.runner().run(new)
    assert jobs.client.get(f"{PATH}/{new}/result").text == "[WORD]"


@pytest.mark.parametrize("kept", ["files"], indirect=True)
def test_a_password_is_read_at_each_connection(
    kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "password"
    given: list[object] = []
    connect = psycopg.Connection.connect.__func__  # type: ignore[attr-defined]

    def note(cls: Any, /, conninfo: str = "", **options: Any) -> Any:
        given.append(options.get("password"))
        return connect(cls, conninfo, **options)

    monkeypatch.setattr(psycopg.Connection, "connect", classmethod(note))
    monkeypatch.setattr(postgresql, "PASSWORD", file)
    for text in ("first\n", "second\n"):
        file.write_text(text)
        rows = PostgresRows(kept["database_url"], 1)
        assert rows.clients() == []
        rows.close()
    assert set(given) == {"first", "second"}
    assert given == sorted(given, key=str)


def test_no_error_has_a_row_or_a_password_in_it(jobs: Jobs) -> None:
    with pytest.raises(AwayError) as error, jobs.rows._write() as rows:  # type: ignore[attr-defined]
        rows.execute("INSERT INTO jobs (directory, client, bytes, touched) VALUES ('Marker4711', NULL, 1, 1)")
    assert str(error.value) == "[Errno 5] the jobs' database: NotNullViolation"


@pytest.mark.parametrize("kept", ["files"], indirect=True)
def test_no_statement_reads_more_with_more_jobs(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4,000 jobs almost all are put off, others are just going: what is asked of the database reads a few pages."""
    record = jobs.example()
    later, rows = now() + timedelta(hours=1), jobs.rows
    put_off = [number < 3_000 for number in range(4_000)]
    rows.accept("", [entry(record, number, not_before=later if off else None) for number, off in enumerate(put_off)])
    with rows._read() as connection:  # type: ignore[attr-defined]
        connection.execute("ANALYZE jobs")  # as PostgreSQL does by itself; nothing is going yet
    for number in range(1_000, 3_000):
        rows.discard(entry(record, number).record)
    said: list[tuple[str, tuple[object, ...]]] = []
    execute = postgresql._Statements.execute

    def note(self: Any, query: str, values: Any = (), /) -> Any:
        said.append((query, tuple(values)))
        return execute(self, query, values)

    with monkeypatch.context() as patch:
        patch.setattr(postgresql._Statements, "execute", note)
        with jobs.store.claim_due(record.client, now()) as claim:
            assert claim
            assert claim.record.id == f"{3_000:032x}"  # all before it are put off
        assert jobs.store.clients() == [record.client]
        assert len(rows.page(None, "b" * 32, None, 10)) == 10
        assert rows.page("anna", None, (sortable(now()), "f" * 32), 10) == []
        assert rows.get(record.id) is None
        assert rows.finished(now()) == rows.oldest_finished(record.client) == rows.with_original() == []
        rows.forget(entry(record, 2_999).directory)
    assert len(said) > 8
    for query, values in said:
        pages, plan = read_by(jobs, query, values)
        assert pages <= 50, f"{pages} pages: {query}\n{plan}"


def read_by(jobs: Jobs, query: str, values: tuple[object, ...]) -> tuple[int, str]:
    """Give the pages that a statement reads, and its plan; what it changes is as it was."""
    with suppress(ZeroDivisionError), jobs.rows._write() as connection:  # type: ignore[attr-defined]
        explained = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", values).fetchone()[0][0]
        raise ZeroDivisionError
    plan = explained["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], json.dumps(explained, indent=1)


def test_the_tables_of_the_first_version_get_what_they_lack(jobs: Jobs) -> None:
    with jobs.rows._write() as rows:  # type: ignore[attr-defined]
        rows.execute("DROP INDEX due_by_client")
        rows.execute("CREATE INDEX to_do_by_client ON jobs (client, created) WHERE to_do IS NOT NULL")
    made = jobs.create().json()["id"]
    stores = [JobStore(jobs.settings) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as pool:
        assert {record.id for found in pool.map(lambda store: store.page(None), stores) for record in found} == {made}
    for store in stores:
        store._rows.close()  # type: ignore[attr-defined]
    query = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND indexname LIKE ?"
    assert sorted(jobs.rows._column(query, "%by_client")) == ["due_by_client", "finished_by_client"]  # type: ignore[attr-defined]


# ── what is killed ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_zero_job_processes_and_back(jobs: Jobs) -> None:
    """What waits is told by the API, and done later, untouched by hand."""
    made = [jobs.create().json()["id"] for _ in range(3)]
    from api.privacy.jobs import depth

    depth.tell(jobs.client.app.state.jobs)  # type: ignore[attr-defined]
    assert metric("job_queue_depth") == 3
    with workers(jobs.settings, 1):
        for job in made:
            eventually(lambda job=job: jobs.client.get(f"{PATH}/{job}").json()["status"] == "succeeded")  # type: ignore[misc]
    depth.tell(jobs.client.app.state.jobs)  # type: ignore[attr-defined]
    assert metric("job_queue_depth") == 0


def test_a_database_that_is_killed_loses_no_job(jobs: Jobs, database: Server) -> None:
    """While it is gone nothing is accepted, and each route says so; what was accepted is done once, with one result."""
    accepted = metric("jobs_total", status="accepted")
    texts: dict[str, str] = {}

    def submit(number: int) -> bool:
        text = f"{number} Zaphod " + "and so on " * (200 * (number % 7))
        answer = jobs.create(text, **{"Idempotency-Key": str(number)})
        if answer.status_code == 202:
            texts[answer.json()["id"]] = text
        else:
            assert (answer.status_code, answer.headers["content-type"]) == (503, MEDIA_TYPE)
            assert answer.headers["retry-after"]
        return bool(answer.status_code == 202)

    with workers(jobs.settings, 2):
        for number in range(15):
            assert submit(number)
        database.kill()
        try:
            assert not submit(15)
            some = next(iter(texts))
            for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", "")):
                answer = jobs.client.request(method, f"{PATH}/{some}{path}")
                assert (answer.status_code, answer.headers["content-type"]) == (503, MEDIA_TYPE)
        finally:
            database.start()
        for number in range(15, 20):
            eventually(lambda number=number: submit(number))  # type: ignore[misc]
        for job in texts:
            eventually(lambda job=job: jobs.client.get(f"{PATH}/{job}").json().get("status") == "succeeded")  # type: ignore[misc]
    for job, text in texts.items():
        assert jobs.client.get(f"{PATH}/{job}/result").text == text.replace("Zaphod", "[WORD]")
        record = jobs.store.get(job)
        assert record
        assert record.attempts == 1
    assert sorted(record.id for record in jobs.all()) == sorted(texts)
    assert metric("jobs_total", status="accepted") == accepted + 20
