"""`make find`: one request's story from Docker's files, in order, whole, and harmless to the terminal that shows it."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import find
from scripts.story.docker_files import Container, DockerFiles, search
from scripts.story.entries import Entry, Requests
from scripts.story.rendering import printable, story
from tests.stack import ROOT

REQUEST, TRACE, SPAN, JOB = "mine-1", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "a" * 32
LIMIT = 16 * 1024  # bytes of a line that Docker keeps together


def at(milliseconds: int) -> str:
    return f"2026-11-26T20:{milliseconds // 60_000:02}:{milliseconds // 1000 % 60:02}.{milliseconds % 1000:03}Z"


def line(milliseconds: int, logger: str, message: str, **fields: Any) -> dict[str, Any]:
    return {"timestamp": at(milliseconds), "level": "INFO", "logger": logger, "message": message} | fields


def entry(text: str, time: str = at(0), stream: str = "stdout") -> str:
    """Lines as Docker keeps them: pieces of 16 KiB."""
    raw = text.encode(errors="replace") + b"\n"
    pieces = [raw[start : start + LIMIT].decode("utf-8", "surrogateescape") for start in range(0, len(raw), LIMIT)]
    return "".join(
        json.dumps({"log": piece, "stream": stream, "attrs": {"x": "y"}, "time": time}, separators=(",", ":")) + "\n"
        for piece in pieces
    )


class Logs:
    """A project's containers and what they have written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.containers: list[Container] = []

    def write(self, service: str, *lines: dict[str, Any] | str, suffix: str = "") -> Path:
        path = self.directory / service / f"{service}-json.log"
        path.parent.mkdir(exist_ok=True)
        texts = [one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in lines]
        times = [at(0) if isinstance(one, str) else one["timestamp"] for one in lines]
        data = "".join(entry(text, time) for text, time in zip(texts, times, strict=True)).encode()
        target = Path(f"{path}{suffix}")
        target.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
        if service not in [one.service for one in self.containers]:
            self.containers.append(Container(f"id-of-{service}", service, path))
        return target

    def source(self) -> DockerFiles:
        return DockerFiles(self.containers)

    def tell(self, wanted: str) -> list[Entry]:
        return find.tell(wanted, [self.source()])


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


@pytest.fixture
def posted(logs: Logs) -> Logs:
    """A POST that made a job, among other requests."""
    ids = {"request_id": REQUEST, "trace_id": TRACE}
    other = {"request_id": "other", "trace_id": "b" * 32}
    logs.write(
        "nginx",
        "nginx: something else",
        line(1000, "nginx.access", "GET / 200", duration=0.2, status=200, **other),
        line(2250, "nginx.access", "POST /api/v1/jobs 202", duration=0.25, status=202, method="POST", path="/j", **ids),
        line(
            9000,
            "nginx.access",
            "GET /api/v1/jobs/x 200",
            duration=0.1,
            status=200,
            path=f"/api/v1/jobs/{JOB}",
            **other,
        ),
    )
    logs.write(
        "api",
        line(2100, "sample", "a line of the app", number=3, **ids),
        line(2240, "api.access", "POST /api/v1/jobs 202", duration=0.2, status=202, span_id=SPAN, **ids),
        line(2241, "api.access", "GET / 200", duration=0.2, status=200, **other),
    )
    logs.write("jobs", line(5000, "api.privacy.jobs.runner", "job succeeded", job_id=JOB, **ids))
    return logs


WHOLE = ["POST /api/v1/jobs 202", "POST /api/v1/jobs 202", "a line of the app", "job succeeded"]


@pytest.mark.parametrize("wanted", [REQUEST, TRACE, JOB, SPAN], ids=["request", "trace", "job", "span"])
def test_any_id_tells_the_whole_story_in_order(posted: Logs, wanted: str) -> None:
    entries = posted.tell(wanted)
    assert [one.fields["message"] for one in entries] == WHOLE
    assert [one.service for one in entries] == ["nginx", "api", "api", "jobs"]
    assert [round(one.start - entries[0].start, 3) for one in entries] == [0, 0.04, 0.1, 3.0]


@pytest.mark.parametrize("wanted", ["nobody", "mine", "mine-", "ine-1", "mine-10", TRACE[:-1], "succeeded", "POST"])
def test_what_is_no_id_of_a_line_finds_nothing(posted: Logs, wanted: str) -> None:
    assert posted.tell(wanted) == []


