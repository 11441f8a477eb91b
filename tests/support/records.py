"""Finished requests, as the middleware hands them on."""

from time import time

from sightglass.context import RequestContext
from sightglass.record import Record


def finished(
    method: str,
    route: str,
    status: int,
    duration: float,
    request_size: int,
    response_size: int,
    trace_id: str | None = None,
) -> Record:
    """Return the record of an answered request; a trace id makes it a sampled one."""
    context = RequestContext("request-1")
    context.trace_id, context.sampled = trace_id, trace_id is not None
    return Record(
        method, route, route, status, True, "ok", duration, request_size, response_size, None, context, time()
    )
