import asyncio
import gzip
import json
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.privacy.coding import Decompressor
from api.privacy.documents import EXAMPLES
from api.privacy.findings import Finding
from api.privacy.formats.document import DocumentError
from api.privacy.process import PATH
from api.problem import ProblemError
from api.settings import Settings
from sightglass.problem import MEDIA_TYPE
from tests.support.service import StubModel, eventually, metric, serving, words

MARKER = "Marker4711"
SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "POST",
    "path": PATH,
    "query_string": b"",
    "headers": [(b"content-type", b"text/plain")],
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(runs_dir=tmp_path_factory.mktemp("runs")) as client:
        yield client


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[TestClient]:
    with serving(lambda _: StubModel(words("Zaphod")), runs_dir=tmp_path, max_request_size_bytes=3_000_000) as client:
        yield client


@pytest.mark.parametrize(("media_type", "example"), EXAMPLES.items())
def test_the_examples_are_true(client: TestClient, media_type: str, example: tuple[str, str]) -> None:
    answer = client.post(PATH, content=example[0], headers={"Content-Type": media_type})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    prolog = '<?xml version="1.0"?>' if media_type == "application/xml" else ""
    assert answer.text == example[1]
    assert client.post(PATH, content=prolog + example[0], headers={"Content-Type": media_type}).status_code == 200


def test_every_address_is_found_wherever_windows_and_chunks_end(client: TestClient) -> None:
    text = "".join(f"{'lorem ipsum ' * (n % 23)}user{n}@example.com " for n in range(300))
    data = text.encode()
    chunks = (data[start : start + 1009] for start in range(0, len(data), 1009))
    before = metric("pii_detected_total", entity_type="EMAIL_ADDRESS"), metric("model_predictions_total")
    texts = metric("model_inference_duration_seconds_count")
    answer = client.post(PATH, content=chunks, headers={"Content-Type": "text/plain"})
    assert answer.text == "".join(f"{'lorem ipsum ' * (n % 23)}[EMAIL_ADDRESS] " for n in range(300))
    after = metric("pii_detected_total", entity_type="EMAIL_ADDRESS"), metric("model_predictions_total")
    assert (after[0] - before[0], after[1] - before[1]) == (300, 1)
    assert metric("model_inference_duration_seconds_count") == texts


