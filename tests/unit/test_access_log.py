"""The request's line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightglass.context import RequestContext
from sightglass.environment import PREFIX, read_settings
from sightglass.logs.access import AccessLog, client_hash
from sightglass.logs.lines import Fields, set_worker
from sightglass.logs.writer import LogWriter
from sightglass.record import Record
from sightglass.settings import Settings

REQUEST: dict[str, Any] = {
    "method": "GET",
    "route": "/items/{item_id}",
    "path": "/items/42",
    "status": 200,
    "outcome": "ok",
    "duration": 0.0123456789,
    "request_size": 0,
    "response_size": 345,
    "client": "192.0.2.7",
}
FIELDS = [
    *("timestamp", "level", "logger", "message", "method", "route", "path", "status", "outcome", "duration"),
    *("request_size", "response_size", "request_id", "trace_id", "span_id", "client", "worker"),
]


def settings_of(**variables: str) -> Settings:
    return read_settings(Settings, {PREFIX + name: value for name, value in variables.items()})


class Written:
    def __init__(self, path: Path, log_format: str = "json", log_level: str = "INFO") -> None:
        self._path = path
        self._writer = LogWriter(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        self._log = AccessLog(settings_of(LOG_FORMAT=log_format, LOG_LEVEL=log_level), self._writer)
        self.context = RequestContext("request-1")

    def text(self, **changes: Any) -> str:
        values = REQUEST | changes
        answered = values["status"] is not None
        record = Record(
            **values | {"status": values["status"] or 499}, answered=answered, context=self.context, ended=1.0
        )
        self._log.write(record)
        assert self._writer.flush(10)
        return self._path.read_text()

    def line(self, **changes: Any) -> Fields:
        text = self.text(**changes)
        assert text.count("\n") == 1
        line: Fields = json.loads(text)
        return line


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "log")


def test_line_has_every_field_in_order(written: Written) -> None:
    written.context.trace_id, written.context.span_id = "a" * 32, "b" * 16
    set_worker("1")
    try:
        line = written.line()
    finally:
        set_worker(None)
    assert list(line) == FIELDS
    del line["timestamp"], line["client"]
    assert line == {
        "level": "INFO",
        "logger": "api.access",
        "message": "GET /items/{item_id} 200",
        "method": "GET",
        "route": "/items/{item_id}",
        "path": "/items/42",
        "status": 200,
        "outcome": "ok",
        "duration": 0.012346,
        "request_size": 0,
        "response_size": 345,
        "request_id": "request-1",
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "worker": "1",
    }


def test_what_there_is_none_of_is_left_out(written: Written) -> None:
    line = written.line(status=None, outcome="disconnected", client=None)
    assert set(FIELDS) - set(line) == {"status", "trace_id", "span_id", "client", "worker"}
    assert line["message"] == "GET /items/{item_id} disconnected"


def test_client_is_the_same_hash_for_one_address_and_never_the_address(written: Written) -> None:
    text = written.text()
    assert "192.0.2.7" not in text
    assert json.loads(text)["client"] == client_hash("192.0.2.7")
    assert client_hash("192.0.2.7") != client_hash("192.0.2.8")
    assert len(client_hash("192.0.2.7")) == 16


@pytest.mark.parametrize("route", ["/health", "/ready", "/metrics"])
def test_probes_are_written_at_debug_only(tmp_path: Path, route: str) -> None:
    assert Written(tmp_path / "log").text(route=route, path=route) == ""
    assert Written(tmp_path / "log", log_level="DEBUG").line(route=route, path=route)["level"] == "DEBUG"


def test_level_above_info_silences_the_access_log(tmp_path: Path) -> None:
    assert Written(tmp_path / "log", log_level="WARNING").text() == ""


def test_text_is_one_short_line(tmp_path: Path) -> None:
    text = Written(tmp_path / "log", "text").text(client=None)
    assert text[24:] == (
        " INFO     api.access       GET    /items/42 200 12.3 ms"
        " request_size=0 response_size=345 request_id=request-1\n"
    )


def test_huge_path_is_cut(written: Written) -> None:
    assert len(written.line(path="/" + "a" * 100_000)["path"]) == 1024


@given(
    path=st.text(st.characters(categories=None)),
    method=st.text(st.characters(categories=None)),
    log_format=st.sampled_from(["json", "text"]),
)
def test_no_path_or_method_breaks_a_line(
    path: str, method: str, log_format: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = Written(tmp_path_factory.getbasetemp() / "log", log_format).text(path=path, method=method)
    assert text.endswith("\n")
    assert text[:-1].isprintable()
