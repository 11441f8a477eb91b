"""The lines of the standard library's logging, from the record to the descriptor."""

import asyncio
import gc
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from sightglass.context import RequestContext, current_request
from sightglass.logs.errors import ErrorLog, Unwritten
from sightglass.logs.lines import (
    Fields,
    JsonFormatter,
    TextFormatter,
    clean,
    encode_json,
    set_worker,
    text_encoder,
    timestamp,
)
from sightglass.logs.setup import NoClientText, StdoutHandler, configure_logging, gunicorn_log_config
from sightglass.logs.stack import protect_loggers
from sightglass.logs.writer import LogWriter
from sightglass.record import Record
from sightglass.settings import Settings
from tests.stack import ROOT


def stdout_handler(formatter: logging.Formatter, writer: LogWriter) -> StdoutHandler:
    handler = StdoutHandler(writer)
    handler.setFormatter(formatter)
    return handler


class Log:
    """A logger whose lines go through a writer into a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        self.writer = LogWriter(self._descriptor)
        self.logger = logging.Logger("app")
        self.logger.addHandler(stdout_handler(JsonFormatter(), self.writer))

    def lines(self) -> list[Fields]:
        assert self.writer.flush(10)
        return [json.loads(line) for line in self._path.read_text().split("\n")[:-1]]

    def line(self) -> Fields:
        lines = self.lines()
        assert len(lines) == 1
        return lines[0]

    def text(self) -> str:
        assert self.writer.flush(10)
        return self._path.read_text()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


@pytest.fixture
def request_context() -> Iterator[RequestContext]:
    context = RequestContext("request-1")
    context.trace_id = "a" * 32
    context.span_id = "b" * 16
    token = current_request.set(context)
    yield context
    current_request.reset(token)


def test_line_has_its_fields_in_order(log: Log) -> None:
    log.logger.warning("hello %s", "world", extra={"number": 3})
    line = log.line()
    assert list(line) == ["timestamp", "level", "logger", "message", "number", "module", "function", "line"]
    assert isinstance(line.pop("line"), int)
    assert line | {"timestamp": ""} == {
        "timestamp": "",
        "level": "WARNING",
        "logger": "app",
        "message": "hello world",
        "number": 3,
        "module": "test_logging",
        "function": "test_line_has_its_fields_in_order",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])


def test_timestamp_is_utc_with_milliseconds() -> None:
    assert timestamp(1_795_212_000.1239) == "2026-11-20T22:00:00.123Z"
    assert timestamp(1_795_212_000.9) == "2026-11-20T22:00:00.900Z"
    assert timestamp(1_795_212_001.0) == "2026-11-20T22:00:01.000Z"
    assert timestamp(0.0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.usefixtures("request_context")
def test_line_of_a_request_has_its_ids(log: Log) -> None:
    log.logger.info("hello")
    line = log.line()
    assert (line["request_id"], line["trace_id"], line["span_id"]) == ("request-1", "a" * 32, "b" * 16)


def test_ids_are_those_of_the_moment_of_the_call(log: Log, request_context: RequestContext) -> None:
    request_context.trace_id = request_context.span_id = None
    log.logger.info("hello")
    request_context.trace_id = "c" * 32
    line = log.line()
    assert line["request_id"] == "request-1"
    assert "trace_id" not in line
    assert "span_id" not in line


def test_worker_is_named_once_known(log: Log) -> None:
    set_worker("3")
    try:
        log.logger.info("hello")
        assert log.line()["worker"] == "3"
    finally:
        set_worker(None)


def test_extra_cannot_replace_a_field(log: Log) -> None:
    log.logger.info("hello", extra={"level": "x", "timestamp": "x", "logger": "x", "color_message": "x"})
    line = log.line()
    assert (line["level"], line["logger"]) == ("INFO", "app")
    assert "color_message" not in line
    assert line["timestamp"] != "x"


@pytest.mark.parametrize("text", [False, True], ids=["json", "text"])
@pytest.mark.parametrize("name", ["request", "exception", "status", "path"])
def test_extra_may_have_any_name(log: Log, name: str, text: bool) -> None:
    if text:
        log.logger.handlers[:] = [stdout_handler(TextFormatter(colour=False), log.writer)]
    log.logger.info("hello", extra={name: "theirs"})
    assert "theirs" in log.text()


def test_dictionary_as_message_gives_fields(log: Log) -> None:
    log.logger.info({"step": "load", "count": 2})
    line = log.line()
    assert (line["step"], line["count"], line["message"]) == ("load", 2, "")


def test_arguments_are_taken_as_they_were(log: Log) -> None:
    state = ["before"]
    log.logger.info("state %s", state)
    state[0] = "after"
    assert log.line()["message"] == "state ['before']"


class _Changing:
    def __init__(self) -> None:
        self.text = "before"

    def __str__(self) -> str:
        return self.text


@pytest.mark.parametrize("text", [False, True], ids=["json", "text"])
def test_values_are_those_of_the_moment_of_the_call(log: Log, monkeypatch: pytest.MonkeyPatch, text: bool) -> None:
    if text:
        log.logger.handlers[:] = [stdout_handler(TextFormatter(colour=False), log.writer)]
    waiting: list[tuple[Callable[[Any], bytes], Any]] = []
    monkeypatch.setattr(log.writer, "put", lambda render, item: waiting.append((render, item)))
    items, nested, changing = ["before"], {"in": ["before"]}, _Changing()
    log.logger.info("sold", extra={"items": items, "nested": nested, "object": changing})
    log.logger.info({"message": "sold", "items": items, "nested": nested, "object": changing})
    items[0] = nested["in"][0] = changing.text = "after"
    for render, item in waiting:
        line = render(item)
        assert line.count(b"before") == 3
        assert b"after" not in line


def test_structures_stay_structures(log: Log) -> None:
    log.logger.info("sold", extra={"items": [1, {"a": None}], "at": date(2026, 11, 20), "number": 2**70})
    line = log.line()
    assert (line["items"], line["at"], line["number"]) == ([1, {"a": None}], "2026-11-20", 2**70)


def test_wrong_arguments_end_neither_the_app_nor_the_log(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.logger.info("%d items", "three")
    log.logger.info("after")
    assert log.line()["message"] == "after"
    assert "TypeError" in capsys.readouterr().err


def _fail(text: str) -> None:
    try:
        raise KeyError(text)
    except KeyError as error:
        raise ValueError(f"cannot use {text}") from error


def test_exception_is_one_field_with_type_stack_and_cause(log: Log) -> None:
    try:
        _fail("this")
    except ValueError:
        log.logger.exception("failed")
    assert log.text().count("\n") == 1
    exception = log.line()["exception"]
    assert exception["type"] == "ValueError"
    assert exception["message"] == "cannot use this"
    assert [frame.split(" in ")[1] for frame in exception["stack"]] == [
        "test_exception_is_one_field_with_type_stack_and_cause",
        "_fail",
    ]
    assert re.search(r"test_logging\.py:\d+ in _fail$", exception["stack"][-1])
    assert exception["cause"]["type"] == "KeyError"


@pytest.mark.usefixtures("request_context")
def test_exception_in_a_request_keeps_its_message_to_itself(log: Log) -> None:
    try:
        _fail("private text")
    except ValueError:
        log.logger.exception("failed")
    assert "private text" not in log.text()
    assert log.line()["exception"]["cause"]["type"] == "KeyError"


@pytest.mark.parametrize("name", ["uvicorn.error", "gunicorn.error", "asyncio", "huey", "huey.consumer"])
def test_server_reports_an_unhandled_exception_without_its_message(log: Log, name: str) -> None:
    log.logger.name = name
    try:
        _fail("private text")
    except ValueError:
        log.logger.exception("Exception in ASGI application\n")
    assert "private text" not in log.text()
    assert log.line()["exception"]["type"] == "ValueError"


async def _notify(text: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(text)


async def _reports(secret: str) -> None:
    """Have asyncio report what nobody waits for."""
    loop = asyncio.get_running_loop()
    tasks = {asyncio.create_task(_notify(secret), name=secret)}
    waiting = asyncio.create_task(asyncio.sleep(3600), name="pending")
    waiting.add_done_callback(partial(print, secret))
    loop.call_soon(_fail, secret)
    loop.call_soon(partial(_fail, secret))
    future = loop.create_future()
    future.set_exception(ValueError(secret))
    del future
    await asyncio.wait(tasks)
    tasks.clear()
    gc.collect()
    await asyncio.sleep(0)
    message = "Task was destroyed but it is pending!"  # as asyncio says it, once the loop is gone
    loop.call_exception_handler({"message": message, "task": waiting})
    waiting.remove_done_callback(partial(print, secret))


def test_reports_of_asyncio_show_no_values(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.log.logger.handlers", log.logger.handlers)
    monkeypatch.setattr("asyncio.log.logger.propagate", False)
    asyncio.run(_reports("private text"))
    assert "private" not in log.text()
    assert sorted(line["message"] for line in log.lines()) == [
        "Exception in callback _fail",
        "Exception in callback _fail",
        "Future exception was never retrieved",
        "Task exception was never retrieved: _notify",
        "Task was destroyed but it is pending!: sleep",
    ]


async def _slow(secret: str) -> str:
    """Have asyncio's debug mode tell of a task and of calls that took long."""
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 0.0
    loop.call_soon(_hold, secret)
    loop.call_later(0.001, _hold, secret)
    await asyncio.sleep(0.05)
    return secret


