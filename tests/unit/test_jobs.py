import asyncio
import errno
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from api.main import create_app
from api.privacy import turns
from api.privacy.documents import EXAMPLES
from api.privacy.findings import Finding
from api.privacy.jobs import depth, intake, process, upkeep
from api.privacy.jobs import runner as running
from api.privacy.jobs.queue import Messages
from api.privacy.jobs.record import Record, Status, now
from api.privacy.jobs.routes import PATH
from api.privacy.jobs.runner import sweep
from api.privacy.jobs.state import directory as files
from api.privacy.jobs.state.interface import AwayError, LostError, Waiting
from api.privacy.jobs.state.sqlite import SqliteRows
from api.privacy.jobs.store import DOCUMENT_ROOM, DRAFT_AGE, JobStore
from api.privacy.jobs.supervisor import Heart
from api.settings import Settings
from sightglass.context import RequestContext, current_request
from sightglass.problem import MEDIA_TYPE
from tests.support.jobs import PLAIN, Jobs, entry
from tests.support.service import StubModel, eventually, metric, serving, words

MARKER = "Marker4711"
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setattr(running, "PROGRESS_INTERVAL_SECONDS", 0.0)
    with serving(lambda _: StubModel(words("Zaphod")), runs_dir=tmp_path, job_attempts=2) as client:
        yield Jobs(client, Settings(runs_dir=tmp_path, job_attempts=2))


@pytest.mark.parametrize(("media_type", "example"), EXAMPLES.items())
def test_a_job_is_accepted_done_and_fetched(jobs: Jobs, media_type: str, example: tuple[str, str]) -> None:
    accepted, succeeded = metric("jobs_total", status="accepted"), metric("jobs_total", status="succeeded")
    texts, done = metric("model_inference_duration_seconds_count"), metric("model_predictions_total")
    answer = jobs.create(example[0].replace("anna@example.com", "Zaphod"), **{"Content-Type": media_type})
    assert answer.status_code == 202
    job = answer.json()
    where = answer.headers["location"]
    assert (where, job["status"], job["attempts"]) == (f"{PATH}/{job['id']}", "queued", 0)
    assert jobs.named() == [job["id"]]
    early = jobs.client.get(f"{where}/result")
    assert (early.status_code, early.headers["content-type"]) == (409, MEDIA_TYPE)
    jobs.work()
    jobs.work()  # named twice, done once
    job = jobs.client.get(where).json()
    assert (job["status"], job["attempts"], job["done"], job["error"]) == ("succeeded", 1, job["size"], None)
    result = jobs.client.get(f"{where}/result")
    assert result.text == example[1].replace("EMAIL_ADDRESS", "WORD")
    assert result.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert metric("jobs_total", status="accepted") == accepted + 1
    assert metric("jobs_total", status="succeeded") == succeeded + 1
    assert (metric("model_inference_duration_seconds_count"), metric("model_predictions_total")) == (texts, done + 1)


def test_parts_of_a_result_and_what_is_no_part_of_it(jobs: Jobs) -> None:
    where = jobs.create("Zaphod and more").headers["location"] + "/result"
    jobs.work()

    def fetch(parts: str) -> Any:
        return jobs.client.get(where, headers={"Range": parts})

    assert (fetch("bytes=0-5").status_code, fetch("bytes=0-5").text) == (206, "[WORD]")
    for ignored in ("bytes=abc", "bytes=5-2", "items=0-1", MARKER):
        assert (fetch(ignored).status_code, fetch(ignored).text) == (200, "[WORD] and more")
    beyond = fetch("bytes=999-")
    assert (beyond.status_code, beyond.headers["content-type"]) == (416, MEDIA_TYPE)
    assert (beyond.json()["status"], beyond.headers["content-range"]) == (416, "bytes */15")
    described = jobs.client.get("/openapi.json").json()["paths"][f"{PATH}/{{job_id}}/result"]["get"]["responses"]
    assert set(described) == {"200", "206", "401", "404", "409", "414", "416", "422", "429", "431", "500", "503"}


