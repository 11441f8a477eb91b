"""Logging set up: every logger of the process, gunicorn's and uvicorn's included, in one format on stdout.

An exception's own message is left out of a line written for a request, and out of the report of the servers, asyncio
or the job queue of an exception nobody handled: it may quote what a client sent. Its type and stack stay. Of asyncio's
reports so do what happened and the coroutine's name: the rest shows values.
"""

import copy
import logging
import logging.config
import re
import time
from typing import Any

from sightglass.context import current_request
from sightglass.logs import lines, writer
from sightglass.logs.errors import Unwritten
from sightglass.logs.stack import protect_loggers
from sightglass.settings import Settings

# They, and the loggers below them, report exceptions of requests and jobs after the request's context is gone.
_SPEAK_FOR_REQUESTS = ("uvicorn.error.", "gunicorn.error.", "asyncio.", "huey.")

_ARGUMENTS = re.compile(r"\((?!\)).*")
_COROUTINE = re.compile(r"coro=<(\S+)\(\)")
_SLOW = re.compile(r"Executing <(.*) took [\d.]+ seconds", re.DOTALL)
"""What asyncio says in its debug mode: in the midst is a representation of a task, with its result, or of a call."""
_CALL = re.compile(r"Handle (?:when=\S+ )?([\w.<>]+)")


class StdoutHandler(logging.Handler):
    """Hands records to the writer thread, which renders them; takes from them first what only this moment knows.

    Args:
        writer: where the lines go.

    """

    def __init__(self, writer: writer.LogWriter) -> None:
        super().__init__()
        self._writer = writer
        writer.describe_dropped = self._describe_dropped

    def handle(self, record: logging.LogRecord) -> bool:
        """Queue a record; without the base class's lock, the queue has no need of it."""
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record."""
        try:
            self._writer.put(self._render, _capture(record))
        except Exception:  # arguments that do not fit the message: said on stderr, as the standard library does
            self.handleError(record)

    def flush(self) -> None:
        """Wait for the lines queued so far, for at most two seconds; the end of the process calls this."""
        self._writer.flush()

    def _render(self, record: logging.LogRecord) -> bytes:
        return self.format(record).encode(errors="replace") + b"\n"

    def _describe_dropped(self, count: int) -> bytes:
        record = logging.LogRecord(
            __name__, logging.WARNING, "", 0, "log lines dropped, stdout was blocked", None, None
        )
        record.created = time.time()
        record.dropped = count
        return self._render(record)


def _capture(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy that no later change of arguments, values, context or frames can alter."""
    context = current_request.get()
    captured = copy.copy(record)
    if isinstance(record.msg, dict):
        captured.msg = {key: lines.frozen(value) for key, value in record.msg.items()}
    else:
        captured.msg = record.getMessage().rstrip()
        if record.name == "asyncio":
            if slow := _SLOW.fullmatch(captured.msg):
                called = _COROUTINE.search(slow[1]) or _CALL.search(slow[1])
                captured.msg = captured.msg.replace(f"<{slow[1]}", called[1] if called else "something")
            elif record.exc_info or "\n" in captured.msg:
                captured.msg = _without_values(captured.msg)
    captured.args = None
    captured.__dict__.update([(key, lines.frozen(value)) for key, value in lines.extra_fields(record)])
    if context is not None:
        setattr(captured, lines.REQUEST_IDS, (context.request_id, context.trace_id, context.span_id))
    if record.exc_info and record.exc_info[1] is not None:
        with_message = context is None and not f"{record.name}.".startswith(_SPEAK_FOR_REQUESTS)
        described = lines.describe_exception(record.exc_info[1], with_message=with_message)
        setattr(captured, lines.EXCEPTION, described)
    captured.exc_info = captured.exc_text = None
    return captured


def _without_values(report: str) -> str:
    """Return what a report of asyncio's says: behind its first line, and in calls, are representations of objects."""
    first, _, objects = report.partition("\n")
    coroutine = _COROUTINE.search(objects)
    return _ARGUMENTS.sub("", first) + (f": {coroutine[1]}" if coroutine else "")


class NoClientText(logging.Filter):
    """Drops the servers' lines that quote requests.

    uvicorn's line per WebSocket (address and query string) and its debugging (headers and frames).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record may pass."""
        if record.name != "uvicorn.error":
            return True
        return record.levelno >= logging.INFO and not str(record.msg).startswith('%s - "WebSocket ')


def gunicorn_log_config(settings: Settings) -> dict[str, Any]:
    """Return the `logging.config.dictConfig` dictionary for this process, which gunicorn takes as it is."""
    silent = {"handlers": [], "level": "CRITICAL", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"()": lines.formatter, "log_format": settings.log_format, "descriptor": 1},
        },
        "handlers": {
            "stdout": {
                "()": StdoutHandler,
                "formatter": "line",
                "writer": writer.stdout,
            }
        },
        "root": {"handlers": ["stdout"], "level": logging.getLevelName(settings.log_threshold)},
        "loggers": {
            # The request's line is ours (access.py).
            "gunicorn.access": silent,
            "uvicorn.access": silent,
        },
    }


def configure_logging(settings: Settings) -> None:
    """Set up every logger of this process as ``LOG_LEVEL`` and ``LOG_FORMAT`` say."""
    logging.config.dictConfig(gunicorn_log_config(settings))
    logging.captureWarnings(capture=True)
    protect_stack(settings)


def protect_stack(settings: Settings) -> None:
    """Put the loggers of the stack itself, those of modules imported by now, out of an application's reach."""
    # Not the root's handler: an application may do with that as it likes.
    output = StdoutHandler(writer.stdout)
    output.setFormatter(lines.formatter(settings.log_format, 1))
    output.addFilter(NoClientText())
    output.addFilter(Unwritten())
    protect_loggers(output, settings.log_threshold)