def _hold(secret: str) -> None:
    time.sleep(0.001)
    del secret


def test_asyncio_s_debug_mode_shows_no_values(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.log.logger.handlers", log.logger.handlers)
    monkeypatch.setattr("asyncio.log.logger.propagate", False)
    asyncio.run(_slow("private text"), debug=True)
    assert "private" not in log.text()
    told = [re.sub(r" took [\d.]+ seconds$", "", line["message"]) for line in log.lines()]
    assert {"Executing _slow", "Executing _hold"} <= set(told)


def test_exception_group_names_its_members(log: Log) -> None:
    log.logger.error("failed", exc_info=ExceptionGroup("two", [ValueError("a"), OSError("b")]))
    assert [one["type"] for one in log.line()["exception"]["exceptions"]] == ["ValueError", "OSError"]


def test_endless_recursion_gives_a_bounded_line(log: Log) -> None:
    def again() -> None:
        again()

    try:
        again()
    except RecursionError:
        log.logger.exception("failed")
    assert len(log.line()["exception"]["stack"]) == 50


class _Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")


_HARD = [
    "\ud800",
    "a\nb\r\x1b[31m\u2028\u0085\x00",
    2**80,
    float("nan"),
    float("inf"),
    {1: {2: {3}}},
    {"a": "\udfff", "b": 2**70},
    b"\xff",
    _Rude(),
    [_Rude(), "\ud800"],
    ("a", ("b",)),
    (circle := [2**70]),
]
circle.append(circle)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", _HARD, ids=lambda value: type(value).__name__)
def test_no_value_breaks_a_line(log: Log, value: object) -> None:
    log.logger.info("%s", "value\ud800\n", extra={"value": value, "other": "kept"})
    assert log.text().count("\n") == 1
    line = log.line()
    assert line["other"] == "kept"
    assert line["message"].startswith("value?") or line["message"].startswith("value\ufffd")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(categories=None)) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(categories=None), min_size=1), json_values, max_size=4))
