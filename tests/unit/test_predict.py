import json
import logging
import threading
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from api.privacy import inference
from api.privacy.findings import Finding, ModelError
from api.privacy.predict import PATH
from sightglass.problem import MEDIA_TYPE
from tests.support.service import StubModel, eventually, metric, model_reason, serving, words

MARKER = "Marker4711"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving() as client:
        yield client


def test_predict_finds_and_redacts(client: TestClient) -> None:
    text = "Mail anna@example.com or call +1 212 555 0123."
    answer = client.post(PATH, json={"text": text})
    assert answer.status_code == 200
    body = answer.json()
    assert [(e["type"], text[e["start"] : e["end"]]) for e in body["entities"]] == [
        ("EMAIL_ADDRESS", "anna@example.com"),
        ("PHONE_NUMBER", "+1 212 555 0123"),
    ]
    assert body["redacted"] == "Mail [EMAIL_ADDRESS] or call [PHONE_NUMBER]."
    assert set(body["model"]) == {"name", "version"}


def test_the_line_says_how_many_findings_of_which_type_and_no_text(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    text = "Mail anna@example.com or bob@example.com or call +1 212 555 0123."
    with caplog.at_level(logging.INFO):
        assert client.post(PATH, json={"text": text}).status_code == 200
        assert client.post(PATH, json={"text": "nothing"}).status_code == 200
    records = [record for record in caplog.records if record.name == "api.privacy.predict"]
    assert [record.__dict__["findings"] for record in records] == [{"EMAIL_ADDRESS": 2, "PHONE_NUMBER": 1}, {}]
    assert not any(word in str(record.__dict__) for record in records for word in ("anna@", "bob@", "555 0123"))


def test_every_address_in_a_long_text_is_found_at_its_place(client: TestClient) -> None:
    text = "".join(f"line {n}, write to user{n}@example.com today\n" for n in range(500))
    body = client.post(PATH, json={"text": text, "min_confidence": 0.9}).json()
    assert [text[e["start"] : e["end"]] for e in body["entities"]] == [f"user{n}@example.com" for n in range(500)]
    assert "@" not in body["redacted"]


def test_confidence_and_anonymize_are_obeyed(client: TestClient) -> None:
    asked = {"text": "Call +1 212 555 0123", "min_confidence": 0.9, "anonymize": False, "language": "en"}
    body = client.post(PATH, json=asked).json()
    assert (body["entities"], body["redacted"]) == ([], None)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/text"),
        ({"text": 1}, "/text"),
        ({"text": None}, "/text"),
        ({"text": [MARKER]}, "/text"),
        ({"text": MARKER * 10_001}, "/text"),
        ({"text": MARKER, "language": "xx"}, "/language"),
        ({"text": MARKER, "language": MARKER}, "/language"),
        ({"text": MARKER, "min_confidence": 1.01}, "/min_confidence"),
        ({"text": MARKER, "min_confidence": -0.1}, "/min_confidence"),
        ({"text": MARKER, "min_confidence": "0.5"}, "/min_confidence"),
        ({"text": MARKER, "min_confidence": True}, "/min_confidence"),
        ({"text": MARKER, "anonymize": 1}, "/anonymize"),
        ({"text": MARKER, MARKER: 1}, ""),
        ([MARKER], ""),
        (MARKER, ""),
    ],
)
def test_a_wrong_body_is_refused_without_being_echoed(client: TestClient, body: object, pointer: str) -> None:
    answer = client.post(PATH, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE)
    assert [item["pointer"] for item in answer.json()["errors"]] == [pointer]
    assert MARKER not in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"text":"' + MARKER.encode(), 422),
        (b'{"text":"\\ud800"}', 422),
        (b'{"text":"a","min_confidence":NaN}', 422),
        (b"", 422),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"text":' + b"1" * 5000 + b"}", 400),
    ],
)
def test_what_is_not_json_is_a_client_error(client: TestClient, body: bytes, status: int) -> None:
    answer = client.post(PATH, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert MARKER not in answer.text


def test_other_methods_and_paths_are_problems(client: TestClient) -> None:
    wrong_method = client.get(PATH)
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")
    assert wrong_method.headers["content-type"] == client.get("/nowhere").headers["content-type"] == MEDIA_TYPE


def test_a_body_too_large_is_refused_before_it_is_read_or_while_it_is() -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 1000

    with serving(lambda _: StubModel(), max_text_length=10) as client:
        headers = {"Content-Type": "application/json"}
        announced = client.post(PATH, content=b" " * 5000, headers=headers)
        streamed = client.post(PATH, content=chunks(), headers=headers)
        allowed = client.post(PATH, content=json.dumps({"text": "\U0001f600" * 10}).encode(), headers=headers)
    assert [announced.status_code, streamed.status_code, allowed.status_code] == [413, 413, 200]
    assert {announced.headers["content-type"], streamed.headers["content-type"]} == {MEDIA_TYPE}


def test_not_ready_until_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "LOADING_PATIENCE_SECONDS", 0.1)
    go = threading.Event()

    def load(_: object) -> StubModel:
        assert go.wait(30)
        return StubModel()

    with serving(load, ready=False) as client:
        early = client.post(PATH, json={"text": "a"})
        assert (early.status_code, early.headers["retry-after"], model_reason(client)) == (
            503,
            "1",
            "the model is loading",
        )
        assert metric("model_ready") == 0
        go.set()
        eventually(lambda: model_reason(client) is None)
        eventually(lambda: metric("model_ready") == 1)
        assert client.post(PATH, json={"text": "a"}).status_code == 200


