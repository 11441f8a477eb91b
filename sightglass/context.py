"""The request a piece of code is working for: set by the outermost middleware, read by logs, errors and traces."""

from contextvars import ContextVar
from typing import Any


class RequestContext:
    """The ids of one HTTP request or WebSocket connection.

    Trace and span are 32 and 16 lower-case hex digits (W3C Trace Context). Tracing fills in the span, None when there
    is none. Frameworks that keep their routes from the ASGI scope fill in the template (`sightglass.frameworks`).

    Args:
        request_id: 1 to 128 letters, digits, ``.``, ``_`` or ``-``.
        trace_id: the trace it belongs to, recorded or not.
        parent: the caller's ``traceparent``, if there was a valid one.

    """

    __slots__ = ("hold", "mount", "parent", "request_id", "route", "sampled", "span_id", "trace_id")

    def __init__(self, request_id: str, trace_id: str | None = None, parent: str | None = None) -> None:
        self.request_id = request_id
        self.trace_id = trace_id
        self.parent = parent
        self.span_id: str | None = None
        self.sampled = False
        self.mount = ""  # what the template begins with
        self.route: str | None = None
        self.hold: Any = None  # tracing's


current_request: ContextVar[RequestContext | None] = ContextVar("current_request", default=None)