def test_json_is_always_one_object_on_one_line(fields: dict[str, object]) -> None:
    line = encode_json(fields)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert isinstance(json.loads(line.decode()), dict)


@given(st.text(st.characters(categories=None)), st.text(st.characters(categories=None)))
def test_text_is_always_one_printable_line(message: str, value: str) -> None:
    head = {"timestamp": "t", "level": "INFO", "logger": "app"}
    line = text_encoder(colour=False)(head | {"message": message, "value": value}).decode()
    assert line.endswith("\n")
    assert line[:-1].isprintable()


@given(st.text(st.characters(categories=None)), st.integers(8, 100))
def test_clean_is_short_printable_ascii(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert cleaned.isascii()
    assert cleaned == "" or cleaned.isprintable()
    assert len(cleaned) <= limit


def test_clean_leaves_an_ordinary_path_as_it_is() -> None:
    assert clean("/a/b-c_d~e;f=g/%41", 100) == "/a/b-c_d~e;f=g/%41"
    assert clean("/café\n", 100) == "/caf%C3%A9%0A"


def test_text_line_is_aligned_and_coloured_only_on_a_terminal() -> None:
    record = logging.LogRecord("app", logging.INFO, "", 0, "hello", None, None)
    record.created = 1_795_212_000.123
    record.number = 3
    assert (
        TextFormatter(colour=False).format(record)
        == "2026-11-20T22:00:00.123Z INFO     app              hello number=3"
    )
    assert "\x1b[32mINFO" in TextFormatter(colour=True).format(record)


def test_text_shows_an_exception_below_the_line(log: Log) -> None:
    handler = stdout_handler(TextFormatter(colour=False), log.writer)
    log.logger.handlers[:] = [handler]
    try:
        _fail("this")
    except ValueError:
        log.logger.exception("failed")
    lines = log.text().splitlines()
    assert "app              failed module=test_logging " in lines[0]
    assert lines[1] == "    ValueError: cannot use this"
    assert lines[-1].startswith("      ")


def _dropped() -> float:
    return REGISTRY.get_sample_value("sightglass_log_lines_dropped_total") or 0.0


def test_blocked_output_blocks_nobody_and_the_loss_is_counted_and_said() -> None:
    reader, descriptor = os.pipe()
    writer = LogWriter(descriptor, capacity=100)
    logger = logging.Logger("app")
    logger.addHandler(stdout_handler(JsonFormatter(), writer))
    before = _dropped()
    sent = 5_000
    for number in range(sent):  # would never end if the full pipe blocked
        logger.info("x" * 1000, extra={"number": number})
    dropped = int(_dropped() - before)
    assert dropped > 0
    assert not writer.flush(0.01)

    received: list[Fields] = []

    def read() -> None:
        with os.fdopen(reader) as lines:
            received.extend(json.loads(line) for line in lines)

    thread = threading.Thread(target=read)
    thread.start()
    assert writer.flush(30)
    os.close(descriptor)
    thread.join(30)
    said = [line["dropped"] for line in received if "dropped" in line]
    numbers = [line["number"] for line in received if "number" in line]
    assert sum(said) == dropped
    assert len(numbers) == sent - dropped
    assert numbers == sorted(numbers)


def test_lines_to_a_closed_output_are_counted_as_dropped() -> None:
    reader, descriptor = os.pipe()
    os.close(reader)
    writer = LogWriter(descriptor)
    before = _dropped()
    for _ in range(3):
        writer.put(lambda item: item, b"line\n")
    assert writer.flush(10)
    assert _dropped() - before == 3


def test_line_that_cannot_be_rendered_is_dropped_alone(log: Log) -> None:
    def broken(_: object) -> bytes:
        raise RuntimeError

    before = _dropped()
    log.writer.put(broken, None)
    log.logger.info("after")
    # When it is said that one was dropped depends on how fast the writer was.
    assert {line.get("dropped", line["message"]) for line in log.lines()} == {"after", 1}
    assert _dropped() - before == 1


def test_non_blocking_output_is_waited_for() -> None:
    reader, descriptor = os.pipe()
    os.set_blocking(descriptor, False)
    writer = LogWriter(descriptor)
    for _ in range(500):
        writer.put(lambda item: item, b"x" * 999 + b"\n")
    received = b""
    while len(received) < 500_000:
        received += os.read(reader, 1 << 16)
    assert received == (b"x" * 999 + b"\n") * 500


# The child does nothing that a thread of this process could hold a lock for.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_processes_write_whole_lines_and_each_its_own() -> None:
    reader, descriptor = os.pipe()
    writer = LogWriter(descriptor)
    children, lines, width = 4, 50, 20_000  # far beyond what a pipe takes at once
    writer.put(lambda item: item, b"parent\n")
    pids = []
    for number in range(children):
        pid = os.fork()
        if pid == 0:
            writer.after_fork()
            for _ in range(lines):
                writer.put(lambda item: item, str(number).encode() * width + b"\n")
            os._exit(0 if writer.flush(60) else 1)
        pids.append(pid)
    received: list[str] = []

    def read() -> None:
        with os.fdopen(reader) as output:
            received.extend(output.read().splitlines())

    thread = threading.Thread(target=read)
    thread.start()
    assert writer.flush(60)
    os.close(descriptor)
    thread.join(60)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * children
    expected = ["parent"] + [str(number) * width for number in range(children) for _ in range(lines)]
    assert sorted(received) == sorted(expected)


CHILDREN = """
import logging, multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor

from sightglass.logs.setup import configure_logging
from sightglass.settings import Settings

configure_logging(Settings())


def say(text):
    logging.getLogger("app").warning(text)


def nested(text):
    child = multiprocessing.get_context("fork").Process(target=say, args=(text,))
    child.start()
    child.join()
    say(text)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    say("parent")
    child = context.Process(target=nested, args=("child",))
    child.start()
    child.join()
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(say, "pool").result()
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_of_multiprocessing_write_their_last_lines(tmp_path: Path, method: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(CHILDREN)
    command = [sys.executable, str(script), method]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    said = sorted(json.loads(line)["message"] for line in result.stdout.splitlines())
    assert said == ["child", "child", "parent", "pool"]


def test_lines_wait_for_a_thread_that_cannot_start(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        log.logger.warning("first")
        log.logger.warning("second")
    log.logger.warning("third")
    assert [line["message"] for line in log.lines()] == ["first", "second", "third"]


def test_configuration_leaves_the_servers_access_logs_off() -> None:
    config = gunicorn_log_config(Settings(log_level="WARNING"))
    assert config["root"] == {"handlers": ["stdout"], "level": "WARNING"}
    for name in ("gunicorn.access", "uvicorn.access"):
        assert config["loggers"][name]["handlers"] == []
        assert config["loggers"][name]["propagate"] is False


@pytest.mark.usefixtures("loggers")
def test_configure_logging_twice_writes_a_line_once() -> None:
    configure_logging(Settings())
    configure_logging(Settings())
    assert [type(handler) for handler in logging.getLogger().handlers] == [StdoutHandler]


def test_websocket_line_of_uvicorn_is_left_out() -> None:
    record = logging.LogRecord(
        "uvicorn.error",
        logging.INFO,
        "",
        0,
        '%s - "WebSocket %s" [accepted]',
        ("192.0.2.1:1", "/ws?text=private"),
        None,
    )
    assert not NoClientText().filter(record)
    record.msg = "Application startup complete."
    assert NoClientText().filter(record)
    record.levelno = logging.DEBUG
    assert not NoClientText().filter(record)


@pytest.mark.usefixtures("loggers")
def test_what_is_assigned_to_a_logger_of_the_stack_is_lost(log: Log) -> None:
    logger = logging.getLogger("uvicorn.error")
    protect_loggers(stdout_handler(JsonFormatter(), log.writer), logging.INFO)
    logger.handlers.append(logging.StreamHandler())
    logger.disabled, logger.propagate, logger.handlers, logger.filters = True, True, [], [lambda _: False]
    logger.setLevel(logging.CRITICAL)
    logger.info("once")
    logger.debug("not at all")
    assert log.line()["message"] == "once"


@pytest.mark.usefixtures("loggers")
def test_who_patches_logging_sees_the_lines_of_the_stack(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(logging.Logger, "callHandlers", lambda _, record: seen.append(record.getMessage()))
    protect_loggers(stdout_handler(JsonFormatter(), log.writer), logging.INFO)
    logging.getLogger("gunicorn.error").info("once")
    assert (seen, log.line()["message"]) == (["once"], "once")


@pytest.mark.usefixtures("loggers")
def test_loggers_of_an_application_are_left_alone(log: Log) -> None:
    theirs = [logging.getLogger(name) for name in ("sightglass_of_theirs", "uvicorn", "uvicorn.error.theirs")]
    protect_loggers(stdout_handler(JsonFormatter(), log.writer), logging.INFO)
    assert {type(logger) for logger in theirs} == {logging.Logger}


def test_server_reports_what_no_error_log_was_told_of() -> None:
    def report(error: BaseException | None) -> logging.LogRecord:
        info = (type(error), error, None) if error else None
        return logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "failed", None, info)

    told = KeyError("a")
    record = Record("GET", "/a", "/a", 500, True, "error", 0.1, 0, 0, None, RequestContext("request-1"), 1.0)
    ErrorLog(Settings(log_level="CRITICAL")).write(record, told)
    assert not Unwritten().filter(report(told))
    assert Unwritten().filter(report(KeyError("a")))
    assert Unwritten().filter(report(None))