def test_rotated_files_are_read_too(logs: Logs) -> None:
    for number, suffix in enumerate([".3.gz", ".2", ".1", ""]):
        logs.write("api", line(number, "app", f"line {number}", request_id=REQUEST), suffix=suffix)
    assert [one.fields["message"] for one in logs.tell(REQUEST)] == ["line 0", "line 1", "line 2", "line 3"]


def test_a_file_that_is_rotated_meanwhile_is_read_once(logs: Logs) -> None:
    path = logs.write("nginx", line(1, "nginx.access", "one", status=500, duration=1, request_id=REQUEST))
    os.link(path, f"{path}.1")  # as between two steps of a rotation
    assert listed(logs, Requests("5xx")) == [REQUEST]


@pytest.mark.parametrize("where", ["head", "tail"])
@pytest.mark.parametrize("size", [100, LIMIT, 3 * LIMIT, 9_000_000])
def test_lines_that_docker_has_split_are_whole(logs: Logs, size: int, where: str) -> None:
    long = (
        {"request_id": REQUEST, "text": "x" * size} if where == "head" else {"text": "x" * size, "request_id": REQUEST}
    )
    logs.write(
        "api", line(0, "app", "before"), line(1, "app", "long", **long), line(2, "app", "after", request_id=REQUEST)
    )
    first, second = logs.tell(REQUEST)
    assert len(first.fields["text"]) == size
    assert second.fields["message"] == "after"


def test_two_streams_may_be_mixed(logs: Logs) -> None:
    text = json.dumps(line(1, "app", "long", text="x" * LIMIT, request_id=REQUEST))
    first, second = entry(text).splitlines(keepends=True)
    path = logs.write("api", "")
    path.write_text(entry("before") + first + entry("on stderr", stream="stderr") + second + entry("after"))
    (found,) = logs.tell(REQUEST)
    assert len(found.fields["text"]) == LIMIT


@pytest.mark.parametrize(
    "torn",
    [b"", b"\x00" * 100, b'{"log":"', b"[]\n", b'{"log":1}\n', b'{"log":"mine-1', b"\xff\xfe mine-1\n", b"null\n"],
)
def test_a_torn_file_is_read_as_far_as_it_goes(logs: Logs, torn: bytes) -> None:
    path = logs.write("api", line(1, "app", "one", request_id=REQUEST))
    whole = path.read_bytes()
    path.write_bytes(torn + (b"\n" if torn else b"") + whole + torn)
    assert [one.fields["message"] for one in logs.tell(REQUEST) if "logger" in one.fields] == ["one"]


@given(st.lists(st.text(max_size=50), max_size=20), st.integers(0, 20))
def test_a_line_is_found_wherever_it_stands(others: list[str], place: int) -> None:
    mine = json.dumps(line(1, "app", "mine", request_id=REQUEST))
    texts = [text.replace("\n", " ") for text in others if REQUEST not in text]
    texts.insert(min(place, len(texts)), mine)
    file = io.BytesIO("".join(entry(text) for text in texts).encode())
    assert [text.rstrip("\n") for text, _ in search(file, [REQUEST.encode()])] == [mine]


def test_spans_that_a_collector_writes_are_part_of_it(posted: Logs) -> None:
    span = {
        "traceId": TRACE, "spanId": SPAN, "parentSpanId": "", "name": "POST /api/v1/jobs",
        "startTimeUnixNano": "1795723202045000000", "endTimeUnixNano": "1795723202240000000",
        "attributes": [{"key": "http.route", "value": {"stringValue": "/api/v1/jobs"}}],
    }  # fmt: skip
    alien = span | {"traceId": "c" * 32}
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    posted.write(
        "collector", json.dumps({"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": [span, alien]}]}]})
    )
    for wanted in (REQUEST, TRACE, JOB):
        spans = [one for one in posted.tell(wanted) if one.span]
        assert [(one.service, one.fields["name"], round(one.duration or 0, 3)) for one in spans] == [
            ("shop", "POST /api/v1/jobs", 0.195)
        ]


@pytest.fixture
def many(logs: Logs) -> Logs:
    logs.write(
        "nginx",
        *(
            line(
                number * 1000, "nginx.access", "m", method="GET", path=f"/{number}", duration=number % 7 / 10,
                status=[200, 404, 500, 503][number % 4], request_id=f"r-{number}",
            )
            for number in range(40)
        ),
        line(1, "else", "m", status=500, request_id="no request", duration=99),
    )  # fmt: skip
    logs.write("api", line(1, "api.access", "m", status=500, duration=50.0, request_id="of the api"))
    return logs


