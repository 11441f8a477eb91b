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

import random
import re
from collections.abc import Iterable

from sightglass.context import RequestContext

TRACE_HEADER = b"x-sightglass-trace"
"""The edge's: what clients send under this name does not pass it."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_TRACE_ID = re.compile(rb"(?!0{32})[0-9a-f]{32}").fullmatch


def identify(headers: Iterable[tuple[bytes, bytes]]) -> RequestContext:
    """Return the ids of the request with these headers."""
    request_id = trace_id = parent = None
    for name, value in headers:
        if name == b"x-request-id":
            request_id = value if request_id is None else b""
        elif name == b"traceparent":
            parent = value if parent is None else b""
        elif name == TRACE_HEADER:
            trace_id = value
    if parent is not None and _TRACEPARENT(parent):
        trace = parent[3:35].decode("ascii")
    else:
        parent = None
        # An id, no secret.
        trace = trace_id.decode("ascii") if trace_id and _TRACE_ID(trace_id) else random.randbytes(16).hex()  # noqa: S311
    return RequestContext(
        request_id.decode("ascii") if request_id and _REQUEST_ID(request_id) else trace,
        trace,
        parent.decode("ascii") if parent else None,
    )
