"""The ids of spans: the root of a request's trace takes the id that the request has already."""

from contextvars import ContextVar

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

_wanted: ContextVar[int | None] = ContextVar("wanted_trace_id", default=None)


class RequestIds(RandomIdGenerator):
    """Random ids, but for the trace id that was asked for."""

    def generate_trace_id(self) -> int:
        """Return the id that `start_trace` was told, once, then random ones."""
        trace_id = _wanted.get()
        if trace_id is None:
            return super().generate_trace_id()
        _wanted.set(None)
        return trace_id


def start_trace(trace_id: int) -> None:
    """Have the next root span that is started in this context begin the trace of this id."""
    _wanted.set(trace_id)
