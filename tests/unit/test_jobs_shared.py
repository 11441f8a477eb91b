"""Jobs belong to somebody, and nobody's are in another's way: who sees them, what room and time they take."""

import errno
import gzip
import hashlib
import json
import os
import re
import stat
import threading
import tracemalloc
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.privacy.documents import EXAMPLES, SUFFIXES
from api.privacy.findings import Finding
from api.privacy.jobs import store as storing
from api.privacy.jobs.ids import Ids
from api.privacy.jobs.queue import Messages, open_queue
from api.privacy.jobs.record import Record, Status, now
from api.privacy.jobs.routes import PATH
from api.privacy.jobs.runner import AT_ONCE, Runner, sweep
from api.privacy.jobs.state.interface import Entry
from api.privacy.jobs.state.sqlite import secret_in
from api.privacy.jobs.store import JobStore
from api.settings import Settings
from sightglass.problem import MEDIA_TYPE
from tests.support.service import Find, StubModel, eventually, serving, words

PLAIN = {"Content-Type": "text/plain"}
MIB = 1024 * 1024
UNIT = 100 * 1024
"""A fiftieth of what all jobs may take."""
ZAPHOD = words("Zaphod")
NUMBERS = b" ".join(b"%d" % number for number in range(450_000))
"""Becomes a third when it is packed."""
ANNA, BERT = "anna-key-0123456789", "bert-key-0123456789"


class Service:
    """The service as several clients see it, and the jobs' end of it."""

    def __init__(self, client: TestClient, settings: Settings) -> None:
        self.app = client.app
        self.settings = settings
        self.store = JobStore(settings)
        self.stopping = threading.Event()

    def at(self, address: str) -> TestClient:
        return TestClient(self.app, client=(address, 1), raise_server_exceptions=False)

    def runner(self, find: Find = ZAPHOD, **settings: Any) -> Runner:
        return Runner(replace(self.settings, **settings), self.store, StubModel(find), self.stopping)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(lambda _: StubModel(), runs_dir=tmp_path, job_retention_bytes=50 * UNIT) as client:
        yield Service(client, Settings(runs_dir=tmp_path, job_retention_bytes=50 * UNIT))


def post(client: TestClient, content: Any = "Zaphod", **headers: str) -> Any:
    return client.post(PATH, content=content, headers={**PLAIN, **headers})


def identity(answer: Any) -> str:
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


# ── who sees them ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_keys_nothing_is_listed_and_it_says_what_it_takes(service: Service) -> None:
    post(service.at("192.0.2.1"))
    for query in ("", "?limit=1", "?before=x"):
        answer = service.at("192.0.2.1").get(PATH + query)
        assert (answer.status_code, answer.headers["content-type"]) == (403, MEDIA_TYPE)
        assert "API_KEYS_FILE" in answer.json()["detail"]
        assert "jobs" not in answer.json()


def test_without_keys_a_form_is_listed_to_whoever_has_its_id(service: Service) -> None:
    form = [("document", ("a.txt", text, "text/plain")) for text in "abc"]
    answer = service.at("192.0.2.1").post(PATH, files=form)
    made = answer.json()["jobs"]
    listed = service.at("192.0.2.2").get(answer.headers["location"]).json()
    assert [job["part"] for job in listed["jobs"]] == [2, 1, 0]
    assert listed["next"] is None
    batch = made[0]["batch"]
    assert batch not in {job["id"] for job in made}  # who is shown one of them cannot list the others
    assert service.at("192.0.2.1").get(f"{PATH}?batch={made[0]['id']}").json()["jobs"] == []


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[TestClient]:
    keys = tmp_path / "keys"
    keys.write_text(f"anna:{ANNA}\nbert:{BERT}\n")
    with serving(lambda _: StubModel(), runs_dir=tmp_path / "runs", api_keys_file=keys) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 100])