def listed(logs: Logs, wanted: Requests) -> list[str]:
    return [str(one.fields["request_id"]) for one in logs.source().requests(wanted)]


@pytest.mark.parametrize(
    ("status", "kept"),
    [("5xx", {2, 3}), ("500", {2}), ("4xx", {1}), ("200", {0}), ("302", set()), (None, {0, 1, 2, 3})],
)
def test_requests_by_status(many: Logs, status: str | None, kept: set[int]) -> None:
    assert sorted(listed(many, Requests(status))) == sorted(f"r-{n}" for n in range(40) if n % 4 in kept)


def test_requests_by_time(many: Logs) -> None:
    since = Entry("", {}, 0).start + find_seconds(at(35_000))
    assert sorted(listed(many, Requests(since=since))) == [f"r-{number}" for number in range(35, 40)]


def find_seconds(time: str) -> float:
    from scripts.story.entries import seconds

    return seconds(time)


def test_the_slowest_requests(many: Logs) -> None:
    slowest = [one.duration for one in many.source().requests(Requests(slowest=6))]
    assert sorted(one or 0 for one in slowest) == [0.5] + [0.6] * 5


def test_without_an_edge_they_are_the_apis(logs: Logs) -> None:
    logs.write("api", line(1, "api.access", "m", status=500, duration=50.0, request_id="of the api"))
    assert listed(logs, Requests("5xx")) == ["of the api"]


