"""What a log line looks like: the fields, their order, and their two encodings, JSON and text."""

import json
import logging
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Literal
from urllib.parse import quote

import orjson

try:
    from pythonjsonlogger.core import RESERVED_ATTRS
    from pythonjsonlogger.orjson import OrjsonFormatter
except ImportError:  # before 3.1
    from pythonjsonlogger.jsonlogger import RESERVED_ATTRS  # type: ignore[attr-defined]
    from pythonjsonlogger.jsonlogger import JsonFormatter as OrjsonFormatter  # type: ignore[attr-defined,assignment]

Fields = dict[str, Any]
Encoder = Callable[[Fields], bytes]

REQUEST_IDS = "_request_ids"
EXCEPTION = "_exception"
PATH_LIMIT = 1024
_STACK_FRAMES = 50  # the innermost ones
_CAUSES = 5
_LEVEL_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_HEAD = ("timestamp", "level", "logger", "message")
# Left out of what a caller gave as `extra`: the record's own attributes, and uvicorn's terminal spelling of messages.
_NOT_EXTRA = frozenset([*RESERVED_ATTRS, "taskName", "color_message"])

_SCALARS = frozenset([str, int, float, bool, type(None)])

_worker: str | None = None


def set_worker(slot: str | None) -> None:
    """Name the worker this process is; every later line carries it as ``worker``, None leaves it out."""
    global _worker  # one fact of the process
    _worker = slot


def current_worker() -> str | None:
    """Return what `set_worker` was told last."""
    return _worker


_MILLISECONDS = [f".{number:03d}Z" for number in range(1000)]


class _Clock:
    """ISO 8601 in UTC with milliseconds (RFC 3339); what lines have in common is kept from one to the next."""

    def __init__(self) -> None:
        self._last = (-1, "")
        self._whole = (-1, "")

    def text(self, seconds: float) -> str:
        milliseconds = int(seconds * 1000)
        known, text = self._whole
        if milliseconds == known:
            return text
        second, millisecond = divmod(milliseconds, 1000)
        last, prefix = self._last
        if second != last:
            prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._last = (second, prefix)
        text = prefix + _MILLISECONDS[millisecond]
        self._whole = (milliseconds, text)
        return text


timestamp = _Clock().text


def clean(text: str, limit: int) -> str:
    """Make a client's text fit for a line: printable ASCII, the rest percent-encoded, at most ``limit`` characters."""
    if not (text.isascii() and text.isprintable()):
        text = quote(text[:limit], safe=" !\"#$%&'()*+,/:;<=>?@[\\]^`{|}~", errors="replace")
    return text if len(text) <= limit else text[: limit - 3] + "..."


class ExceptionFields(Fields):
    """An exception as data."""


def describe_exception(error: BaseException, *, with_message: bool, depth: int = _CAUSES) -> ExceptionFields:
    """Return an exception as data: type, stack (``file:line in function``, outermost first), causes.

    An exception's message may quote what a client sent, so it comes only ``with_message``.
    """
    kind = type(error)
    fields = ExceptionFields(
        type=kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    )
    if with_message:
        fields["message"] = _text(error)
    fields["stack"] = list(deque(_stack(error.__traceback__), maxlen=_STACK_FRAMES))
    if depth > 1:
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is not None:
            fields["cause"] = describe_exception(cause, with_message=with_message, depth=depth - 1)
        exceptions = getattr(error, "exceptions", None)  # of a group: a class of its own since Python 3.11
        if isinstance(exceptions, tuple) and all(isinstance(one, BaseException) for one in exceptions):
            fields["exceptions"] = [
                describe_exception(one, with_message=with_message, depth=depth - 1) for one in exceptions[:_CAUSES]
            ]
    return fields


def _stack(top: TracebackType | None) -> Iterator[str]:
    # Not traceback.extract_tb: that looks at every source file on disk.
    for frame, line in traceback.walk_tb(top):
        yield f"{frame.f_code.co_filename}:{line} in {name_of(frame)}"


def name_of(frame: FrameType) -> str:
    """Return the name of the function that a frame is of, before Python 3.11 without its class."""
    return str(getattr(frame.f_code, "co_qualname", frame.f_code.co_name))