def test_pages_have_every_job_of_the_owner_once_the_newest_first(owned: TestClient, limit: int) -> None:
    made = [identity(post(owned, **bearer(ANNA))) for _ in range(7)]
    post(owned, **bearer(BERT))
    listed: list[str] = []
    query = f"?limit={limit}"
    while True:
        page = owned.get(PATH + query, headers=bearer(ANNA)).json()
        assert len(page["jobs"]) <= limit
        listed += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        query = f"?limit={limit}&before={page['next']}"
        assert owned.delete(f"{PATH}/{listed[-1]}", headers=bearer(ANNA)).status_code == 204  # in nobody's way
        post(owned, **bearer(ANNA))
    assert listed == made[::-1]


def cursor(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "%00", "YQ", "AAAA", "MjAyNiB4", "é", "a" * 201),
        *(
            cursor(f"2026-11-27T00:00:00+00:00 {odd}")
            for odd in ("", "\0", "a" * 31, "A" * 32, "a" * 31 + "\0", "a" * 33)
        ),
        *(cursor(f"{moment} {'a' * 32}") for moment in ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "")),
    ],
)
def test_what_is_no_cursor_is_a_422(owned: TestClient, cursor: str) -> None:
    answer = owned.get(f"{PATH}?before={cursor}", headers=bearer(ANNA))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/before")


def test_the_cursor_is_described(owned: TestClient) -> None:
    described = owned.get("/openapi.json").json()
    listing = described["paths"][PATH]["get"]
    assert {parameter["name"] for parameter in listing["parameters"]} == {"limit", "before", "batch"}
    assert set(listing["responses"]) == {"200", "401", "403", "414", "422", "429", "431", "500", "503"}
    assert "next" in described["components"]["schemas"]["Page"]["properties"]


def test_two_clients_with_one_idempotency_key_do_not_meet(service: Service) -> None:
    clients = [service.at(host) for host in ("192.0.2.1", "192.0.2.2", "2001:db8:1:1::1", "2001:db8:1:2::1")]
    made = [identity(post(client, f"text {n}", **{"Idempotency-Key": "k"})) for n, client in enumerate(clients)]
    assert len(set(made)) == 4
    again = [identity(post(client, f"text {n}", **{"Idempotency-Key": "k"})) for n, client in enumerate(clients)]
    assert again == made
    assert identity(post(service.at("2001:db8:1:1::ffff"), "text 2", **{"Idempotency-Key": "k"})) == made[2]


def ids_in(runs_dir: Path) -> Ids:
    return Ids(partial(secret_in, runs_dir / "secret"))