def test_confidence_and_language_are_obeyed(client: TestClient) -> None:
    headers = {"Content-Type": "text/plain"}
    text = "Call +1 212 555 0123"
    assert client.post(f"{PATH}?min_confidence=0.9", content=text, headers=headers).text == text
    assert client.post(f"{PATH}?language=en", content=text, headers=headers).text == "Call [PHONE_NUMBER]"
    for query, pointer in [("language=xx", "/language"), (f"min_confidence={MARKER}", "/min_confidence")]:
        answer = client.post(f"{PATH}?{query}", content=text, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
        assert MARKER not in answer.text


@pytest.mark.parametrize("coding", ["gzip", "deflate", "GZIP", "identity"])
def test_content_codings_are_undone(stub: TestClient, coding: str) -> None:
    data = b"Zaphod " * 1000
    packed = {"gzip": gzip.compress(data), "deflate": zlib.compress(data), "identity": data}[coding.lower()]
    answer = stub.post(PATH, content=packed, headers={"Content-Type": "text/plain", "Content-Encoding": coding})
    assert answer.text == "[WORD] " * 1000


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        ("application/xml", "document.xml"),
        ("text/xml", "document.xml"),
        ("application/xhtml+xml", "document.xml"),
        ("image/svg+xml", "document.xml"),
        ("text/plain", "document.txt"),
        ("text/csv", "document.csv"),
        ("text/tab-separated-values", "document.tsv"),
        ("application/x-ndjson", "document.ndjson"),
    ],
)
def test_a_browser_saves_an_answer_and_runs_nothing_of_it(stub: TestClient, media_type: str, name: str) -> None:
    body = "<a/>" if "xml" in media_type else "1\n"
    answer = stub.post(PATH, content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 200
    assert answer.headers.get_list("content-disposition") == [f'attachment; filename="{name}"']
    assert answer.headers.get_list("content-security-policy") == ["default-src 'none'; sandbox"]
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


def test_charsets_come_back_as_they_came(stub: TestClient) -> None:
    for charset in ("iso-8859-1", "utf-16", "utf-32", "windows-1252"):
        headers = {"Content-Type": f"text/csv; charset={charset}"}
        answer = stub.post(PATH, content="né,Zaphod\n".encode(charset), headers=headers)
        assert answer.headers["content-type"] == f"text/csv; charset={charset}"
        assert answer.content.decode(charset) == "né,[WORD]\n"
    for charset in ("shift_jis", "gb18030", "euc-kr", "euc-jp", "big5"):
        headers = {"Content-Type": f"text/plain; charset={charset.upper()}"}
        answer = stub.post(PATH, content="中Zaphod文".encode(charset), headers=headers)
        assert (answer.headers["content-type"], answer.text) == (f"text/plain; charset={charset}", "中[WORD]文")


def test_xml_comes_back_in_utf_8_and_says_so(stub: TestClient) -> None:
    for charset, text in [
        ("Shift_JIS", "日本"),
        ("GB2312", "中文"),
        ("EUC-KR", "한글"),
        ("Big5", "中文"),
        ("UTF-32", "né"),
    ]:
        source = f'<?xml version="1.0" encoding="{charset}"?><p>{text} Zaphod</p>'.encode(charset)
        answer = stub.post(PATH, content=source, headers={"Content-Type": "application/xml"})
        assert answer.headers["content-type"] == "application/xml; charset=utf-8"
        assert answer.content.decode() == f'<?xml version="1.0" encoding="utf-8"?>\n<p>{text} [WORD]</p>'
    source = b'<?xml version="1.0" encoding="ISO-2022-KR"?><p/>'
    answer = stub.post(PATH, content=source, headers={"Content-Type": "application/xml"})
    assert (answer.status_code, answer.json()["detail"]) == (415, "The encoding ISO-2022-KR is not supported")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"a", 415),
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": MARKER}, b"{}", 415),
        ({"Content-Type": f"text/plain; charset={MARKER}"}, b"a", 415),
        ({"Content-Type": "text/plain; charset=base64"}, b"a", 415),
        ({"Content-Type": "text/plain", "Content-Encoding": "br"}, b"a", 415),
        ({"Content-Type": "text/plain", "Content-Encoding": MARKER}, b"a", 415),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, b"not gzip", 422),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, gzip.compress(b"a" * 99, mtime=0)[:-5], 422),
        ({"Content-Type": "text/plain"}, MARKER.encode() + b"\xff", 422),
        ({"Content-Type": "application/xml"}, b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", 422),
        ({"Content-Type": "text/xml"}, f"<{MARKER}>".encode(), 422),
        ({"Content-Type": "application/x-ndjson"}, f'"ok"\n{MARKER}'.encode(), 422),
        ({"Content-Type": "text/plain"}, b"a" * 3_000_001, 413),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, gzip.compress(b"a" * 3_000_001, mtime=0), 413),
    ],
)
def test_what_is_refused_is_a_problem_and_not_echoed(
    stub: TestClient, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = stub.post(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert MARKER not in answer.text


def test_an_error_at_the_end_of_a_long_document_is_still_a_problem(stub: TestClient) -> None:
    lines = (b'"' + b"fine " * 2000 + b'"\n') * 200 + b"{"
    answer = stub.post(PATH, content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE)


def test_a_body_over_the_limit_is_refused_though_its_length_was_not_announced(stub: TestClient) -> None:
    chunks = (b"a" * 100_000 for _ in range(31))
    assert stub.post(PATH, content=chunks, headers={"Content-Type": "text/plain"}).status_code == 413


def test_a_result_on_disk_leaves_nothing_behind(stub: TestClient, tmp_path: Path) -> None:
    data = b"Zaphod lorem ipsum\n" * 100_000
    answer = stub.post(PATH, content=data, headers={"Content-Type": "text/plain"})
    assert answer.content == data.replace(b"Zaphod", b"[WORD]")
    assert list(tmp_path.iterdir()) == []


def test_no_room_is_said(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with serving(lambda _: StubModel(), runs_dir=tmp_path / "nowhere") as client:
        small = client.post(PATH, content=b"a", headers={"Content-Type": "text/plain"})
        large = client.post(PATH, content=b"a" * 2_000_000, headers={"Content-Type": "text/plain"})
    assert (small.status_code, large.status_code) == (200, 507)
    assert "no room for a document" in caplog.text


def test_a_failing_model_is_a_500_counted_and_says_nothing_of_the_text(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(text: str) -> list[Finding]:
        raise ValueError(text)

    errors = metric("model_errors_total")
    with serving(lambda _: StubModel(fail), runs_dir=tmp_path) as client:
        answers = [
            client.post(PATH, content=example[0].replace("anna", MARKER), headers={"Content-Type": kind})
            for kind, example in EXAMPLES.items()
        ]
    assert {answer.status_code for answer in answers} == {500}
    assert metric("model_errors_total") == errors + len(EXAMPLES)
    assert MARKER not in "".join(a.text for a in answers) + caplog.text + "".join(capfd.readouterr())


def test_documents_have_places_of_their_own(tmp_path: Path) -> None:
    started, go = threading.Event(), threading.Event()

    def block(text: str) -> list[Finding]:
        if "block" in text:
            started.set()
            assert go.wait(30)
        return []

    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"a" * 1000

    with serving(lambda _: StubModel(block), runs_dir=tmp_path, document_concurrency=1) as client:
        first: list[int] = []

        def send() -> None:
            first.append(client.post(PATH, content=b"block", headers={"Content-Type": "text/plain"}).status_code)

        thread = threading.Thread(target=send)
        thread.start()
        assert started.wait(30)
        rejected = metric("model_rejections_total")
        busy = client.post(PATH, content=body(), headers={"Content-Type": "text/plain"})
        assert (sent, metric("model_rejections_total")) == (0, rejected + 1)
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        go.set()
        thread.join(30)
        assert first == [200]
        assert client.post("/api/v1/predict", json={"text": "a"}).status_code == 200


async def test_a_client_that_leaves_stops_the_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen = 0
    started = threading.Event()

    def find(_: str) -> list[Finding]:
        nonlocal seen
        seen += 1
        started.set()
        time.sleep(0.01)
        return []

    app = create_app(Settings(runs_dir=tmp_path, document_concurrency=1), lambda _: StubModel(find))
    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def leave_while_sending() -> Any:
        return messages.pop(0)

    async def leave_while_waiting() -> Any:
        if messages:
            return messages.pop(0)
        await asyncio.to_thread(started.wait, 30)
        return {"type": "http.disconnect"}

    done, errors = metric("model_predictions_total"), metric("model_errors_total")
    async with app.router.lifespan_context(app):
        await asyncio.to_thread(eventually, lambda: app.state.inference.check() is None)
        messages = [{"type": "http.request", "body": b"a " * 30_000, "more_body": True}, {"type": "http.disconnect"}]
        await asyncio.wait_for(app(SCOPE.copy(), leave_while_sending, send), 30)
        assert (seen, app.state.inference.documents.taken_by_all) == (0, 0)
        messages = [{"type": "http.request", "body": b"a " * 300_000}]
        await asyncio.wait_for(app(SCOPE.copy(), leave_while_waiting, send), 30)
        assert 0 < seen < 600_000 / 2048
        assert app.state.inference.documents.taken_by_all == 0
        assert metric("model_predictions_total") == done
        with app.state.inference.work(app.state.inference.texts, "") as work:
            await work.step(lambda: None)  # its turn comes after the window that was under way
    assert statuses == [499, 499]
    assert metric("model_errors_total") == errors
    assert "failed" not in caplog.text


async def test_the_last_bytes_are_the_last_message(tmp_path: Path) -> None:
    app = create_app(Settings(runs_dir=tmp_path), lambda _: StubModel())
    sent: list[dict[str, Any]] = []

    messages = [{"type": "http.request", "body": b"a" * 300_000}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async with app.router.lifespan_context(app):
        await asyncio.to_thread(eventually, lambda: app.state.inference.check() is None)
        await app(SCOPE.copy(), receive, send)
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    assert [(len(body["body"]), body.get("more_body", False)) for body in bodies] == [(262144, True), (37856, False)]


def test_a_packed_bomb_is_unpacked_in_bounded_parts() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    decompressor = Decompressor("gzip", 1_000_000)
    parts: list[int] = []
    with pytest.raises(ProblemError) as refused:
        parts.extend(len(part) for part in decompressor.feed(bomb))
    assert refused.value.status_code == 413
    assert max(parts) <= 65536
    assert 900_000 < sum(parts) <= 1_000_000


def test_packed_bodies_in_any_parts_and_members() -> None:
    packed = gzip.compress(b"first ") + gzip.compress(b"second")
    for size in range(1, len(packed) + 1):
        decompressor = Decompressor("gzip", 100)
        parts = [
            part for start in range(0, len(packed), size) for part in decompressor.feed(packed[start : start + size])
        ]
        decompressor.finish()
        assert b"".join(parts) == b"first second"
    decompressor = Decompressor("gzip", 100)
    list(decompressor.feed(packed[:-1]))
    with pytest.raises(DocumentError):
        decompressor.finish()


def test_the_description_has_every_format_both_ways(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"][PATH]["post"]
    assert set(operation["requestBody"]["content"]) == set(operation["responses"]["200"]["content"]) == set(EXAMPLES)
    assert set(operation["responses"]) == {
        "200",
        "400",
        "401",
        "413",
        "414",
        "415",
        "422",
        "429",
        "431",
        "500",
        "503",
        "507",
    }
    assert json.dumps(operation).count("$ref") == 11


@pytest.mark.parametrize(
    ("query", "expected"), [("", "Ada"), ("?min_confidence=0.2", "[WORD]"), ("?min_confidence=0.35", "[WORD]")]
)
def test_the_least_confidence_is_a_setting_where_a_request_does_not_say(query: str, expected: str) -> None:
    with serving(lambda _: StubModel(words("Ada", 0.5)), min_confidence=0.9) as client:
        answer = client.post(f"/api/v1/process{query}", content="Ada", headers={"content-type": "text/plain"})
        assert answer.text == expected
