"""The access log: one line for each request, written by the outermost middleware.

Its cost is paid by every request, so the event loop only collects the values: the writer thread makes the line.
"""

import hashlib
import logging
import secrets
from functools import lru_cache

from sightglass.logs.lines import PATH_LIMIT, Encoder, Fields, clean, current_worker, encoder, timestamp
from sightglass.logs.writer import LogWriter, stdout
from sightglass.record import Record
from sightglass.settings import Settings

LOGGER = "api.access"
PROBES = frozenset({"/health", "/ready", "/metrics"})  # asked every few seconds: lines only at DEBUG
_METHOD_LIMIT = 32

# Made at each start, in the arbiter, which imports this before it forks the workers; never written anywhere. Lines of
# one client can be put together, but its address cannot be found by trying all of them.
_SALT = secrets.token_bytes(32)


@lru_cache(maxsize=4096)
def client_hash(address: str) -> str:
    """Return 16 hex digits that stand for a client address until the next start (keyed BLAKE2, RFC 7693)."""
    return hashlib.blake2s(address.encode(errors="replace"), key=_SALT, digest_size=8).hexdigest()


class AccessLog:
    """Writes the line of a request.

    Args:
        settings: ``LOG_FORMAT`` chooses the encoding, ``LOG_LEVEL`` which lines there are.
        writer: where the lines go.

    """

    def __init__(self, settings: Settings, writer: LogWriter = stdout) -> None:
        self._writer = writer
        self._encode: Encoder = encoder(settings.log_format, 1)
        self._fields = _json_fields if settings.log_format == "json" else _text_fields
        self._threshold = settings.log_threshold

    def write(self, record: Record) -> None:
        """Queue the line of a request that is over; of the client's address only the hash is written."""
        if _level(record) >= self._threshold:
            self._writer.put(self._render, record)

    def _render(self, record: Record) -> bytes:
        return self._encode(self._fields(record))


def _level(record: Record) -> int:
    return logging.DEBUG if record.route in PROBES else logging.INFO


def _json_fields(record: Record) -> Fields:
    method = clean(record.method, _METHOD_LIMIT)
    context = record.context
    fields: Fields = {
        "timestamp": timestamp(record.ended),
        "level": "DEBUG" if record.route in PROBES else "INFO",
        "logger": LOGGER,
        "message": f"{method} {record.route} {record.status if record.answered else record.outcome}",
        "method": method,
        "route": record.route,
        "path": clean(record.path, PATH_LIMIT),
    }
    if record.answered:
        fields["status"] = record.status
    fields["outcome"] = record.outcome
    fields["duration"] = round(record.duration, 6)
    fields["request_size"] = record.request_size
    fields["response_size"] = record.response_size
    fields["request_id"] = context.request_id
    if context.trace_id is not None:
        fields["trace_id"] = context.trace_id
    if context.span_id is not None:
        fields["span_id"] = context.span_id
    if record.client is not None:
        fields["client"] = client_hash(record.client)
    worker = current_worker()
    if worker is not None:
        fields["worker"] = worker
    return fields


def _text_fields(record: Record) -> Fields:
    fields = _json_fields(record)
    status = fields.pop("status", "-")
    milliseconds = fields.pop("duration") * 1000
    fields["message"] = f"{fields.pop('method'):<6} {fields.pop('path')} {status} {milliseconds:.1f} ms"
    if fields["outcome"] == "ok":
        del fields["outcome"]
    del fields["route"]
    return fields
