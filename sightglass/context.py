"""The request a piece of code is working for: set by the outermost middleware, read by logs, errors and traces."""

from contextvars import ContextVar


class RequestContext:
    """The ids of one HTTP request or WebSocket connection.

    Tracing fills in the trace: 32 and 16 lower-case hex digits (W3C Trace Context), None when there is none. Frameworks
    that keep their routes from the ASGI scope fill in the template (`sightglass.frameworks`).
    """

    __slots__ = ("request_id", "route", "sampled", "span_id", "trace_id")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.trace_id: str | None = None
        self.span_id: str | None = None
        self.sampled = False
        self.route: str | None = None


current_request: ContextVar[RequestContext | None] = ContextVar("current_request", default=None)
