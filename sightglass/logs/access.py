"""The access log: one line for each request, written by the outermost middleware.

Its cost is paid by every request, so the event loop only collects the values: the writer thread makes the lines, many
at a time.
"""

import hashlib
import logging
import secrets
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted

from sightglass.logs.lines import PATH_LIMIT, Fields, clean, current_worker, encode_json, encoder, timestamp
from sightglass.logs.writer import LogWriter, stdout
from sightglass.record import Outcome, Record
from sightglass.settings import Settings

LOGGER = "api.access"
PROBES = frozenset({"/health", "/ready", "/metrics"})  # asked every few seconds: lines only at DEBUG
_METHOD_LIMIT = 32

_Values = tuple[
    float, str, str, str, int | None, Outcome, float, int, int, str, str | None, str | None, str | None
]  # fmt: skip
"""What a line says: end, method, route, path, status, outcome, duration, sizes, ids and the client's address."""

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
        self._put = writer.put
        self._line = _json_line if settings.log_format == "json" else _TextLine()
        self._enabled = settings.log_threshold <= logging.INFO
        self._without = PROBES if settings.log_threshold > logging.DEBUG else frozenset()

    def write(self, record: Record) -> None:
        """Queue the line of a request that is over; of the client's address only the hash is written."""
        if self._enabled and record.route not in self._without:
            context = record.context
            values = (
                record.ended, record.method, record.route, record.path, record.status if record.answered else None,
                record.outcome, record.duration, record.request_size, record.response_size, context.request_id,
                context.trace_id, context.span_id, record.client,
            )  # fmt: skip
            self._put(self._line, values)


def _json_line(values: _Values) -> bytes:
    """Return the line as `encode_json` would; what requests to a route have in common is encoded once."""
    ended, method, route, path, status, outcome, duration, received, sent, request_id, trace_id, span_id, address = (
        values
    )
    first, then = _common(method, route, status, outcome)
    ids = request_id if trace_id is None else f'{request_id}","trace_id":"{trace_id}'
    if span_id is not None:
        ids = f'{ids}","span_id":"{span_id}'
    return (
        f'{{"timestamp":"{timestamp(ended)}",{first},"path":{quoted(clean(path, PATH_LIMIT))},{then},'
        f'"duration":{duration:.6f},"request_size":{received},"response_size":{sent},'
        f'"request_id":"{ids}{_parties(address, current_worker())}"}}\n'
    ).encode()


@lru_cache(maxsize=1024)
def _common(method: str, route: str, status: int | None, outcome: Outcome) -> tuple[str, str]:
    """Return the JSON of the fields before the path, and of those after it, that many requests have in common."""
    method = clean(method, _METHOD_LIMIT)
    fields = {
        "level": _level(route),
        "logger": LOGGER,
        "message": f"{method} {route} {outcome if status is None else status}",
        "method": method,
        "route": route,
    }
    after = {"outcome": outcome} if status is None else {"status": status, "outcome": outcome}
    return _members(fields), _members(after)


@lru_cache(maxsize=4096)
def _parties(address: str | None, worker: str | None) -> str:
    """Return the JSON of who asked and who answered."""
    client = f'","client":"{client_hash(address)}' if address is not None else ""
    return client + (f'","worker":"{worker}' if worker is not None else "")


def _members(fields: Fields) -> str:
    return encode_json(fields).decode()[1:-2]


def _level(route: str) -> str:
    return "DEBUG" if route in PROBES else "INFO"


class _TextLine:
    def __init__(self) -> None:
        self._encode = encoder("text", 1)

    def __call__(self, values: _Values) -> bytes:
        (
            ended,
            method,
            route,
            path,
            status,
            outcome,
            duration,
            received,
            sent,
            request_id,
            trace_id,
            span_id,
            address,
        ) = values
        method, path = clean(method, _METHOD_LIMIT), clean(path, PATH_LIMIT)
        fields: Fields = {
            "timestamp": timestamp(ended),
            "level": _level(route),
            "logger": LOGGER,
            "message": f"{method:<6} {path} {'-' if status is None else status} {duration * 1000:.1f} ms",
            "outcome": outcome if outcome != "ok" else None,
            "request_size": received,
            "response_size": sent,
            "request_id": request_id,
            "trace_id": trace_id,
            "span_id": span_id,
            "client": client_hash(address) if address is not None else None,
            "worker": current_worker(),
        }
        return self._encode({name: value for name, value in fields.items() if value is not None})