def test_a_text_waits_for_a_model_that_is_loading_and_few_do() -> None:
    go = threading.Event()
    statuses: list[int] = []

    def load(_: object) -> StubModel:
        assert go.wait(30)
        return StubModel()

    def post(client: TestClient) -> None:
        statuses.append(client.post(PATH, json={"text": "a"}).status_code)

    with serving(load, ready=False, inference_concurrency=2) as client:
        threads = [threading.Thread(target=post, args=(client,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: statuses == [503])  # the one too many
        go.set()
        for thread in threads:
            thread.join(30)
    assert statuses == [503, 200, 200]


def test_a_model_that_failed_to_load_is_waited_for_by_nobody() -> None:
    def load(_: object) -> StubModel:
        raise ModelError("broken")

    with serving(load, ready=False) as client:
        eventually(lambda: model_reason(client) == "the model failed to load: broken")
        answer = client.post(PATH, json={"text": "a"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_when_every_place_is_taken_the_next_is_told_to_come_back() -> None:
    started, go = threading.Event(), threading.Event()

    def block(_: str) -> list[Finding]:
        started.set()
        assert go.wait(30)
        return []

    rejected = metric("model_rejections_total")
    with serving(lambda _: StubModel(block), inference_concurrency=1) as client:
        first: list[int] = []
        thread = threading.Thread(target=lambda: first.append(client.post(PATH, json={"text": "a"}).status_code))
        thread.start()
        assert started.wait(30)
        # The event loop is free while the model works.
        assert client.get("/openapi.json").status_code == 200
        busy = client.post(PATH, json={"text": "a"})
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        assert metric("model_rejections_total") == rejected + 1
        go.set()
        thread.join(30)
        assert first == [200]
        assert client.post(PATH, json={"text": "a"}).status_code == 200


def test_counts_are_exact() -> None:
    names = ("model_predictions_total", "model_inference_duration_seconds_count", "model_errors_total")
    before = [metric(name) for name in names]
    found = metric("pii_detected_total", entity_type="WORD")
    with serving(lambda _: StubModel(words("Zaphod"))) as client:
        for _ in range(7):
            client.post(PATH, json={"text": "Zaphod and Zaphod"})
        client.post(PATH, json={"text": 1})
    assert [metric(name) for name in names] == [before[0] + 7, before[1] + 7, before[2]]
    assert metric("pii_detected_total", entity_type="WORD") == found + 14


def test_a_failing_model_is_a_500_counted_and_says_nothing_of_the_text(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(text: str) -> list[Finding]:
        raise ValueError(text)

    errors, done = metric("model_errors_total"), metric("model_predictions_total")
    with serving(lambda _: StubModel(fail)) as client:
        answer = client.post(PATH, json={"text": MARKER})
    assert (answer.status_code, answer.headers["content-type"]) == (500, MEDIA_TYPE)
    assert metric("model_errors_total") == errors + 1
    assert metric("model_predictions_total") == done
    assert "ValueError" in caplog.text
    assert MARKER not in answer.text + caplog.text + "".join(capfd.readouterr())


def test_a_text_that_takes_too_long_is_given_up_and_counted_once() -> None:
    go = threading.Event()

    def block(text: str) -> list[Finding]:
        assert go.wait(30)
        if text == "long":
            raise ValueError
        return []

    errors = metric("model_errors_total")
    with serving(lambda _: StubModel(block), inference_timeout=1) as client:
        answer = client.post(PATH, json={"text": "long"})
        go.set()
        assert client.post(PATH, json={"text": "short"}).status_code == 200  # in its turn
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert metric("model_errors_total") == errors + 1


def test_the_description_names_every_error_as_a_problem(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    responses = description["paths"][PATH]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "413", "414", "422", "429", "431", "500", "503", "507"}
    errors = [responses[status] for status in responses if status != "200"]
    assert all(list(error["content"]) == [MEDIA_TYPE] for error in errors)
    assert {"Problem", "FieldProblem"} <= set(description["components"]["schemas"])
    assert "HTTPValidationError" not in description["components"]["schemas"]


@pytest.mark.parametrize(
    ("asked", "redacted", "found"),
    [
        ({}, False, 0),
        ({"anonymize": True}, True, 0),
        ({"anonymize": False, "min_confidence": 0.1}, False, 1),
        ({"min_confidence": 0.1}, False, 1),
        ({"anonymize": True, "min_confidence": 0.35}, True, 1),  # the built-in default, asked for, is no setting's
        ({"anonymize": True, "min_confidence": 0.2}, True, 1),
    ],
)
def test_what_a_request_does_not_say_the_settings_do(asked: dict[str, object], redacted: bool, found: int) -> None:
    with serving(lambda _: StubModel(words("Ada", 0.5)), anonymize=False, min_confidence=0.9) as client:
        body = client.post(PATH, json={"text": "Ada"} | asked).json()
        assert (body["redacted"] is not None, len(body["entities"])) == (redacted, found)


def test_the_description_names_no_default_that_an_installation_may_not_have(client: TestClient) -> None:
    fields = client.get("/openapi.json").json()["components"]["schemas"]["PredictRequest"]["properties"]
    assert all("default" not in fields[name] for name in ("anonymize", "min_confidence"))
    assert fields["language"]["default"] == "en"