def test_an_id_cannot_be_guessed_from_its_key(service: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = identity(post(service.at("192.0.2.1"), **{"Idempotency-Key": "k"}))
    for known in ("\0k", "k", "@192.0.2.1\0k", "job\0@192.0.2.1\0k"):
        assert hashlib.sha256(known.encode()).hexdigest()[:32] != made
    other = ids_in(tmp_path_factory.mktemp("other"))
    same = ids_in(service.settings.runs_dir)
    assert other.derived("job", "@192.0.2.1", "k") != made == same.derived("job", "@192.0.2.1", "k")


def test_the_secret_is_its_owners_alone_and_one_however_many_make_it(tmp_path: Path) -> None:
    runs, derived, barrier = tmp_path / "runs", set(), threading.Barrier(8)

    def make() -> None:
        barrier.wait(30)
        derived.add(ids_in(runs).derived("a"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(derived) == 1
    assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in runs.iterdir()] == [("secret", 0o600)]


def test_no_address_is_kept(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    post(service.at("192.0.2.77"), "text")
    kept = b"".join(path.read_bytes() for path in service.settings.runs_dir.rglob("*") if path.is_file())
    assert b"192.0.2" not in kept
    assert "192.0.2" not in caplog.text


# ── how many there are ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def many(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """12,000 jobs of one client, a third of each: waiting, to be tried again, finished."""
    database = JobStore(replace(service.settings, job_retention_bytes=10**12))._rows
    example = Record(
        id="", created=now(), size=1, media_type="text/plain", charset=None, coding="identity", language="en",
        min_confidence=0.35, owner=None, digest="", client="@crowd", batch="b" * 32,
    )  # fmt: skip
    later, entries = now() + timedelta(hours=1), []
    for number in range(12_000):
        record = example.model_copy(update={"id": f"{number:032x}", "directory": f"documents/x/{number}"})
        if number % 3 == 1:
            record.not_before = later
        elif number % 3 == 2:
            record.status, record.finished, record.original = Status.SUCCEEDED, now(), False
        entries.append(Entry(record.directory, 1, record))
    database.accept("", entries)
    for store in (service.store, service.app.state.jobs):  # type: ignore[attr-defined]
        store.documents.size("none")  # what it needs is loaded
    read = Record.model_validate_json
    counted: list[None] = []

    def count(*arguments: Any) -> Record:
        counted.append(None)
        return read(*arguments)

    monkeypatch.setattr(Record, "model_validate_json", count)
    service.settings.__dict__["counted"] = counted
    tracemalloc.start()
    yield service
    tracemalloc.stop()


def reads(service: Service, most: int) -> None:
    counted = service.settings.__dict__["counted"]
    assert len(counted) <= most
    counted.clear()
    assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    tracemalloc.reset_peak()


def test_nothing_reads_all_jobs(many: Service) -> None:
    """Listing, looking, taking one in, the sweep, the clearing up and the choice read a few, whatever there is."""
    client = many.at("192.0.2.1")
    assert len(client.get(f"{PATH}?batch={'b' * 32}&limit=1").json()["jobs"]) == 1
    reads(many, 2)
    assert client.get(f"{PATH}/{5:032x}").status_code == 200
    reads(many, 1)
    mine = identity(post(client))
    reads(many, 1)
    queue = open_queue(many.settings)
    sweep(many.store, queue)
    assert len(queue) == (101 if isinstance(queue, Messages) else 0)
    reads(many, 1)
    many.store.expire(now() - timedelta(hours=1))
    reads(many, 1)
    runner = many.runner()
    turns = (runner.run_next() for _ in range(2))  # of two clients
    assert any(client.get(f"{PATH}/{mine}").json()["status"] == "succeeded" for _ in turns)  # before 8,000 made earlier
    reads(many, 250)


# ── what room they take ──────────────────────────────────────────────────────────────────────────────────────────────


def test_one_clients_uploads_take_half_and_evict_nobodys_result(service: Service) -> None:
    victim, hostile = service.at("192.0.2.1"), service.at("192.0.2.2")
    finished = identity(post(victim, "Zaphod " * 10_000))
    assert service.runner().run_next()
    statuses = [post(hostile, b"x" * (10 * UNIT)).status_code for _ in range(5)]
    assert statuses == [202, 202, 429, 429, 429]
    refused = post(hostile, b"x" * (10 * UNIT))
    assert (refused.headers["content-type"], refused.headers["retry-after"]) == (MEDIA_TYPE, "60")
    service.store.expire(now() - timedelta(hours=1))
    assert victim.get(f"{PATH}/{finished}/result").text == "[WORD] " * 10_000
    assert post(victim, b"x" * (10 * UNIT)).status_code == 202


@pytest.mark.parametrize("kind", ["announced", "chunked", "form"])
def test_an_upload_over_the_share_is_refused_as_it_comes(service: Service, kind: str) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(60):
            sent += UNIT
            yield b"x" * UNIT

    client = service.at("192.0.2.1")
    if kind == "form":
        answer = client.post(PATH, files=[("document", ("a.txt", b"x" * UNIT, "text/plain"))] * 40)
    else:
        length = {"Content-Length": str(60 * UNIT)} if kind == "announced" else {}
        answer = post(client, body(), **length)
    assert answer.status_code == 429
    assert list((service.settings.runs_dir / "documents").rglob("*")) == []
    assert post(client, b"x" * (20 * UNIT)).status_code == 202  # none of it is held any more


def test_a_clients_own_oldest_results_make_room_for_it(service: Service) -> None:
    client = service.at("192.0.2.1")
    runner = service.runner()
    made = []
    for _ in range(4):
        made.append(identity(post(client, b"x" * (8 * UNIT))))
        assert runner.run_next()
    assert [client.get(f"{PATH}/{job}").status_code for job in made] == [404, 200, 200, 200]
    assert post(client, b"x" * (40 * UNIT)).status_code == 429
    assert [client.get(f"{PATH}/{job}").status_code for job in made] == [404, 200, 200, 200]  # in vain: none goes


def test_a_result_that_outgrows_the_share_costs_its_clients_others(service: Service) -> None:
    client, victim = service.at("192.0.2.1"), service.at("192.0.2.2")
    runner = service.runner()
    kept = identity(post(victim, "Zaphod"))
    first = identity(post(client, b"x" * (2 * UNIT)))
    packed = identity(post(client, gzip.compress(NUMBERS[: 26 * UNIT]), **{"Content-Encoding": "gzip"}))
    while runner.run_next():
        pass
    assert [c.get(f"{PATH}/{job}").status_code for c, job in ((client, first), (client, packed), (victim, kept))] == [
        404,
        200,
        200,
    ]


@pytest.mark.parametrize("end", ["succeeded", "failed", "dead", "cancelled"])
def test_the_original_goes_when_its_job_ends(service: Service, end: str) -> None:
    def fail(_: str) -> list[Finding]:
        raise ValueError

    client = service.at("192.0.2.1")
    content, headers = ("<a>", {"Content-Type": "text/xml"}) if end == "failed" else ("Marker4711", {})
    job = identity(post(client, content, **headers))
    documents = service.settings.runs_dir / "documents"
    assert len(list(documents.rglob("document"))) == 1
    if end == "cancelled":
        assert client.delete(f"{PATH}/{job}").status_code == 204
    else:
        service.runner(fail if end == "dead" else words("Marker4711"), job_attempts=1).run(job)
        assert client.get(f"{PATH}/{job}").json()["status"] == end
    assert list(documents.rglob("document")) == []
    kept = b"".join(path.read_bytes() for path in service.settings.runs_dir.rglob("*") if path.is_file())
    assert b"Marker4711" not in kept


def test_an_original_that_a_kill_has_left_goes_with_the_next_clearing_up(service: Service) -> None:
    job = identity(post(service.at("192.0.2.1")))
    with service.store.claim(job) as claim:
        assert claim
        claim.save(status=Status.SUCCEEDED, finished=now())
        document = service.settings.runs_dir / claim.record.directory / "document"
    assert document.exists()
    service.store.expire(now() - timedelta(hours=1))
    assert not document.exists()


# ── what time they take ──────────────────────────────────────────────────────────────────────────────────────────────


def test_one_clients_endless_jobs_hold_nobody_up(service: Service) -> None:
    """Five jobs of one client that do not end, then another's, which does."""
    hostile, victim = service.at("192.0.2.1"), service.at("192.0.2.2")
    endless = threading.Event()
    began: set[str] = set()

    def find(text: str) -> list[Finding]:
        if "slow" in text:
            began.update(re.findall("slow([0-9]) ", text))
            assert not endless.wait(0.003)
        return words("Zaphod")(text)

    for number in range(AT_ONCE + 1):
        post(hostile, f"slow{number} " * 100_000)
    runner = service.runner(find)
    threads = [threading.Thread(target=runner.run_all) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(began) == AT_ONCE - 1)
        wheres = [identity(post(victim)) for _ in range(5)]
        threads.append(threading.Thread(target=runner.run_all))  # as the queue would have it
        threads[-1].start()
        for where in wheres:
            eventually(lambda: victim.get(f"{PATH}/{where}").json()["status"] == "succeeded")  # noqa: B023
        assert len(began) == AT_ONCE - 1
        running = [record for record in service.store.page(None) if record.status is Status.RUNNING]
        assert len(running) == AT_ONCE - 1
    finally:
        service.stopping.set()
        for thread in threads:
            thread.join(60)
    states = {(record.status, record.attempts) for record in service.store.page(None) if record.size > 1000}
    assert states == {(Status.QUEUED, 0)}  # given back


def test_the_next_job_is_the_fairest_clients(service: Service) -> None:
    crowd = [identity(post(service.at("192.0.2.1"))) for _ in range(5)]
    single = identity(post(service.at("192.0.2.2")))
    other = identity(post(service.at("192.0.2.3")))
    runner = service.runner()
    done: list[str] = []
    for _ in range(3):
        assert runner.run_next()
        done += [record.id for record in service.store.page(None) if record.finished and record.id not in done]
    assert {single, other, crowd[0]} == set(done)


def test_a_job_takes_a_bound_of_cpu_time_and_then_fails(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**9))
    monkeypatch.setattr("api.privacy.jobs.runner.time.thread_time", lambda: float(next(clock)))
    monkeypatch.setattr("api.privacy.turns.SLICE", 0.0)
    client = service.at("192.0.2.1")
    job = identity(post(client, gzip.compress(NUMBERS[:500_000]), **{"Content-Encoding": "gzip"}))
    seen: list[str] = []
    service.runner(lambda text: seen.append(text) or [], job_cpu_seconds=10).run(job)  # type: ignore[func-returns-value]
    ended = client.get(f"{PATH}/{job}").json()
    assert (ended["status"], ended["error"]) == ("failed", "The document takes more CPU time than a job may")
    assert len(seen) <= 10
    assert client.get(f"{PATH}/{job}/result").status_code == 409


# ── what is given out ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("media_type", "example"), EXAMPLES.items())
def test_a_browser_saves_a_result_and_runs_nothing_of_it(
    service: Service, media_type: str, example: tuple[str, str]
) -> None:
    client = service.at("192.0.2.1")
    job = identity(post(client, example[0], **{"Content-Type": media_type}))
    assert service.runner().run_next()
    for headers, status in (({}, 200), ({"Range": "bytes=0-1"}, 206)):
        answer = client.get(f"{PATH}/{job}/result", headers=headers)
        assert answer.status_code == status
        assert answer.headers.get_list("content-disposition") == [
            f'attachment; filename="{job}.{SUFFIXES[media_type]}"'
        ]
        assert answer.headers.get_list("content-security-policy") == ["default-src 'none'; sandbox"]
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


def test_a_result_is_whole_or_not_there_whenever_its_job_is_removed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is removed at every step of an answer: before its record is read, before and after its file is opened."""
    client = service.at("192.0.2.1")
    text = "x" * 500_000
    open_result = JobStore.open_result

    def remove_before(store: JobStore, record: Record) -> Any:
        store.cancel(record.id)
        return open_result(store, record)

    def remove_after(store: JobStore, record: Record) -> Any:
        file = open_result(store, record)
        store.cancel(record.id)
        return file

    for patched, status in ((remove_before, 404), (remove_after, 200)):
        job = identity(post(client, text))
        assert service.runner().run_next()
        with monkeypatch.context() as patch:
            patch.setattr(JobStore, "open_result", patched)
            answer = client.get(f"{PATH}/{job}/result")
        assert (answer.status_code, len(answer.content) == len(text)) == (status, status == 200)
        assert client.get(f"{PATH}/{job}").status_code == 404


def test_results_are_read_while_jobs_are_removed(service: Service) -> None:
    client = service.at("192.0.2.1")
    for _ in range(10):
        job = identity(post(client))
        assert service.runner().run_next()
        answers: list[Any] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.get(f"{PATH}/{job}/result")))  # noqa: B023
            for _ in range(4)
        ]
        threads.insert(2, threading.Thread(target=client.delete, args=[f"{PATH}/{job}"]))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert {(answer.status_code, answer.text if answer.status_code == 200 else "") for answer in answers} <= {
            (200, "[WORD]"),
            (404, ""),
        }
    assert not any(map(_is_result, Path("/proc/self/fd").iterdir()))


def _is_result(descriptor: Path) -> bool:
    try:
        return descriptor.readlink().name.startswith("result")
    except OSError:
        return False


# ── an upgrade ───────────────────────────────────────────────────────────────────────────────────────────────────────


def former(runs_dir: Path, number: int, **changes: Any) -> Path:
    """Write a job as version 1 did."""
    directory = runs_dir / "jobs" / f"{number:032x}"
    directory.mkdir(parents=True)
    (directory / "lock").touch()
    (directory / "document").write_text("Zaphod")
    record = {
        "id": directory.name, "status": "queued", "created": f"2026-01-01T00:00:{number:02}Z", "started": None,
        "finished": None, "not_before": None, "attempts": 0, "interruptions": 0, "size": 6, "done": 0, "error": None,
        "media_type": "text/plain", "charset": None, "coding": "identity", "language": "en", "min_confidence": 0.35,
        "delimiter": None, "owner": None, "digest": "d", "batch": None, "part": None, "request_id": "r",
        "traceparent": None,
    }  # fmt: skip
    (directory / "record.json").write_text(json.dumps(record | changes))
    return directory


def test_jobs_of_version_1_are_taken_over(tmp_path: Path) -> None:
    finished = {"status": "succeeded", "finished": "2026-01-01T00:01:00.5Z"}
    done = former(tmp_path, 1, **finished)
    (done / "result").write_text("[WORD]")
    former(tmp_path, 2)
    former(tmp_path, 3, status="running", attempts=1)
    former(tmp_path, 4, owner="anna", batch="b" * 32, part=0)
    broken = former(tmp_path, 5)
    (broken / "record.json").write_text("{")
    (tmp_path / "drafts" / "left").mkdir(parents=True)
    os.utime(tmp_path / "drafts" / "left", (0, 0))
    with serving(lambda _: StubModel(), runs_dir=tmp_path) as client:
        service = Service(client, Settings(runs_dir=tmp_path))
        statuses = [client.get(f"{PATH}/{number:032x}").json()["status"] for number in (1, 2, 3, 5, 4)]
        assert statuses == ["succeeded", "queued", "running", 404, 404]
        assert client.get(f"{PATH}/{1:032x}/result").text == "[WORD]"
        runner = service.runner()
        while runner.run_next():
            pass
        for number, interruptions in ((2, 0), (3, 1)):
            job = client.get(f"{PATH}/{number:032x}").json()
            assert (job["status"], job["attempts"], job["interruptions"]) == ("succeeded", 1, interruptions)
            assert client.get(f"{PATH}/{number:032x}/result").text == "[WORD]"
        assert service.store.page("anna")[0].status is Status.SUCCEEDED
        service.store.expire(now() - timedelta(days=36500))
        assert not (done / "document").exists()
        assert not (tmp_path / "drafts" / "left").exists()
        assert [path.parent.name for path in tmp_path.rglob("record.json")] == [broken.name]


def test_what_version_1_still_writes_about_a_job_it_holds_counts(tmp_path: Path) -> None:
    """Its job process ends after the new service has begun."""
    service = Service(TestClient(None), Settings(runs_dir=tmp_path))  # type: ignore[arg-type]
    directory = former(tmp_path, 1, status="running", attempts=1)
    service.store.take_over()
    assert service.store.get(directory.name).status is Status.RUNNING  # type: ignore[union-attr]
    written = json.loads((directory / "record.json").read_text())
    written |= {"status": "succeeded", "finished": "2026-01-01T00:01:00Z"}
    (directory / "record.json").write_text(json.dumps(written))
    (directory / "result").write_text("as version 1 has it")
    service.runner().run(directory.name)
    record = service.store.get(directory.name)
    assert record
    assert record.status is Status.SUCCEEDED
    assert (directory / "result").read_text() == "as version 1 has it"


def test_a_disk_that_fails_while_jobs_are_taken_over_does_not_keep_the_service_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: JobStore) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(storing.JobStore, "take_over", fail)
    with serving(lambda _: StubModel(), runs_dir=tmp_path) as client:
        assert client.post("/api/v1/predict", json={"text": "a"}).status_code == 200
    assert "stay where they are" in caplog.text
