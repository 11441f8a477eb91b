"""The access log: one line for each request, written by the outermost middleware.

Its cost is paid by every request, so the event loop only collects the values: the writer thread makes the line.
"""

import hashlib
import logging
import secrets
import time
from functools import lru_cache

from api.observability.context import RequestContext
from api.observability.log_format import PATH_LIMIT, Encoder, Fields, clean, current_worker, encoder, timestamp
from api.observability.log_writer import LogWriter, stdout
from api.settings import Settings

LOGGER = "api.access"
PROBES = frozenset({"/health", "/ready", "/metrics"})  # asked every few seconds: lines only at DEBUG
_METHOD_LIMIT = 32

# Made at each start, in the arbiter, which imports this before it forks the workers; never written anywhere. Lines of
# one client can be put together, but its address cannot be found by trying all of them.
_SALT = secrets.token_bytes(32)

_Entry = tuple[float, int, str, str, str, int | None, str, float, int, int, str | None, RequestContext]


@lru_cache(maxsize=4096)
def client_hash(address: str) -> str:
    """Return 16 hex digits that stand for a client address until the next start (keyed BLAKE2, RFC 7693)."""
    return hashlib.blake2s(address.encode(errors="replace"), key=_SALT, digest_size=8).hexdigest()


class AccessLog:
    """Writes the line of a request.

    Args:
        settings: ``LOG_FORMAT`` chooses the encoding.
        writer: where the lines go.

    """

    def __init__(self, settings: Settings, writer: LogWriter = stdout) -> None:
        self._writer = writer
        self._encode: Encoder = encoder(settings.log_format, 1)
        self._fields = _json_fields if settings.log_format == "json" else _text_fields
        self._enabled = logging.getLogger(LOGGER).isEnabledFor

    def write(
        self,
        *,
        method: str,
        route: str,
        path: str,
        status: int | None,
        outcome: str,
        duration: float,
        request_size: int,
        response_size: int,
        client: str | None,
        context: RequestContext,
    ) -> None:
        """Queue the line of a request that is over.

        Args:
            method: HTTP method.
            route: template of the route.
            path: path without the query string.
            status: status code; None when no response started.
            outcome: ok, error, disconnected or cancelled.
            duration: seconds.
            request_size: bytes of the body received.
            response_size: bytes of the body sent.
            client: address of the client; only its hash is written.
            context: ids of the request.

        """
        level = logging.DEBUG if route in PROBES else logging.INFO
        if self._enabled(level):
            entry = (
                time.time(), level, method, route, path, status, outcome,
                duration, request_size, response_size, client, context,
            )  # fmt: skip
            self._writer.put(self._render, entry)

    def _render(self, entry: _Entry) -> bytes:
        return self._encode(self._fields(entry))


def _json_fields(entry: _Entry) -> Fields:
    now, level, method, route, path, status, outcome, duration, request_size, response_size, client, context = entry
    method = clean(method, _METHOD_LIMIT)
    fields: Fields = {
        "timestamp": timestamp(now),
        "level": logging.getLevelName(level),
        "logger": LOGGER,
        "message": f"{method} {route} {outcome if status is None else status}",
        "method": method,
        "route": route,
        "path": clean(path, PATH_LIMIT),
    }
    if status is not None:
        fields["status"] = status
    fields["outcome"] = outcome
    fields["duration"] = round(duration, 6)
    fields["request_size"] = request_size
    fields["response_size"] = response_size
    fields["request_id"] = context.request_id
    if context.trace_id is not None:
        fields["trace_id"] = context.trace_id
    if context.span_id is not None:
        fields["span_id"] = context.span_id
    if client is not None:
        fields["client"] = client_hash(client)
    worker = current_worker()
    if worker is not None:
        fields["worker"] = worker
    return fields


def _text_fields(entry: _Entry) -> Fields:
    fields = _json_fields(entry)
    status = fields.pop("status", "-")
    milliseconds = fields.pop("duration") * 1000
    fields["message"] = f"{fields.pop('method'):<6} {fields.pop('path')} {status} {milliseconds:.1f} ms"
    if fields["outcome"] == "ok":
        del fields["outcome"]
    del fields["route"]
    return fields