def record_fields(record: logging.LogRecord) -> Fields:
    """Return the fields of one record of the standard library's logging.

    The request's ids and the exception are what `StdoutHandler` found, under names no caller's ``extra`` takes.
    """
    fields: Fields = {
        "timestamp": timestamp(record.created),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage() if not isinstance(record.msg, dict) else "",
    }
    if isinstance(record.msg, dict):
        fields |= {str(key): value for key, value in record.msg.items() if key not in _HEAD or key == "message"}
    attributes = record.__dict__
    request = attributes.get(REQUEST_IDS)
    if request is not None:
        fields["request_id"], trace_id, span_id = request
        if trace_id is not None:
            fields["trace_id"] = trace_id
        if span_id is not None:
            fields["span_id"] = span_id
    for key, value in extra_fields(record):
        if key not in fields:
            fields[key] = value
    if record.lineno:  # where it was written; what a caller calls so stays
        for key, value in (("module", record.module), ("function", record.funcName), ("line", record.lineno)):
            fields.setdefault(key, value)
    if EXCEPTION in attributes:
        fields["exception"] = attributes[EXCEPTION]
    if record.stack_info:
        fields["stack_info"] = record.stack_info.splitlines()
    if _worker is not None:
        fields["worker"] = _worker
    return fields


def extra_fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """Yield what a caller gave as ``extra``."""
    for key, value in record.__dict__.items():
        if key not in _NOT_EXTRA and not key.startswith("_"):
            yield key, value


def frozen(value: Any) -> Any:
    """Return what a line will say of a value, as data that nobody else can change."""
    return value if type(value) in _SCALARS else json.loads(encode_json({"": value}))[""]


class JsonFormatter(OrjsonFormatter):
    """python-json-logger's formatter with this module's fields and an encoding that no value can break."""

    def add_fields(self, log_data: Fields, record: logging.LogRecord, message_dict: Fields) -> None:  # noqa: ARG002
        """Fill in the fields of a line."""
        log_data.update(record_fields(record))

    def jsonify_log_record(self, log_data: Fields) -> str:
        """Encode a line, without its end."""
        return encode_json(log_data)[:-1].decode()


class TextFormatter(logging.Formatter):
    """One aligned line for a person; an exception's stack follows, indented.

    Args:
        colour: whether to use the terminal's colours.

    """

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._encode = text_encoder(colour=colour)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        return self._encode(record_fields(record))[:-1].decode()


def encoder(log_format: Literal["json", "text"], descriptor: int) -> Encoder:
    """Return the encoding for ``LOG_FORMAT``; text is coloured when ``descriptor`` is a terminal."""
    return encode_json if log_format == "json" else text_encoder(colour=os.isatty(descriptor))


def formatter(log_format: Literal["json", "text"], descriptor: int) -> logging.Formatter:
    """Return the standard library's side of `encoder`."""
    return JsonFormatter() if log_format == "json" else TextFormatter(colour=os.isatty(descriptor))


def encode_json(fields: Fields) -> bytes:
    """Return one JSON object (RFC 8259) and a newline; what JSON has no type for becomes text."""
    try:
        return orjson.dumps(fields, default=_text, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate, an integer beyond 64 bits, a structure that contains itself
        return _encode_json_slowly(fields).encode(errors="replace") + b"\n"


def _encode_json_slowly(fields: Fields) -> str:
    try:
        return json.dumps(fields, default=_text, ensure_ascii=False, skipkeys=True, allow_nan=False)
    except (ValueError, RecursionError):
        scalars = {_text(key): value if isinstance(value, str) else _text(value) for key, value in fields.items()}
        return json.dumps(scalars, ensure_ascii=False)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__qualname__}>"


def text_encoder(*, colour: bool) -> Encoder:
    """Return the encoding for people: time, level, logger, message, then ``key=value`` for the rest."""

    def paint(code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour and text else text

    def encode(fields: Fields) -> bytes:
        level = fields["level"]
        rest = " ".join(
            f"{key}={_escape(value)}"
            for key, value in fields.items()
            if key not in _HEAD and not isinstance(value, ExceptionFields)
        )
        line = " ".join(
            part
            for part in (
                paint("2", fields["timestamp"]),
                paint(_LEVEL_COLOURS.get(level, "0"), f"{level:<8}"),
                f"{fields['logger']:<16}",
                _escape(fields["message"]),
                paint("2", rest),
            )
            if part
        )
        lines = [line, *_exception_lines(fields.get("exception"))]
        return ("\n".join(lines) + "\n").encode(errors="replace")

    return encode


def _exception_lines(exception: object, indent: str = "    ") -> Iterator[str]:
    if not isinstance(exception, ExceptionFields):
        return
    message = f": {_escape(exception['message'])}" if "message" in exception else ""
    yield f"{indent}{exception['type']}{message}"
    for frame in exception["stack"]:
        yield f"{indent}  {_escape(frame)}"
    if "cause" in exception:
        yield f"{indent}caused by"
        yield from _exception_lines(exception["cause"], indent)
    for one in exception.get("exceptions", ()):
        yield from _exception_lines(one, indent + "    ")


def _escape(value: object) -> str:
    text = value if isinstance(value, str) else _text(value)
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    )