def run(arguments: Sequence[str], logs: Logs, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = find.main(arguments, lambda: [logs.source()])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_a_pipe_gets_plain_lines(posted: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run([f"ID={REQUEST}", "STATUS=", "SINCE=", "SLOWEST="], posted, capsys)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:4] == [
        f"request {REQUEST}", f"trace   {TRACE}", f"job     {JOB}", "from    2026-11-26T20:00:02.000Z, 3.00 s",
    ]  # fmt: skip
    assert re.fullmatch(
        r" +\+0\.000 s +250\.0 ms  nginx  INFO nginx\.access POST /api/v1/jobs 202  status=202 .*", lines[5]
    )
    assert re.fullmatch(r" +\+3\.000 s +  jobs   INFO api\.privacy\.jobs\.runner job succeeded", lines[8])
    assert out.isascii()


def test_a_terminal_gets_bars_of_its_width(posted: Logs) -> None:
    lines = list(story(posted.tell(REQUEST), 100))[4:]
    bars = [text[14:44] for text in lines[1:]]
    assert bars[0].rstrip() == "██"
    assert bars[3] == " " * 29 + "·"
    assert all(len(text) <= 100 for text in lines)


def test_an_exception_and_a_blocked_stack_are_shown(logs: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [f"/app/{number}.py:1 in f" for number in range(20)]
    cause = {"type": "KeyError", "stack": ["/app/inner.py:3 in g"]}
    logs.write(
        "api",
        line(
            1,
            "api.error",
            "exception in GET /",
            request_id=REQUEST,
            exception={"type": "ValueError", "stack": frames, "cause": cause},
        ),
        line(
            2,
            "sightglass.asgi.loop_watch",
            "the event loop was blocked",
            request_id=REQUEST,
            duration=1,
            stack=frames[:2],
        ),
    )
    _, out, _ = run([f"ID={REQUEST}"], logs, capsys)
    for part in ("ValueError\n", "… 12 frames", "/app/19.py:1 in f", "caused by KeyError\n", "/app/inner.py:3 in g"):
        assert part in out
    assert "/app/11.py" not in out


EVIL = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\r\nforged line",
    "\u202e",
    "\u2028",
    "\x00",
    "\ud800",
    "\x7f",
    "\u200b",
]


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
@pytest.mark.parametrize(
    "place", ["message", "logger", "level", "number", "path", "service", "frame", "type", "key", "text"]
)
def test_nothing_that_a_terminal_obeys_is_printed(
    logs: Logs, capsys: pytest.CaptureFixture[str], evil: str, place: str
) -> None:
    fields: dict[str, Any] = {"request_id": REQUEST, "status": 500, "duration": 1, "method": "GET"}
    if place in ("message", "logger", "level", "number", "path"):
        fields[place] = evil
    elif place == "frame":
        fields["stack"] = [evil]
    elif place == "type":
        fields["exception"] = {"type": evil, "message": evil, "stack": [evil]}
    elif place == "key":
        fields[evil] = {evil: evil}
    written = line(1, "nginx.access", "m") | fields
    logs.write("api", f"{evil} {REQUEST} {evil}" if place == "text" else written)
    if place == "service":
        logs.containers[0] = Container("id", evil, logs.containers[0].log)
    for arguments in ([f"ID={REQUEST}"], ["STATUS=5xx"]):
        _, out, err = run(arguments, logs, capsys)
        for text in (out, err):
            assert [c for c in text.replace("\n", "") if not c.isprintable()] == []
        assert "forged line" not in [text.strip() for text in out.splitlines()]
    for text in story(logs.tell(REQUEST), 200):
        assert [c for c in re.sub(r"^\x1b\[\d+m|\x1b\[0m$", "", text) if not c.isprintable()] == []


@given(st.text())
def test_printable_is_printable(text: str) -> None:
    assert printable(text).isprintable()
    printable(text).encode()  # half a surrogate pair does not stop it


WRONG = {
    ("ID=a b",): "ID=a b: not allowed; expected 1 to 128 letters, digits, '.', '_' or '-'\n",
    ("ID=a/b",): "ID=a/b: not allowed; ",
    (f"ID={'x' * 129}",): f"ID={'x' * 129}: not allowed; ",
    ("ID=$(reboot)",): "ID=$(reboot): not allowed; ",
    ("ID=\x1b[31m",): "ID=?[31m: not allowed; ",
    ("ID=-x y",): "ID=-x y: not allowed; ",
    ("STATUS=6xx",): "STATUS=6xx: not allowed; expected a code such as 503, or a class such as 5xx\n",
    ("STATUS=abc",): "STATUS=abc: not allowed; ",
    ("STATUS=5",): "STATUS=5: not allowed; ",
    ("STATUS=5xx", "SINCE=10"): "SINCE=10: not allowed; expected a number and s, m, h or d, such as 10m\n",
    ("SINCE=0m",): "SINCE=0m: not allowed; ",
    ("SINCE=-1h",): "SINCE=-1h: not allowed; ",
    ("SLOWEST=0",): "SLOWEST=0: not allowed; expected a whole number from 1 to 999\n",
    ("SLOWEST=ten",): "SLOWEST=ten: not allowed; ",
    ("ID=mine-1", "STATUS=5xx"): "ID stands alone",
    ("WHAT=1",): "'WHAT=1' is none of",
    ("mine-1",): "'mine-1' is none of",
    (): "make find needs ID=",
    ("ID=", "STATUS="): "make find needs ID=",
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.items(), ids=map(ascii, WRONG))
def test_a_wrong_question_gets_one_line(
    logs: Logs, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run(arguments, logs, capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(said)
    assert err.rstrip("\n").isprintable()


def test_what_is_not_there_is_said(logs: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    logs.write("api", line(1, "app", "x", request_id="other"))
    assert run([f"ID={REQUEST}"], logs, capsys) == (1, "", f"nothing is kept of ID={REQUEST}\n")
    assert run(["STATUS=5xx"], logs, capsys)[0] == 1


ANSWERED = [
    line(1000, "nginx.access", "GET / 500", status=500, duration=1, request_id="mine-1"),
    line(2000, "nginx.access", "GET / 200", status=200, duration=1, request_id="other"),
]
DOCKER = f"""#!/bin/sh
[ "$1 $2" = "logs --timestamps" ] || exit 9
cat <<'END'
{"".join(f"{one['timestamp']} {json.dumps(one, separators=(',', ':'))}" + chr(10) for one in ANSWERED)}END
"""


@pytest.mark.parametrize("arguments", [["ID=mine-1"], ["STATUS=5xx"]])
def test_who_may_not_read_the_files_gets_what_docker_tells_and_is_told_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "a-directory").mkdir()
    unreadable = [Container("id", "nginx", tmp_path / "none"), Container("id", "api", tmp_path / "a-directory")]
    code = find.main(arguments, lambda: [DockerFiles(unreadable[:1])])
    output = capsys.readouterr()
    assert code == 0
    assert "mine-1" in output.out
    assert "other" not in output.out
    assert output.err == (
        "Docker's files of nginx cannot be read by this user (root may): this is what `docker compose logs` has\n"
    )
    find.main(arguments, lambda: [DockerFiles(unreadable)])
    assert "Docker's files of api, nginx cannot be read" in capsys.readouterr().err


def test_without_docker_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "find.py", "ID=x"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "docker compose config --format …: Cannot connect to the Docker daemon\n"
