"""What browsers and systems send is taken, as a body and as a part of a form; what nobody can read is refused."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.privacy.findings import Finding
from api.privacy.jobs.routes import PATH as JOBS
from api.privacy.jobs.runner import Runner
from api.privacy.jobs.store import JobStore
from api.privacy.process import PATH as PROCESS
from api.settings import Settings
from sightglass.problem import MEDIA_TYPE
from tests.support.service import StubModel, serving, words

DOCUMENTS = {
    "text/plain": ("a Zaphod", "a [WORD]"),
    "text/csv": ("name,mail\nA,Zaphod\n", "name,mail\nA,[WORD]\n"),
    "text/tab-separated-values": ('name\tmail\n"A\tZaphod\n', 'name\tmail\n"A\t[WORD]\n'),
    "application/x-ndjson": ('{"a": "Zaphod"}\n', '{"a": "[WORD]"}\n'),
    "application/xml": ("<a>Zaphod</a>", "<a>[WORD]</a>"),
    "text/xml": ("<a>Zaphod</a>", "<a>[WORD]</a>"),
}
# A type and a file's name, and what that is.
TAKEN = [
    *((kind, None, kind) for kind in DOCUMENTS),
    ("Text/CSV", None, "text/csv"),
    ("application/vnd.ms-excel", None, "text/csv"),
    ("application/vnd.ms-excel", "p.csv", "text/csv"),
    ("application/vnd.ms-excel", "P.CSV", "text/csv"),
    ("application/vnd.ms-excel", "p.txt", "text/plain"),
    ("application/msexcel", "p.csv", "text/csv"),
    ("text/x-csv", None, "text/csv"),
    ("application/csv", None, "text/csv"),
    ("application/x-csv", None, "text/csv"),
    ("text/comma-separated-values", None, "text/csv"),
    ("text/csv", "p.xml", "text/csv"),
    ("text/x-tab-separated-values", None, "text/tab-separated-values"),
    ("text/tsv", None, "text/tab-separated-values"),
    ("application/octet-stream", "p.csv", "text/csv"),
    ("application/octet-stream", "C:\\p.q\\P.Tsv", "text/tab-separated-values"),
    ("application/octet-stream", "p.jsonl", "application/x-ndjson"),
    ("application/octet-stream", "p.ndjson", "application/x-ndjson"),
    ("application/octet-stream", "p.log", "text/plain"),
    ("application/octet-stream", "p.svg", "application/xml"),
    ("binary/octet-stream", "a;b.csv", "text/csv"),
    ("application/force-download", "Straße.xml", "application/xml"),
    ("application/jsonl", None, "application/x-ndjson"),
    ("application/x-jsonlines", None, "application/x-ndjson"),
    ("application/ndjson", None, "application/x-ndjson"),
    ("text/x-ndjson", None, "application/x-ndjson"),
    ("application/atom+xml", None, "application/xml"),
    ("application/soap+xml; action=x", None, "application/xml"),
    ("image/svg+xml", None, "application/xml"),
    ("text/markdown", None, "text/plain"),
    ("text/csv; header=present", None, "text/csv"),
    ("text/csv;", None, "text/csv"),
    ('text/csv;charset="utf-8"', None, "text/csv"),
    ("text/csv;charset='utf-8'", None, "text/csv"),
]
REFUSED = [
    ("application/octet-stream", None),
    ("application/octet-stream", "p"),
    ("application/octet-stream", "p.exe"),
    ("application/octet-stream", "p.csv.gz"),
    ("application/vnd.ms-excel", "p.xls"),
    ("application/vnd.ms-excel", "p.xlsx"),
    ("application/json", "p.csv"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "p.csv"),
    ("application/pdf", "p.txt"),
    ("image/png", None),
    ("text/html", None),
    ("xml", None),
    ("text/plain; charset=\0", None),
    ("text/plain; charset=utf-8\0", None),
    ("text/plain; charset*=utf-8''%00", None),
    ("text/plain; charset*=%00''utf-8", None),
    ("text/plain; charset*=utf-8''utf-8", None),
    ('text/plain; charset="\\\0"', None),
    ("text/plain; charset=\xff", None),
    ("text/plain; charset=" + "u" * 3000, None),
    ("text/plain; charset=../../etc/passwd", None),
    ("text/plain; charset=encodings.utf_8", None),
    ("text/csv; delimiter=ab", None),
    ("text/csv; delimiter=\0", None),  # no database takes one as text
    ('text/csv; delimiter="\\""', None),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    runs = tmp_path_factory.mktemp("runs")
    with serving(lambda _: StubModel(words("Zaphod")), runs_dir=runs) as client:
        yield client


def disposition(kind: str, name: str | None) -> bytes:
    if name is None:
        return kind.encode()
    plain = name.encode("ascii", "replace").decode().replace("\\", "\\\\")
    extended = f"; filename*=UTF-8''{name.encode().hex('%', 1).join(('%', ''))}" if not name.isascii() else ""
    return f'{kind}; filename="{plain}"{extended}'.encode()


def part(kind: str | None, name: str | None, content: bytes) -> bytes:
    headers = b"Content-Disposition: " + disposition('form-data; name="f"', name) + b"\r\n"
    if kind is not None:
        headers += b"Content-Type: " + kind.encode("latin-1") + b"\r\n"
    return b"--x\r\n" + headers + b"\r\n" + content + b"\r\n--x--\r\n"


@pytest.mark.parametrize(("kind", "name", "media_type"), TAKEN)
def test_what_is_sent_is_taken(client: TestClient, kind: str, name: str | None, media_type: str) -> None:
    before, after = DOCUMENTS[media_type]
    headers: dict[str, str | bytes] = {"Content-Type": kind}
    if name:
        headers["Content-Disposition"] = disposition("attachment", name)
    answer = client.post(PROCESS, content=before, headers=headers)
    assert (answer.status_code, answer.text) == (200, after)
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    job = client.post(JOBS, content=before, headers=headers)
    assert (job.status_code, job.json()["media_type"]) == (202, media_type)
    body = part(kind, name, before.encode())
    form = client.post(JOBS, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (form.status_code, form.json()["jobs"][0]["media_type"]) == (202, media_type)


@pytest.mark.parametrize(("kind", "name"), REFUSED)
def test_what_cannot_be_read_is_refused(client: TestClient, kind: str, name: str | None) -> None:
    headers: dict[str, str | bytes] = {"Content-Type": kind.encode("latin-1")}
    if name:
        headers["Content-Disposition"] = disposition("attachment", name)
    form = part(kind, name, b"a")
    for answer in (
        client.post(PROCESS, content="a", headers=headers),
        client.post(JOBS, content="a", headers=headers),
        client.post(JOBS, content=form, headers={"Content-Type": "multipart/form-data; boundary=x"}),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (415, MEDIA_TYPE)
        assert "detail" in answer.json()


def test_a_part_without_a_type_is_text_or_what_its_name_says(client: TestClient) -> None:
    for name, media_type in [(None, "text/plain"), ("p.csv", "text/csv"), ("p.xml", "application/xml")]:
        body = part(None, name, b"a")
        answer = client.post(JOBS, content=body, headers={"Content-Type": 'multipart/form-data; boundary="x"'})
        assert answer.json()["jobs"][0]["media_type"] == media_type
    body = part(None, "p.exe", b"a")
    answer = client.post(JOBS, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 415


@pytest.mark.parametrize("boundary", ["", "\0", "\xff", "é", '"', '"\n"', "x" * 5000, "*=utf-8''x", '"\\'])
def test_a_forms_boundary_may_be_anything(client: TestClient, boundary: str) -> None:
    kind = f"multipart/form-data; boundary={boundary}".encode()
    answer = client.post(JOBS, content=b"--x--", headers={"Content-Type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (422, MEDIA_TYPE)


@pytest.mark.parametrize(
    ("query", "parameter", "cell"),
    [
        ("", "", "a,b"),
        ("?delimiter=semicolon", "", "a,b"),
        ("?delimiter=;", "", "a,b"),
        ("?delimiter=%3B", "", "a,b"),
        ("?delimiter=,", "", "a"),
        ("?delimiter=comma", "", "a"),
        ("", "; delimiter=comma", "a"),
        ("", '; delimiter=","; charset=utf-8', "a"),
        ("?delimiter=semicolon", '; Delimiter=","', "a"),
        ("?delimiter=tab", "", "a,b;c"),
    ],
)
def test_the_delimiter_is_in_the_query_or_the_media_type(tmp_path: Path, query: str, parameter: str, cell: str) -> None:
    seen: list[str] = []

    def find(text: str) -> list[Finding]:
        seen.append(text)
        return []

    table = "a,b;c\nd,e;f\n"
    with serving(lambda _: StubModel(find), runs_dir=tmp_path) as client:
        answer = client.post(PROCESS + query, content=table, headers={"Content-Type": "text/csv" + parameter})
        assert answer.text == table
        assert seen[-1].split("\n")[0] == cell
        job = client.post(JOBS + query, content=table, headers={"Content-Type": "text/csv" + parameter}).json()
        settings = Settings(runs_dir=tmp_path)
        store = JobStore(settings)
        Runner(settings, store, StubModel(find), Event()).run(job["id"])
    assert seen[-1].split("\n")[0] == cell


def test_a_delimiter_that_is_none_is_refused(client: TestClient) -> None:
    for value in ("%0A", "%22", "ab", "commas", "%0D", ""):
        answer = client.post(f"{PROCESS}?delimiter={value}", content="a", headers={"Content-Type": "text/csv"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/delimiter")
    described = client.get("/openapi.json").json()["paths"]
    for path in (PROCESS, JOBS):
        names = [parameter["name"] for parameter in described[path]["post"]["parameters"]]
        assert "delimiter" in names


header = st.text(st.characters(max_codepoint=255), max_size=60).map(lambda text: text.encode("latin-1"))
likely = st.sampled_from([b"text/plain; ", b"text/csv;charset", b"text/csv; charset*=", b'text/xml; charset="', b""])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(likely, header, st.sampled_from([b"attachment; filename", b'form-data; filename="', b""]), header)
def test_any_header_is_taken_or_refused(client: TestClient, kind: bytes, rest: bytes, name: bytes, more: bytes) -> None:
    headers = {"Content-Type": kind + rest, "Content-Disposition": name + more}
    answer = client.post(PROCESS, content="a", headers=headers)
    assert answer.status_code in {200, 415, 422}
    clean = (rest + more).replace(b"\r", b"").replace(b"\n", b"")
    body = (
        b"--x\r\nContent-Disposition: form-data; " + name + clean + b"\r\nContent-Type: " + kind + clean + b"\r\n\r\n"
    )
    body += b"a\r\n--x--\r\n"
    answer = client.post(JOBS, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code in {202, 415, 422}
