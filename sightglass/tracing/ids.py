"""The ids of spans: the root of a request's trace takes the id that the request has already."""

from contextvars import ContextVar

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

_trace_id: ContextVar[int | None] = ContextVar("wanted_trace_id", default=None)
_span_id: ContextVar[int | None] = ContextVar("wanted_span_id", default=None)


class RequestIds(RandomIdGenerator):
    """Random ids, but for those that were asked for."""

    def generate_trace_id(self) -> int:
        """Return the trace id that was asked for, once, then random ones."""
        return _once(_trace_id) or super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the span id that was asked for, once, then random ones."""
        return _once(_span_id) or super().generate_span_id()


def ask_for(*, trace_id: int | None = None, span_id: int | None = None) -> None:
    """Have the next root span of this context begin the trace of this id, and the next span have this one."""
    _trace_id.set(trace_id)
    _span_id.set(span_id)


def _once(wanted: ContextVar[int | None]) -> int | None:
    number = wanted.get()
    if number is not None:
        wanted.set(None)
    return number