@pytest.mark.parametrize(("job_id", "status"), [("0" * 32, 404), ("..%2f..%2fetc", 404), (MARKER, 422)])
def test_what_is_no_job_is_a_problem(jobs: Jobs, job_id: str, status: int) -> None:
    for method, path in [("GET", ""), ("GET", "/result"), ("DELETE", "")]:
        answer = jobs.client.request(method, f"{PATH}/{job_id}{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
        assert MARKER not in answer.text


def test_the_same_idempotency_key_is_the_same_job(jobs: Jobs) -> None:
    first = jobs.create("Zaphod", **{"Idempotency-Key": "k"})
    jobs.work()
    again = jobs.create("Zaphod", **{"Idempotency-Key": "k"})
    assert (again.status_code, again.headers["location"]) == (202, first.headers["location"])
    assert again.json()["status"] == "succeeded"
    assert jobs.create("other", **{"Idempotency-Key": "k"}).status_code == 422
    assert jobs.create("Zaphod", **{"Idempotency-Key": "l"}).headers["location"] != first.headers["location"]
    assert len(jobs.all()) == 2


def form(*documents: tuple[str, str]) -> list[tuple[str, tuple[str, str, str]]]:
    return [("document", (f"{MARKER}.txt", text, media_type)) for text, media_type in documents]


def test_a_form_is_a_job_for_each_document(jobs: Jobs) -> None:
    accepted = metric("jobs_total", status="accepted")
    jobs.create()
    documents = form(("Zaphod\r\n--", "text/plain"), ("a,Zaphod\n", "text/csv; charset=utf-8"), ("<Zaphod", "text/xml"))
    answer = jobs.client.post(PATH, files=documents)
    assert answer.status_code == 202
    made = answer.json()["jobs"]
    assert [(job["part"], job["media_type"]) for job in made] == [(0, "text/plain"), (1, "text/csv"), (2, "text/xml")]
    assert [job["size"] for job in made] == [10, 9, 7]
    assert metric("jobs_total", status="accepted") == accepted + 4
    jobs.work()
    listed = jobs.client.get(answer.headers["location"]).json()["jobs"]
    assert [(job["part"], job["status"]) for job in listed] == [(2, "failed"), (1, "succeeded"), (0, "succeeded")]
    assert {job["batch"] for job in listed} == {made[0]["batch"]}
    results = [jobs.client.get(f"{PATH}/{job['id']}/result").text for job in made[:2]]
    assert results == ["[WORD]\r\n--", "a,[WORD]\n"]


def test_a_form_sent_again_under_its_key_is_the_same_jobs(jobs: Jobs) -> None:
    documents = form(("Zaphod", "text/plain"), ("Zaphod", "text/plain"))
    first = jobs.client.post(PATH, files=documents, headers={"Idempotency-Key": "k"})
    again = jobs.client.post(PATH, files=documents, headers={"Idempotency-Key": "k"})
    assert (again.json(), again.headers["location"]) == (first.json(), first.headers["location"])
    for other in (documents[:1], form(("Zaphod", "text/plain"), ("Arthur", "text/plain"))):
        assert jobs.client.post(PATH, files=other, headers={"Idempotency-Key": "k"}).status_code == 422
    assert jobs.create("Zaphod", **{"Idempotency-Key": "k"}).status_code == 422
    assert len(jobs.all()) == 2


def test_a_key_is_of_a_document_or_of_a_form(jobs: Jobs) -> None:
    assert jobs.create("Zaphod", **{"Idempotency-Key": "k"}).status_code == 202
    for documents in (form(("Zaphod", "text/plain")), form(*[("Zaphod", "text/plain")] * 2)):
        assert jobs.client.post(PATH, files=documents, headers={"Idempotency-Key": "k"}).status_code == 422
    assert len(jobs.all()) == 1


def test_a_form_there_is_no_room_for_leaves_no_job(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, synced, accepted = os.fsync, 0, metric("jobs_total", status="accepted")

    def full(fd: int) -> None:
        nonlocal synced
        synced += Path(f"/proc/self/fd/{fd}").readlink().name == "document.part"
        if synced == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(fd)

    documents = form(*[("Zaphod", "text/plain")] * 4)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        answer = jobs.client.post(PATH, files=documents, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["content-type"]) == (507, MEDIA_TYPE)
    assert (jobs.all(), jobs.named()) == ([], [])
    assert jobs.left() == []
    assert metric("jobs_total", status="accepted") == accepted
    assert jobs.client.post(PATH, files=documents, headers={"Idempotency-Key": "k"}).status_code == 202


@pytest.mark.parametrize("where", ["directory", "upload", "documents", "database"])
def test_a_job_that_is_not_surely_on_disk_is_none(jobs: Jobs, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    synced = 0

    def sync(directory: Path) -> None:
        nonlocal synced
        synced += 1
        if synced == ["directory", "upload", "documents"].index(where) + 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        if where == "database":
            patch.setattr(Record, "model_dump_json", lambda _: "no JSON")
        else:
            patch.setattr(files, "_sync", sync)
        assert jobs.create().status_code == 507
    assert jobs.all() == []
    assert jobs.left() == []


def test_a_result_is_surely_on_disk_before_its_job_has_succeeded(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, Status]] = []
    sync = files._sync

    def note(directory: Path) -> None:
        seen.append(((directory / "result").exists(), jobs.all()[0].status))
        sync(directory)

    jobs.create()
    monkeypatch.setattr(files, "_sync", note)
    jobs.work()
    assert seen == [(True, Status.RUNNING)]
    assert jobs.all()[0].status is Status.SUCCEEDED


def test_what_a_refused_form_repeats_stays(jobs: Jobs) -> None:
    """One of its jobs was removed; under the same key comes another form, which is refused at the second."""
    documents = form(("Zaphod", "text/plain"), ("Zaphod", "text/plain"))
    made = jobs.client.post(PATH, files=documents, headers={"Idempotency-Key": "k"}).json()["jobs"]
    assert jobs.client.delete(f"{PATH}/{made[0]['id']}").status_code == 204
    other = form(("Zaphod", "text/plain"), ("Arthur", "text/plain"))
    assert jobs.client.post(PATH, files=other, headers={"Idempotency-Key": "k"}).status_code == 422
    assert [record.id for record in jobs.all()] == [made[1]["id"]]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data", b"", 422),
        ("multipart/form-data; boundary=x", b"", 422),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 422),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nMarker4711", 422),
        ("multipart/form-data; boundary=x", b"--x\r\nMarker4711\r\n\r\n\r\n--x--\r\n", 422),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nok\r\n--x\r\n"
            b"Content-Disposition: form-data; name=b\r\nContent-Type: a/Marker4711\r\n\r\n\r\n--x--\r\n",
            415,
        ),
    ],
)
def test_a_form_is_accepted_as_a_whole_or_not_at_all(jobs: Jobs, content_type: str, body: bytes, status: int) -> None:
    answer = jobs.client.post(PATH, content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert MARKER not in answer.text
    assert jobs.all() == []
    assert jobs.left() == []


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Content-Transfer-Encoding: 7bit", 202),
        ("content-transfer-encoding: 8BIT", 202),
        ("Content-Transfer-Encoding: binary", 202),
        ("Content-Transfer-Encoding: binary ", 202),
        ("Content-Transfer-Encoding:\t7bit \t", 202),
        ("Content-Encoding: identity ", 202),
        ("Content-Encoding: identity", 202),
        ("Content-Transfer-Encoding: base64", 415),
        ("content-transfer-encoding:Quoted-Printable", 415),
        ("Content-Transfer-Encoding: x-uuencode", 415),
        ("Content-Encoding: gzip", 415),
        ("Content-Encoding: identity\r\nContent-Encoding: gzip", 415),
        ("Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64", 415),
    ],
)
def test_a_part_that_is_encoded_is_not_taken_for_what_it_says(jobs: Jobs, header: str, status: int) -> None:
    body = f"--x\r\nContent-Disposition: form-data; name=a\r\n{header}\r\n\r\nZaphod\r\n--x--\r\n"
    answer = jobs.client.post(PATH, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == status
    assert len(jobs.all()) == (status == 202)


def test_content_codings_of_several_headers_count_together(jobs: Jobs) -> None:
    twice = [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    for path in (PATH, "/api/v1/process"):
        answer = jobs.client.post(path, content=b"Zaphod", headers=[("Content-Type", "text/plain"), *twice])
        assert answer.status_code == 415
    form = [("Content-Type", "multipart/form-data; boundary=x"), *twice]
    assert jobs.client.post(PATH, content=b"--x--\r\n", headers=form).status_code == 422
    assert jobs.all() == []


def test_a_form_of_too_many_documents_is_refused(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_DOCUMENTS", 2)
    assert jobs.client.post(PATH, files=form(*[("a", "text/plain")] * 2)).status_code == 202
    assert jobs.client.post(PATH, files=form(*[("a", "text/plain")] * 3)).status_code == 422


def test_a_document_that_cannot_be_redacted_fails_at_once(jobs: Jobs) -> None:
    where = jobs.create(f"<{MARKER}>", **{"Content-Type": "application/xml"}).headers["location"]
    jobs.work()
    job = jobs.client.get(where).json()
    assert (job["status"], job["attempts"], job["error"]) == ("failed", 1, "The document is not well-formed XML")
    assert jobs.client.get(f"{where}/result").status_code == 409


def test_a_failing_model_is_tried_again_later_and_then_given_up(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    def fail(text: str) -> list[Finding]:
        raise ValueError(text)

    where = jobs.create(MARKER).headers["location"]
    jobs.work(StubModel(fail))
    (record,) = jobs.all()
    assert (record.status, record.attempts) == (Status.QUEUED, 1)
    assert record.not_before is not None
    assert record.not_before > now()
    queue = Messages(jobs.settings)
    queue.huey.flush()
    sweep(jobs.store, queue)
    assert jobs.named() == []  # not yet
    jobs.work(StubModel(fail))
    job = jobs.client.get(where).json()
    assert (job["status"], job["attempts"], job["error"]) == ("dead", 2, "Every attempt failed")
    assert said(caplog, "job dead") == [(where.rpartition("/")[2], "Every attempt failed")]
    kept = b"".join(path.read_bytes() for path in jobs.settings.runs_dir.rglob("*") if path.is_file())
    text = caplog.text + kept.decode("latin-1")
    assert "ValueError" in text
    assert MARKER not in text


class Killed(BaseException):
    """Ends a job process in the middle of a job, as a kill does: no handler of ours sees it."""


def test_a_job_that_ends_every_process_is_given_up_and_one_that_ends_some_is_not(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    def die(_: str) -> list[Finding]:
        raise Killed

    caplog.set_level("INFO")
    lucky, poison = (jobs.create().json()["id"] for _ in range(2))
    for job_id, kills in ((lucky, running.INTERRUPTIONS - 1), (poison, running.INTERRUPTIONS)):
        for _ in range(kills):
            with pytest.raises(Killed):
                jobs.runner(StubModel(die)).run(job_id)
        jobs.runner().run(job_id)
    done, given_up = (jobs.client.get(f"{PATH}/{job_id}").json() for job_id in (lucky, poison))
    assert (done["status"], done["attempts"], done["interruptions"]) == ("succeeded", 1, running.INTERRUPTIONS - 1)
    assert (given_up["status"], given_up["interruptions"]) == ("dead", running.INTERRUPTIONS)
    assert said(caplog, "job dead") == [(poison, "The job ended its process too often")]


def said(caplog: pytest.LogCaptureFixture, message: str) -> list[tuple[str, str | None]]:
    """Give the jobs and reasons of which the log says so."""
    return [
        (record.__dict__["job_id"], record.__dict__.get("reason"))
        for record in caplog.records
        if record.message == message
    ]


def test_a_job_whose_document_is_gone_ends(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    """As one does that a backup brings back, whose bucket is of another day."""
    job = jobs.create().json()["id"]
    record = jobs.store.get(job)
    assert record
    jobs.store.documents.remove(record.directory, "document")
    errors = metric("model_errors_total")
    for status in ("queued", "dead", "dead"):
        jobs.work()
        assert jobs.client.get(f"{PATH}/{job}").json()["status"] == status
    assert caplog.text.count("attempt 1 failed: the document is not there") == 1
    assert metric("model_errors_total") == errors


def test_jobs_whose_directories_are_gone_end_and_hold_up_no_other(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those do that a backup without its documents brings back."""
    monkeypatch.setattr(running, "BACK_OFF_SECONDS", 0.0)
    monkeypatch.setattr("api.privacy.jobs.state.sqlite.MOST", 2)
    gone = [jobs.create().headers["location"] for _ in range(5)]
    shutil.rmtree(jobs.settings.runs_dir / "documents")
    with jobs.store.claim(gone[1].rpartition("/")[2]) as claim:  # its process had begun
        assert claim
        claim.save(status=Status.RUNNING)
    shutil.rmtree(jobs.settings.runs_dir / "documents")
    assert jobs.client.delete(gone[0]).status_code == 204
    there = jobs.create().headers["location"]
    jobs.runner().run_all()
    assert [jobs.client.get(where).json()["status"] for where in (*gone[1:], there)] == [*["dead"] * 4, "succeeded"]
    assert [jobs.client.delete(where).status_code for where in gone[1:]] == [204] * 4
    jobs.store.expire(now())
    assert [path.name for path in (jobs.settings.runs_dir / "documents").iterdir()] == []


@pytest.mark.parametrize("ending", ["broken", "refused"])
def test_nobody_waits_on_the_event_loop_for_what_keeps_jobs_nor_in_its_threads(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """A bucket that is gone takes half a minute to be given up, and uploads are cleared there, too."""
    seen: set[str] = set()

    def noting(kept: object, name: str) -> None:
        call = getattr(kept, name)

        def note(*args: object, **kwargs: object) -> object:
            seen.add(f"{name} in {threading.current_thread().name.partition('_')[0]}")
            return call(*args, **kwargs)

        monkeypatch.setattr(kept, name, note)

    store = jobs.client.app.state.jobs  # type: ignore[attr-defined]
    for kept, name in ((store._rows, "hold"), (store._rows, "accept"), (store.documents, "clear")):
        noting(kept, name)
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    if ending == "broken":
        assert jobs.create(b"--x\r\n\r\nZaphod\r\n--xy", **form).status_code == 422
        assert seen == {"hold in jobs", "clear in jobs"}
    else:
        statuses = [jobs.create(text, **{"Idempotency-Key": "1"}).status_code for text in ("a", "b")]
        assert statuses == [202, 422]
        assert seen == {"hold in jobs", "accept in jobs", "clear in jobs"}


def test_a_full_disk_puts_a_job_off_and_takes_none_of_its_attempts(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fsync = os.fsync

    def full(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink().name == "result.part":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(fd)

    errors, retried = metric("model_errors_total"), metric("jobs_total", status="retried")
    job_id = jobs.create().json()["id"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(2 * running.INTERRUPTIONS):
            jobs.work()
    record = jobs.store.get(job_id)
    assert record
    assert (record.status, record.attempts, record.interruptions) == (Status.QUEUED, 0, 0)
    assert record.not_before is not None
    assert record.not_before > now()
    assert len(jobs.left()) == 3  # the document and its directories: the rest would be in the way of what is next
    assert metric("model_errors_total") == errors
    assert metric("jobs_total", status="retried") == retried + 2 * running.INTERRUPTIONS
    assert "the disk failed: No space left on device" in caplog.text
    jobs.work()
    assert jobs.client.get(f"{PATH}/{job_id}").json()["status"] == "succeeded"


def test_a_models_own_trouble_with_files_is_the_models(jobs: Jobs) -> None:
    def fail(_: str) -> list[Finding]:
        raise ConnectionResetError

    job_id = jobs.create().json()["id"]
    for _ in range(2):
        jobs.work(StubModel(fail))
    assert jobs.client.get(f"{PATH}/{job_id}").json()["status"] == "dead"


def test_a_disk_that_takes_no_record_raises_nothing_and_loses_nothing(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    job_id = jobs.create().json()["id"]
    with monkeypatch.context() as patch:
        patch.setattr(type(jobs.rows), "save", fail)
        jobs.work()
    assert said(caplog, "job left as it was: OSError") == [(job_id, None)]
    jobs.work()
    assert jobs.client.get(f"{PATH}/{job_id}").json()["status"] == "succeeded"


def test_a_job_process_that_stops_gives_its_job_back(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE", 0.0)

    def stop(_: str) -> list[Finding]:
        jobs.stopping.set()
        return []

    job_id = jobs.create("lorem ipsum " * 1000).json()["id"]
    jobs.work(StubModel(stop))
    record = jobs.store.get(job_id)
    assert record
    assert (record.status, record.attempts) == (Status.QUEUED, 0)
    jobs.stopping.clear()
    jobs.work()
    assert jobs.client.get(f"{PATH}/{job_id}").json()["status"] == "succeeded"


def test_a_job_can_be_removed_at_any_time(jobs: Jobs) -> None:
    started, go = threading.Event(), threading.Event()

    def block(_: str) -> list[Finding]:
        started.set()
        assert go.wait(30)
        return []

    queued, done, busy = (jobs.create().headers["location"] for _ in range(3))
    cancelled = metric("jobs_total", status="cancelled")
    jobs.runner().run(done.rpartition("/")[2])
    thread = threading.Thread(target=jobs.runner(StubModel(block)).run, args=[busy.rpartition("/")[2]])
    thread.start()
    assert started.wait(30)
    depth.tell(jobs.store)
    assert (metric("job_queue_depth"), metric("jobs_unfinished")) == (1, 2)  # what is in somebody's hands is not done
    assert [jobs.client.delete(where).status_code for where in (queued, done, busy)] == [204, 204, 202]
    jobs.hear()
    go.set()
    thread.join(30)
    assert [jobs.client.get(where).status_code for where in (queued, done, busy)] == [404] * 3
    assert metric("jobs_total", status="cancelled") == cancelled + 2
    assert jobs.left() == []


def test_a_key_sent_again_while_its_job_is_being_removed_is_no_promise(jobs: Jobs) -> None:
    key = {"Idempotency-Key": "k"}
    documents = form(("Zaphod", "text/plain"), ("Arthur", "text/plain"))
    alone = jobs.create(**key).headers["location"]
    of_form = jobs.client.post(PATH, files=documents, headers={"Idempotency-Key": "l"}).json()["jobs"][1]["id"]
    with jobs.store.claim(alone.rpartition("/")[2]) as first, jobs.store.claim(of_form) as second:
        assert first
        assert second
        assert jobs.client.delete(alone).status_code == 202
        assert jobs.client.delete(f"{PATH}/{of_form}").status_code == 202
        jobs.hear()
        for answer in (jobs.create(**key), jobs.client.post(PATH, files=documents, headers={"Idempotency-Key": "l"})):
            assert (answer.status_code, answer.headers["content-type"]) == (409, MEDIA_TYPE)
            assert answer.headers["retry-after"] == "3"
        assert jobs.create("other", **key).status_code == 422
        assert len(jobs.all()) == 3
        jobs.store.remove(first)
        jobs.store.remove(second)
    assert jobs.create(**key).headers["location"] == alone
    assert jobs.client.post(PATH, files=documents, headers={"Idempotency-Key": "l"}).status_code == 202
    assert len(jobs.all()) == 3
    jobs.work()
    assert jobs.client.get(alone).json()["status"] == "succeeded"


def test_a_job_is_in_one_pair_of_hands(jobs: Jobs) -> None:
    job_id = jobs.create().json()["id"]
    with jobs.store.claim(job_id) as first, jobs.store.claim(job_id) as second:
        assert first
        assert second is None
        jobs.work()
        assert first.record.status is Status.QUEUED
    assert jobs.store.get(job_id).attempts == 0  # type: ignore[union-attr]


def test_a_job_is_accepted_without_the_queue_and_named_by_the_sweep(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Messages, "put", lambda *_: (_ for _ in ()).throw(ConnectionError))
        job_id = jobs.create().json()["id"]
    assert "the queue is not reachable" in caplog.text
    queue = Messages(jobs.settings)
    for _ in range(3):
        sweep(jobs.store, queue)
        assert jobs.named() == [job_id]  # once, however often
        assert metric("job_queue_depth") == 1
        assert metric("job_queue_age_seconds") > 0
    jobs.work()
    queue.huey.flush()
    sweep(jobs.store, queue)
    assert (jobs.named(), metric("job_queue_depth"), metric("job_queue_age_seconds")) == ([], 0, 0)


def test_depth_and_age_are_told_while_the_queue_is_gone(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.create()
    monkeypatch.setattr(Messages, "__len__", lambda _: (_ for _ in ()).throw(ConnectionError))
    with pytest.raises(ConnectionError):
        sweep(jobs.store, Messages(jobs.settings))
    assert metric("job_queue_depth") == 1
    assert metric("job_queue_age_seconds") > 0


def test_every_status_is_counted_from_0() -> None:
    code = "import api.privacy.metrics, prometheus_client as p; print(p.generate_latest().decode())"
    text = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    statuses = ("accepted", "retried", "succeeded", "failed", "dead", "cancelled")
    assert all(f'jobs_total{{status="{status}"}} 0.0' in text for status in statuses)


def test_a_redis_that_is_gone_loses_no_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"redis://127.0.0.1:{nobody.getsockname()[1]}/0"
        with serving(lambda _: StubModel(), runs_dir=tmp_path, queue_url=url) as client:
            answer = client.post(PATH, content=b"a", headers=PLAIN)
            assert answer.status_code == 202
            assert client.get(answer.headers["location"]).json()["status"] == "queued"
    assert "the queue is not reachable: ConnectionError" in caplog.text


def test_what_the_service_puts_into_the_queue_a_job_process_understands(jobs: Jobs) -> None:
    job_id = jobs.create().json()["id"]
    seen: list[str] = []
    queue = Messages(jobs.settings, seen.append)
    queue.huey.execute(queue.huey.dequeue())
    assert seen == [job_id]


def test_finished_jobs_expire_by_age(jobs: Jobs) -> None:
    old, new = (jobs.create("Zaphod " * 10_000).json()["id"] for _ in range(2))
    jobs.work()
    waiting = jobs.create().json()["id"]
    with jobs.store.claim(old) as claim:
        assert claim
        claim.save(finished=now() - timedelta(hours=2))
    assert jobs.store.expire(now() - timedelta(hours=1)) == 1
    assert [record.id for record in jobs.all()] == [new, waiting]
    assert jobs.store.expire(now() + timedelta(hours=1)) == 1
    assert [record.id for record in jobs.all()] == [waiting]


def on_disk(directory: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*"))


def test_jobs_and_uploads_are_charged_what_they_take_on_disk(jobs: Jobs) -> None:
    for text in ("a", "Zaphod " * 10_000):
        jobs.create(text)
    documents = jobs.settings.runs_dir / "documents"

    def on_disk_by_jobs() -> int:
        return sum(on_disk(upload) for upload in documents.iterdir())

    assert sum(jobs.taken().values()) == on_disk_by_jobs()
    jobs.work()
    assert sum(jobs.taken().values()) == on_disk_by_jobs()
    with jobs.store.upload("@somebody") as upload:
        upload.expect(100_000)
        assert jobs.taken()["@somebody"] == 100_000 + DOCUMENT_ROOM
        upload.take(200_000)
        assert jobs.taken()["@somebody"] == 400_000 + DOCUMENT_ROOM  # and as much again that may come
    assert "@somebody" not in jobs.taken()
    for record in jobs.all():
        assert jobs.store.cancel(record.id)
    assert jobs.taken() == {}


def test_what_takes_too_much_goes_the_largest_clients_oldest_first(jobs: Jobs) -> None:
    made = {}
    for client, number in (("a", 1), ("b", 4)):
        with closing(TestClient(jobs.client.app, client=(client, 1))) as other:
            made[client] = [
                other.post(PATH, content="Zaphod " * 10_000, headers=PLAIN).json()["id"] for _ in range(number)
            ]
    jobs.work()
    most = sum(jobs.taken().values()) - 1
    assert JobStore(replace(jobs.settings, job_retention_bytes=most)).expire(now() - timedelta(days=1)) == 1
    assert {record.id for record in jobs.all()} == {*made["a"], *made["b"][1:]}
    assert JobStore(replace(jobs.settings, job_retention_bytes=1)).expire(now() - timedelta(days=1)) == 4
    assert jobs.all() == []


def test_what_a_killed_upload_left_expires_within_hours(jobs: Jobs) -> None:
    upload = jobs.store.upload("@somebody").__enter__()  # and the process is killed
    directory, draft = upload.part()
    with draft as draft_file:
        draft_file.keep()
    document = jobs.settings.runs_dir / directory / "document"
    with jobs.rows._write() as rows:  # type: ignore[attr-defined]
        rows.execute("UPDATE jobs SET touched = 1")
    for minutes, there in ((1, True), (-1, False)):  # an upload still writes to its document
        written = (now() - DRAFT_AGE + timedelta(minutes=minutes)).timestamp()
        for path in (document, document.with_name("lock"), document.parent, document.parent.parent):
            os.utime(path, (written, written))
        jobs.store.expire(now() - timedelta(days=7))
        assert document.exists() is there
    assert not document.parent.parent.exists()
    assert jobs.taken() == {}


def test_a_job_whose_acceptance_was_not_heard_of_keeps_its_document(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the database goes between a commit and its answer; the client asks again."""
    rows = type(jobs.rows)
    accept = rows.accept

    def unheard(self: Any, *given: Any) -> Any:
        accept(self, *given)
        raise AwayError("gone", unheard=True)

    with monkeypatch.context() as lost:
        lost.setattr(rows, "accept", unheard)
        assert jobs.create(**{"Idempotency-Key": "one"}).status_code == 503
    assert jobs.create(**{"Idempotency-Key": "one"}).status_code == 202
    jobs.work()
    assert [record.status for record in jobs.all()] == [Status.SUCCEEDED]


def test_a_job_goes_on_with_its_requests_ids_and_trace(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(running, "tracer", provider.get_tracer("test"))
    seen: list[tuple[str | None, ...]] = []

    def find(_: str) -> list[Finding]:
        context = current_request.get()
        assert context
        seen.append((context.request_id, context.trace_id, context.span_id))
        return []

    request = RequestContext("request-1")
    request.trace_id, request.span_id = "a" * 32, "b" * 16
    for sampled in (True, False):
        request.sampled = sampled
        token = current_request.set(request)
        try:
            jobs.create()
        finally:
            current_request.reset(token)
        jobs.work(StubModel(find))
    (span,) = exporter.get_finished_spans()
    assert span.parent
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == ("a" * 32, "b" * 16)
    assert seen == [("request-1", "a" * 32, f"{span.context.span_id:016x}"), ("request-1", "a" * 32, None)]


@pytest.mark.parametrize("sampler", ["traceidratio", "always_on", "parentbased_traceidratio"])
def test_a_job_of_a_request_that_was_sampled_is_sampled_whatever_the_share(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    exporter = InMemorySpanExporter()

    def start(_: Settings, chosen: Sampler) -> TracerProvider:
        provider = TracerProvider(sampler=chosen)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        monkeypatch.setattr(running, "tracer", provider.get_tracer("test"))
        return provider

    monkeypatch.setattr("sightglass.tracing.provider.start_provider", start)
    monkeypatch.setattr(process, "work", lambda *_, **__: jobs.work())
    request = RequestContext("request-1")
    request.trace_id, request.span_id, request.sampled = "a" * 32, "b" * 16, True
    token = current_request.set(request)
    try:
        jobs.create()
    finally:
        current_request.reset(token)
    process._work(Settings(tracing_enabled=True, otel_traces_sampler=sampler, otel_traces_sampler_arg=0.0), Heart(0))
    (span,) = exporter.get_finished_spans()
    assert (span.name, f"{span.context.trace_id:032x}") == ("job", "a" * 32)


def test_no_room_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with serving(lambda _: StubModel(), runs_dir=tmp_path / "file") as client:
        answer = client.post(PATH, content=b"a", headers=PLAIN)
    assert (answer.status_code, answer.headers["content-type"]) == (507, MEDIA_TYPE)


def test_too_large_a_document_leaves_nothing(tmp_path: Path) -> None:
    with serving(lambda _: StubModel(), runs_dir=tmp_path, max_request_size_bytes=2000) as client:
        answer = client.post(PATH, content=(b"a" * 999 for _ in range(3)), headers=PLAIN)
    assert answer.status_code == 413
    assert Jobs(client, Settings(runs_dir=tmp_path)).left() == []


def test_sweeps_are_rarer_the_longer_they_take() -> None:
    assert depth.pause_after(0.01) == depth.INTERVAL_SECONDS
    assert depth.pause_after(3) == 60


def test_no_error_ends_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[BaseException] = [OSError(errno.EIO, "away"), ValueError("a row of a newer version's")]

    async def count(*_: object) -> None:
        raise errors.pop(0)

    async def sleep(_: float) -> None:
        if not errors:
            errors.append(asyncio.CancelledError())

    monkeypatch.setattr(depth, "in_thread", count)
    monkeypatch.setattr(depth, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(depth.keep_telling(cast(JobStore, None)))


def test_what_is_waited_for_until_the_database_answers_is_no_reason_for_rarer_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its API would tell for minutes what was there before."""
    moments = [10.0, 3.0, 0.01, -30.0, 10.0, 0.01]  # of counts, of which one fails
    clock = [0.0]
    pauses: list[float] = []

    async def count(*_: object) -> None:
        took = moments[len(pauses)]
        clock[0] += abs(took)
        if took < 0:
            raise OSError(errno.EIO, "away")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == len(moments):
            raise asyncio.CancelledError

    monkeypatch.setattr(depth, "in_thread", count)
    monkeypatch.setattr(depth, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(depth, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(depth.keep_telling(cast(JobStore, None)))
    soon = depth.INTERVAL_SECONDS
    assert pauses == [soon, pytest.approx(60), soon, soon, soon, soon]


def test_the_api_tells_what_waits_while_there_is_no_job_process(tmp_path: Path) -> None:
    depth.JOB_QUEUE_DEPTH.set(-1)
    app = create_app(Settings(runs_dir=tmp_path), lambda _: StubModel(), depth.keep_telling)
    with TestClient(app) as client:
        eventually(lambda: metric("job_queue_depth") == 0)
        Jobs(client, app.state.settings).create()
        eventually(lambda: metric("job_queue_depth") == 1)
        assert metric("job_queue_age_seconds") > 0


def test_the_api_has_old_jobs_go_while_there_is_no_job_process(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [ValueError("a row of a newer version's"), OSError(errno.EIO, "away")]
    expire = JobStore.expire_some

    def expire_at_last(store: JobStore) -> None:
        if errors:
            raise errors.pop()
        expire(store)
        raise asyncio.CancelledError

    monkeypatch.setattr(upkeep, "EXPIRE_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(JobStore, "expire_some", expire_at_last)
    old, new = (jobs.create().headers["location"] for _ in range(2))
    for location, hours in ((old, 169), (new, 167)):
        with jobs.store.claim(location.rpartition("/")[2]) as claim:
            assert claim
            claim.save(status=Status.FAILED, finished=now() - timedelta(hours=hours))

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(upkeep.keep_expiring(jobs.store))
    assert jobs.client.get(old).status_code == 404
    assert jobs.client.get(new).status_code == 200


def test_a_disk_that_is_gone_leaves_what_was_told_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = iter([OSError(errno.EIO, "gone"), (Waiting(3, 3, None, 3), []), OSError(errno.EIO, "gone")])
    ended = threading.Event()

    def waiting(*_: object) -> object:
        for answer in looked:
            if isinstance(answer, OSError):
                raise answer
            return answer
        ended.set()
        raise OSError(errno.EIO, "gone")

    depth.JOB_QUEUE_DEPTH.set(-1)
    monkeypatch.setattr(JobStore, "waiting", waiting)
    monkeypatch.setattr(depth, "INTERVAL_SECONDS", 0.0)
    app = create_app(Settings(runs_dir=tmp_path), lambda _: StubModel(), depth.keep_telling)
    with TestClient(app):
        eventually(ended.is_set)
        assert metric("job_queue_depth") == 3


def test_no_statement_takes_more_steps_with_more_jobs(jobs: Jobs) -> None:
    """SQLite's own steps, counted: of 4,000 jobs almost all are put off, or just going."""
    record, later, rows = jobs.example(), now() + timedelta(hours=1), jobs.rows
    assert isinstance(rows, SqliteRows)
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    def counted(jobs_there: int) -> dict[str, int]:
        nonlocal steps
        found = {}
        asked: dict[str, Callable[[], object]] = {
            "claiming": lambda: rows.due(record.client, now(), 100),
            "clients": rows.clients,
            "listing": lambda: rows.page(None, "b" * 32, None, 5),
            "looking": lambda: rows.get(f"{jobs_there - 1:032x}"),
            "finished": lambda: rows.finished(now()),
            "a client's finished": lambda: rows.oldest_finished(record.client),
            "with original": rows.with_original,
            "forgetting": lambda: rows.forget("documents/x/1"),
        }
        for name, ask in asked.items():
            steps = 0
            ask()
            found[name] = steps
        return found

    def fill(numbers: range) -> None:
        due = numbers[-5:]
        rows.accept("", [entry(record, one, not_before=None if one in due else later) for one in numbers])

    rows._connection().set_progress_handler(step, 1)
    fill(range(10))
    for one in range(2):
        rows.discard(entry(record, one).record)
    few = counted(10)
    with rows._write() as connection:
        connection.execute("DELETE FROM jobs")
    fill(range(4_000))
    for one in range(1_000):
        rows.discard(entry(record, one).record)
    assert rows.due(record.client, now(), 1) == [f"{3_995:032x}"]
    assert counted(4_000) == few


def test_what_was_put_off_and_is_due_comes_before_what_is_younger(jobs: Jobs) -> None:
    record = jobs.example()
    moments = {1: now() - timedelta(seconds=1), 2: now() - timedelta(seconds=2), 3: None, 4: None}
    moments[5] = now() + timedelta(hours=1)
    jobs.rows.accept("", [entry(record, number, not_before=moment) for number, moment in moments.items()])
    for number in moments:  # what SQLite holds them by
        (jobs.settings.runs_dir / f"documents/x/{number}").mkdir(parents=True)
        (jobs.settings.runs_dir / f"documents/x/{number}/lock").touch()
    found = []
    for _ in moments:
        with jobs.store.claim_due(record.client, now()) as claim:
            found.append(int(claim.record.id, 16) if claim else None)
            if claim:
                claim.save(status=Status.FAILED, finished=now())
    assert found == [2, 1, 3, 4, None]


@pytest.mark.parametrize("looked", [True, False], ids=["it looked", "its process died first"])
@pytest.mark.parametrize("asked", ["before its end", "after its end"])
def test_one_delete_is_enough_of_a_job_that_is_just_ending(jobs: Jobs, asked: str, looked: bool) -> None:
    job = jobs.create("Zaphod", **{"Idempotency-Key": "mine"}).json()["id"]
    with jobs.store.claim(job) as claim:
        assert claim
        claim.save(status=Status.RUNNING, started=now())
        if asked == "before its end":
            assert jobs.client.delete(f"{PATH}/{job}").status_code == 202
        claim.save(status=Status.FAILED, finished=now())
        if asked == "after its end":
            assert jobs.client.delete(f"{PATH}/{job}").status_code == 204
            assert jobs.client.get(f"{PATH}/{job}").status_code == 404
            assert jobs.create("Zaphod", **{"Idempotency-Key": "mine"}).json()["id"] == job  # another, of the same id
            with suppress(LostError):
                claim.drop_original()
            assert jobs.client.get(f"{PATH}/{job}").json()["status"] == "queued"
            assert jobs.client.delete(f"{PATH}/{job}").status_code == 204
        elif looked:
            assert claim.cancelled
            jobs.store.remove(claim)
    jobs.store.expire(now() - timedelta(days=1))
    assert jobs.client.get(f"{PATH}/{job}").status_code == 404
    assert (jobs.left(), jobs.taken()) == ([], {})


def test_a_delete_as_a_job_ends_is_heard_by_who_ends_it(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes between the last look at what is asked and the end's being saved."""
    job = jobs.create("Zaphod").json()["id"]
    end = running.Runner._end

    def ask_first(*arguments: Any, **changes: Any) -> None:
        assert jobs.client.delete(f"{PATH}/{job}").status_code == 202
        end(*arguments, **changes)

    monkeypatch.setattr(running.Runner, "_end", ask_first)
    jobs.runner().run(job)
    assert jobs.client.get(f"{PATH}/{job}").status_code == 404
    assert (jobs.left(), jobs.taken()) == ([], {})
