"""`make find` from VictoriaLogs and Jaeger: what they keep of a line or span is that line or span again."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.story import telemetry
from scripts.story.entries import Entry, Requests, entry_of
from scripts.story.telemetry import AskError, Door, Jaeger, VictoriaLogs, text_of

STORED = {
    "_time": "2026-11-26T21:34:58.407623201Z", "_stream": "{…}", "_stream_id": "0", "service.name": "api",
    "service.namespace": "sightglass", "container.id": "6f7f4fb8cbeb", "log.iostream": "stdout",
    "scope.name": "filelogreceiver", "scope.version": "0.165.1", "severity_number": "9", "severity_text": "INFO",
}  # fmt: skip


def stored(line: dict[str, Any]) -> dict[str, str]:
    """Return what VictoriaLogs keeps of a line: flat, text, sorted."""
    flat: dict[str, str] = {}

    def put(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                put(f"{name}.{key}" if name else key, inner)
        else:
            flat[name] = value if isinstance(value, str) else json.dumps(value)

    put("", {name: value for name, value in line.items() if name != "message"})
    flat["_msg"] = line.get("message", json.dumps(line))
    return dict(sorted((flat | STORED).items()))


@pytest.mark.parametrize(
    "line",
    [
        {"message": "POST /x 200", "level": "INFO", "logger": "api.access", "status": 200, "duration": 0.048567},
        {
            "message": "failed",
            "level": "ERROR",
            "exception": {"type": "KeyError", "stack": ["a.py:1 in f", "b.py:2 in g"]},
        },
        {"message": "text searched", "findings": {"EMAIL_ADDRESS": 1, "URL": 2}, "request_id": "mine-1"},
        {"level": "WARNING", "logger": "x", "tls": False, "n": -3},
        {"logger": "x", "nested": {"a": {"b": 1}}, "null": None},
        {"message": "caused", "exception": {"type": "A", "cause": {"type": "B", "stack": []}}, "job_id": "a" * 32},
        {"message": "an id of digits", "request_id": "0123", "trace_id": "00000000000000000000000000000001"},
    ],
)
def test_a_line_is_itself_again(line: dict[str, Any]) -> None:
    assert json.loads(text_of(stored(line))) == line


@pytest.mark.parametrize("text", ["plain", "{broken", 'time=x level=error msg="y"'])
def test_what_was_no_json_is_none(text: str) -> None:
    kept = STORED | {"_msg": text} | ({"level": "error"} if "level=" in text else {})
    assert text_of(kept) == text


@pytest.mark.parametrize("line", [{"a": "1", "a.b": "2"}, {"a.b": "2", "a": "1"}, {"a.b.c": "x", "a.b": "y"}])
def test_names_that_are_in_each_others_way_lose_nothing(line: dict[str, str]) -> None:
    found = json.loads(text_of(STORED | {"_msg": "m"} | line))
    assert "m" in json.dumps(found)
    assert json.dumps(found).count('"') >= 4


class Files:
    """A source of one entry."""

    entry = Entry("nginx", {"message": "of Docker's files"}, 0.0)

    def about(self) -> Iterator[str]:
        yield from ()

    def find(self, ids: frozenset[str], *, spans: bool = False) -> Iterator[Entry]:
        yield self.entry

    def requests(self, wanted: Requests) -> Iterator[Entry]:
        yield self.entry


class Answering(Door):
    """A door that answers with what a test says, and notes what it was asked."""

    def __init__(self, answer: bytes | AskError) -> None:
        super().__init__("http://logs", "http://traces", "operator:x")
        object.__setattr__(self, "answer", answer)
        object.__setattr__(self, "asked", [])

    def ask(self, address: str, **given: str) -> bytes:
        self.asked.append((address, given))  # type: ignore[attr-defined]
        answer: bytes | AskError = self.answer  # type: ignore[attr-defined]
        if isinstance(answer, AskError):
            raise answer
        return answer


def test_an_id_is_looked_for_in_every_field_of_ids_and_in_plain_lines() -> None:
    row = stored({"message": "m", "request_id": 'x"y'})
    door = Answering(json.dumps(row).encode() + b"\n")
    (found,) = VictoriaLogs(door, Files()).find(frozenset(['x"y']))
    assert found == next(entry_of("api", json.dumps({"message": "m", "request_id": 'x"y'}), STORED["_time"]))
    ((address, given),) = door.asked  # type: ignore[attr-defined]
    assert address == "http://logs/select/logsql/query"
    assert given["query"] == (
        r'request_id:in("x\"y") or trace_id:in("x\"y") or span_id:in("x\"y") or job_id:in("x\"y") or "x\"y"'
    )


@pytest.mark.parametrize(
    ("wanted", "query"),
    [
        (Requests(), 'logger:="nginx.access" | sort by (_time desc) limit 1000'),
        (Requests("5xx"), 'logger:="nginx.access" status:~"^5[0-9][0-9]$" | sort by (_time desc) limit 1000'),
        (
            Requests(None, 12.5, 3),
            'logger:="nginx.access" _time:>=1970-01-01T00:00:12.500Z | sort by (duration desc) limit 3',
        ),
    ],
)
def test_requests_are_asked_for(wanted: Requests, query: str) -> None:
    door = Answering(json.dumps(stored({"message": "m", "status": 503})).encode())
    assert [one.fields["status"] for one in VictoriaLogs(door, Files()).requests(wanted)] == [503]
    assert door.asked[0][1]["query"] == query  # type: ignore[attr-defined]


def test_a_store_that_is_silent_is_said_and_dockers_files_are_asked() -> None:
    source = VictoriaLogs(Answering(AskError("http://logs: refused")), Files())
    assert list(source.find(frozenset("x"))) == [Files.entry]
    assert list(source.requests(Requests())) == [Files.entry]
    assert list(source.about()) == [
        "VictoriaLogs gave no answer (http://logs: refused): this is what Docker's files have"
    ]


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = {
    "traceID": TRACE, "spanID": "00f067aa0ba902b7", "operationName": "GET /x", "startTime": 1_700_000_000_000_000,
    "duration": 1500, "processID": "p1", "tags": [{"key": "http.route", "type": "string", "value": "/x"}],
    "references": [{"refType": "CHILD_OF", "traceID": TRACE, "spanID": "b7ad6b7169203331"}],
}  # fmt: skip


def test_a_traces_spans_are_entries() -> None:
    answer = {"data": [{"traceID": TRACE, "spans": [SPAN], "processes": {"p1": {"serviceName": "shop"}}}]}
    door = Answering(json.dumps(answer).encode())
    (found,) = Jaeger(door).find(frozenset([TRACE, "mine-1"]))
    assert door.asked == [(f"http://traces/api/traces/{TRACE}", {})]  # type: ignore[attr-defined]
    assert (found.service, found.start, found.duration, found.span) == ("shop", 1_700_000_000.0, 0.0015, True)
    assert found.fields["parent"] == "b7ad6b7169203331"
    assert found.ids == {"trace_id": TRACE, "span_id": "00f067aa0ba902b7"}


def test_a_trace_that_is_not_kept_is_none_and_a_silent_jaeger_is_said() -> None:
    source = Jaeger(Answering(AskError("http://traces: HTTP Error 404: Not Found")))
    assert list(source.find(frozenset([TRACE]))) == []
    assert list(source.about()) == []
    source = Jaeger(Answering(AskError("http://traces: refused")))
    assert list(source.find(frozenset([TRACE]))) == []
    assert list(source.about()) == ["Jaeger gave no answer (http://traces: refused): spans are missing"]


def test_where_the_stores_do_not_run_they_are_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "checked", lambda *_command: "api\nnginx\n")
    assert telemetry.stores(Files()) == []
