"""Which request this is and which trace it belongs to: what the edge, or a caller without one, has said of both.

| sent | request id | trace id |
|---|---|---|
| nothing | 32 random hex digits | the same |
| ``X-Request-ID`` | theirs | 32 random hex digits |
| ``traceparent`` (W3C Trace Context, version 00) | the trace id | theirs |
| both | theirs | theirs |

What is not valid, or there twice, counts as not sent. The edge answers by the same table (docker/nginx/http) and gives
its trace id in a header of its own: it makes no span, so a ``traceparent`` would name a parent that no trace has.
"""

import os
import re
from collections.abc import Sequence

from sightglass.context import RequestContext

TRACE_HEADER = b"x-sightglass-trace"
"""The edge's: what clients send under this name does not pass it."""

_NAMES = frozenset({b"x-request-id", b"traceparent", TRACE_HEADER})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_TRACE_ID = re.compile(rb"(?!0{32})[0-9a-f]{32}").fullmatch

_ID_DIGITS = 32
_IDS_AT_ONCE = 256  # one system call for all of them
_ids: list[str] = []
os.register_at_fork(after_in_child=_ids.clear)  # or every worker would give the arbiter's


def identify(headers: Sequence[tuple[bytes, bytes]]) -> RequestContext:
    """Return the ids of the request with these headers."""
    if _NAMES.isdisjoint(dict(headers)):
        trace_id = _new()
        return RequestContext(trace_id, trace_id)
    told = [header for header in headers if header[0] in _NAMES]
    sent = dict(told)
    if len(sent) < len(told):  # something is there twice
        names = [name for name, _ in told]
        for name in _NAMES:
            if names.count(name) > 1:
                del sent[name]
    given, parent, edge = sent.get(b"x-request-id"), sent.get(b"traceparent"), sent.get(TRACE_HEADER)
    if parent is not None and _TRACEPARENT(parent):
        trace_id = parent[3:35].decode("ascii")
    else:
        parent = None
        trace_id = edge.decode("ascii") if edge is not None and _TRACE_ID(edge) else _new()
    return RequestContext(
        given.decode("ascii") if given is not None and _REQUEST_ID(given) else trace_id,
        trace_id,
        None if parent is None else parent.decode("ascii"),
    )


def _new() -> str:
    while True:
        try:
            return _ids.pop()
        except IndexError:
            digits = os.urandom(_IDS_AT_ONCE * _ID_DIGITS // 2).hex()
            _ids.extend(digits[start : start + _ID_DIGITS] for start in range(0, len(digits), _ID_DIGITS))
