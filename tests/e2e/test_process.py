"""Documents through the edge: valid afterwards, streamed with bounded memory, refused over the limit."""

import csv
import http.client
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.stack import ROOT, Stack
from tests.support import documents

PATH = "/api/v1/process"
LIMIT = 300 * 1024 * 1024
LINE = b"The word is Zaphod." + b" The rest of this line is of no interest to anyone." * 17 + b"\n"
"""Long beside its one finding, which takes Python its time; those of the other documents are short."""
RISE = 16 * 1024  # KiB of memory that a document of any size may take
LONG = 24 * 1024 * 1024
"""Bytes of a document that would show if it, or its result, were in memory."""
ROWS = 40
pytestmark = pytest.mark.timeout(1200)  # the first to use a stack also waits for its start


def redacted(stack: Stack, document: str, media_type: str) -> str:
    with stack.client() as client:
        answer = client.post(PATH, content=document.encode(), headers={"Content-Type": media_type})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert "@example.com" not in answer.text
    return answer.text


def test_a_table_stays_the_table(stack: Stack) -> None:
    rows = [[str(n), f"Anna {n}", f"anna{n}@example.com", 'said "so,\nthere"'] for n in range(ROWS)]
    document = io.StringIO()
    csv.writer(document).writerows([["id", "name", "mail", "note"], *rows])
    answer = list(csv.reader(io.StringIO(redacted(stack, document.getvalue(), "text/csv"), newline="")))
    assert answer == [["id", "name", "mail", "note"], *([a, b, "[EMAIL_ADDRESS]", d] for a, b, _, d in rows)]


def test_a_tree_stays_the_tree(stack: Stack) -> None:
    people = "".join(f'<p id="{n}" mail="a{n}@example.com"><b>Anna</b> a{n}@example.com &amp;</p>' for n in range(ROWS))
    document = f'<people xmlns="http://www.example.com/people" xmlns:x="urn:x">{people}</people>'
    tree = ElementTree.fromstring(redacted(stack, document, "application/xml"))
    assert tree.tag == "{http://www.example.com/people}people"
    assert [p.attrib for p in tree] == [{"id": str(n), "mail": "[EMAIL_ADDRESS]"} for n in range(ROWS)]
    assert {(p[0].text, p[0].tail) for p in tree} == {("Anna", " [EMAIL_ADDRESS] &")}


def test_lines_of_json_stay_lines_of_json(stack: Stack) -> None:
    lines = [{"n": n, "mail": f"anna{n}@example.com", "deep": [{"x": [None, True]}]} for n in range(ROWS)]
    document = "".join(json.dumps(line) + "\n" for line in lines)
    answer = [json.loads(line) for line in redacted(stack, document, "application/x-ndjson").splitlines()]
    assert answer == [line | {"mail": "[EMAIL_ADDRESS]"} for line in lines]


def test_text_stays_text(stack: Stack) -> None:
    document = "".join(f"Line {n}: anna{n}@example.com\r\n" for n in range(ROWS))
    expected = "".join(f"Line {n}: [EMAIL_ADDRESS]\r\n" for n in range(ROWS))
    assert redacted(stack, document, "text/plain") == expected


def test_over_the_limit_is_a_413_of_the_edge_and_of_the_api(stack: Stack) -> None:
    connection = http.client.HTTPSConnection("localhost", int(stack.settings["HTTPS_PORT"]), context=stack.tls)
    connection.putrequest("POST", PATH)
    connection.putheader("Content-Type", "text/plain")
    connection.putheader("Content-Length", str(LIMIT + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert_too_large(answer.status, answer.headers["content-type"], json.load(answer))
    connection.close()
    # The API itself, reached past the edge.
    script = (
        "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000); "
        f"c.putrequest('POST', '{PATH}'); c.putheader('Content-Type', 'text/plain'); "
        f"c.putheader('Content-Length', '{LIMIT + 1}'); c.endheaders(); r = c.getresponse(); "
        "print(r.status, r.getheader('Content-Type')); print(r.read().decode())"
    )
    status, media_type, body = re.split(
        r"[ \n]", stack.compose("exec", "-T", "api", "python", "-c", script).stdout, maxsplit=2
    )
    assert_too_large(int(status), media_type, json.loads(body))


def assert_too_large(status: int, media_type: str, problem: dict[str, object]) -> None:
    assert (status, media_type) == (413, "application/problem+json")
    assert problem["status"] == 413
    assert problem["request_id"]


@pytest.fixture
def stubbed(service: Stack, tmp_path: Path) -> Iterator[Stack]:
    """The same service and container, its model replaced by one that looks for a word and costs nothing."""
    shutil.copy(ROOT / "tests" / "support" / "stub_service.py", tmp_path)
    tmp_path.chmod(0o755)
    service.set(APP="stub_service:app", APP_DIR=str(tmp_path), API_MEMORY="256m", WEB_CONCURRENCY="1")
    yield service
    service.set(APP="api.main:app", APP_DIR="", API_MEMORY="2g", WEB_CONCURRENCY="")


def test_a_document_of_300_mib_takes_no_more_memory_than_a_small_one(stubbed: Stack) -> None:
    """The container has 256 MiB, its pages of files included: neither the document nor the result would fit."""
    lines = LIMIT // len(LINE)
    with stubbed.client(timeout=240) as client:
        assert client.post(PATH, content=LINE * 1000, headers={"Content-Type": "text/plain"}).status_code == 200
        before = peak(stubbed)
        size, found, tail = 0, 0, b""
        chunk = LINE * 100
        document = (chunk for _ in range(lines // 100))
        headers = {"Content-Type": "text/plain", "Content-Length": str(len(chunk) * (lines // 100))}
        with client.stream("POST", PATH, content=document, headers=headers) as answer:
            assert answer.status_code == 200
            for part in answer.iter_bytes():
                size += len(part)
                found += (tail + part).count(b"[WORD]")
                tail = part[-5:]
                assert b"Zaphod" not in part
        sent = lines // 100 * 100
        assert (size, found) == (sent * len(LINE), sent)  # [WORD] is as long as Zaphod
        after = peak(stubbed)
        print(f"peak of the API's processes: {before / 1024:.1f} MiB before, {after / 1024:.1f} MiB after")
        assert after - before < RISE
        for media_type in documents.LINES:
            long = documents.document(media_type, LONG)
            answer = client.post(PATH, content=long, headers={"Content-Type": media_type})
            assert answer.content == long.replace(b"Zaphod", b"[WORD]"), media_type
            after = peak(stubbed)
            print(f"{media_type}: {after / 1024:.1f} MiB")
            assert after - before < RISE, media_type
    assert stubbed.inspect("api")[0]["RestartCount"] == 0


def peak(stack: Stack) -> int:
    """Return the most memory (VmHWM) that the API's processes ever had, summed, in KiB."""
    command = "grep -h VmHWM $(grep -l 'sightglass[.]server' /proc/[0-9]*/cmdline | sed s/cmdline/status/)"
    lines = stack.compose("exec", "-T", "api", "sh", "-c", command).stdout.splitlines()
    assert len(lines) >= 2  # the arbiter and its worker
    return sum(int(line.split()[1]) for line in lines)
