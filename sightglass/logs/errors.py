"""The error log: one line for each exception of a request, written by the outermost middleware.

Not by the server, whose report passes through a logger that an application can silence: that one is left out.
"""

import logging
from time import time

from sightglass.logs.lines import Encoder, Fields, current_worker, describe_exception, encoder, timestamp
from sightglass.logs.writer import LogWriter, stdout
from sightglass.record import Record
from sightglass.settings import Settings

LOGGER = "api.error"
_MARK = "_sightglass_written"


class ErrorLog:
    """Writes the line of an exception.

    Args:
        settings: ``LOG_FORMAT`` chooses the encoding, ``LOG_LEVEL`` whether there are lines.
        writer: where the lines go.

    """

    def __init__(self, settings: Settings, writer: LogWriter = stdout) -> None:
        self._writer = writer
        self._encode: Encoder = encoder(settings.log_format, 1)
        self._enabled = settings.log_threshold <= logging.ERROR

    def write(self, record: Record, error: BaseException) -> None:
        """Queue the line of an exception; its message may quote the client and is left out, its type and stack stay."""
        self.leave_out(error)
        if self._enabled:
            self._writer.put(self._encode, _fields(record, error))

    def leave_out(self, error: BaseException) -> None:
        """Have no server report an exception."""
        error.__dict__[_MARK] = True


class Unwritten(logging.Filter):
    """Drops the servers' reports of exceptions that an `ErrorLog` was told of."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record may pass."""
        error = record.exc_info[1] if record.exc_info else None
        return error is None or _MARK not in error.__dict__


def _fields(record: Record, error: BaseException) -> Fields:
    context = record.context
    fields: Fields = {
        "timestamp": timestamp(time()),
        "level": "ERROR",
        "logger": LOGGER,
        "message": f"exception in {record.method} {record.route}",
        "method": record.method,
        "route": record.route,
        "request_id": context.request_id,
    }
    if context.trace_id is not None:
        fields["trace_id"] = context.trace_id
    if context.span_id is not None:
        fields["span_id"] = context.span_id
    fields["exception"] = describe_exception(error, with_message=False)
    worker = current_worker()
    if worker is not None:
        fields["worker"] = worker
    return fields
