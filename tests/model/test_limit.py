"""The bound of CPU time a window has: who meets it gets an error, and never a text that was not searched."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
import regex
import spacy
from fastapi.testclient import TestClient
from presidio_analyzer import Pattern, PatternRecognizer
from spacy.tokens import Doc

from api.privacy import model as model_module
from api.privacy.findings import Finding
from api.privacy.jobs.record import Status
from api.privacy.jobs.routes import PATH as JOBS
from api.privacy.jobs.runner import Runner
from api.privacy.jobs.store import JobStore
from api.privacy.model import PresidioModel
from api.privacy.predict import PATH as PREDICT
from api.privacy.process import PATH as PROCESS
from api.privacy.recognizers.catalogue import recognizers_for
from api.privacy.recognizers.limit import Budget, SearchLimitError
from api.privacy.recognizers.patterns import Recognizer, make_search
from api.settings import Settings
from sightglass.problem import MEDIA_TYPE
from tests.support.model import blank
from tests.support.service import StubModel, metric, serving

# Doubles its time with every letter: no bound but the clock's ends it.
SLOW = PatternRecognizer("SLOW", name="SlowRecognizer", patterns=[Pattern("slow", r"1(?:a|a)+?(?:a|a)+?b", 0.5)])
TEXT = "Mail anna@example.com 1" + "a" * 60


def clock(step: float) -> "itertools.count[float]":
    """Count a step of CPU time at each look."""
    return itertools.count(0, step)


def test_a_budget_is_used_up_by_its_threads_time() -> None:
    looks = iter([0.0, 0.4, 0.9, 1.0])
    budget = Budget(1.0, looks.__next__)
    assert budget.left() == pytest.approx(0.6)
    assert budget.left() == pytest.approx(0.1)
    with pytest.raises(SearchLimitError) as error:
        budget.left()
    assert error.value.status_code == 422


def test_a_pattern_that_takes_too_long_is_stopped_and_the_text_is_not_given_out() -> None:
    search = make_search(SLOW, "en")
    with pytest.raises(SearchLimitError):
        list(search.search(TEXT, Budget(0.05)))


@pytest.mark.parametrize("language", ["en", "de", "es", "it", "pl", "xx"])
def test_every_recognizer_looks_at_its_budget(language: str) -> None:
    text = "Mail a@b.c, 4111 1111 1111 1111 DE89 3704 0044 0532 0130 00 00:1a:2b:3c:4d:5e ::1 1.2.3.4 https://x.y/z"
    for recognizer in recognizers_for(language):
        assert isinstance(recognizer, Recognizer)
        looks = clock(1.0)
        budget = Budget(0.5, looks.__next__)  # used up at the first look
        with pytest.raises(SearchLimitError):
            [*recognizer.search(text, budget), budget.left()]
        assert next(looks) <= 3, recognizer.name


@pytest.fixture
def exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "Budget", lambda: Budget(-1.0))


def test_a_window_has_one_budget_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Budget] = []
    model = blank("en")

    def make() -> Budget:
        made.append(Budget())
        return made[-1]

    monkeypatch.setattr(model_module, "Budget", make)
    model.find("4111\u200b1111 x\u200by 1\u200b2", "en", 0.35)  # two readings
    assert len(made) == 1


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    def find(text: str) -> list[Finding]:
        if "slow" in text:
            raise SearchLimitError
        return [Finding(0, 1, "WORD", 1.0)]

    with serving(lambda _: StubModel(find), runs_dir=tmp_path) as client:
        yield client


def test_a_text_that_meets_the_bound_is_a_problem_and_others_are_not(client: TestClient) -> None:
    errors = metric("model_errors_total")
    answer = client.post(PREDICT, json={"text": "x" * 5000 + " slow"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE)
    assert answer.json()["detail"] == "The text cannot be searched within the CPU time a part of it may take"
    assert "slow" not in answer.text
    assert client.post(PREDICT, json={"text": "quick"}).status_code == 200
    assert metric("model_errors_total") == errors


@pytest.mark.parametrize("media_type", ["text/plain", "text/csv", "application/x-ndjson", "application/xml"])
def test_a_document_that_meets_it_is_a_problem_and_nothing_of_it_is_sent(client: TestClient, media_type: str) -> None:
    lines = '"quick"\n' * 1000 + '"slow"\n'
    body = f"<a>{lines}</a>" if media_type == "application/xml" else lines
    answer = client.post(PROCESS, content=body, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE)
    assert "quick" not in answer.text


def test_a_job_that_meets_it_has_failed_at_its_first_attempt(client: TestClient, tmp_path: Path) -> None:
    answer = client.post(JOBS, content="slow", headers={"Content-Type": "text/plain"})
    job_id = answer.headers["location"].rpartition("/")[2]
    store = JobStore(Settings(runs_dir=tmp_path))

    def find(_: str) -> list[Finding]:
        raise SearchLimitError

    Runner(Settings(runs_dir=tmp_path), store, StubModel(find), Event()).run(job_id)
    job = client.get(answer.headers["location"]).json()
    assert (job["status"], job["attempts"]) == (Status.FAILED, 1)
    assert "CPU time" in job["error"]
    assert client.get(f"{answer.headers['location']}/result").status_code == 409


@pytest.mark.usefixtures("exhausted")
@pytest.mark.parametrize("text", ["plain", "4111 1111 1111 1111", "a@b.c", "1\u200b2"])
def test_no_text_is_given_out_with_a_budget_used_up(text: str) -> None:
    with pytest.raises(SearchLimitError):
        blank("en").find(text, "en", 0.35)


def test_a_pipelines_tokenizer_never_sees_a_word_it_would_choke_on() -> None:
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Anna"}])  # type: ignore[attr-defined]
    seen: list[str] = []
    tokenize = pipeline.tokenizer

    def note(text: str) -> Doc:
        seen.append(text)
        doc: Doc = tokenize(text)
        return doc

    pipeline.tokenizer = note
    model = PresidioModel([pipeline])
    text = "Anna " + "(" * 2000 + " Anna " + "漢字" * 100
    assert [(f.start, f.end) for f in model.find(text, "en", 0.35)] == [(0, 4), (2006, 2010)]
    assert max(len(run) for run in regex.findall(r"[!-~]+", seen[-1])) <= 64
    assert len(seen[-1]) == len(text)
