"""What is known of a request when it is over: the one record that metrics and logs are made of."""

from dataclasses import dataclass
from typing import Literal

from sightglass.context import RequestContext

Outcome = Literal["ok", "error", "disconnected", "cancelled"]
"""How a request ended: an answer, an exception or half an answer, the client gone, the server's own cancellation."""


@dataclass(slots=True, eq=False)
class Record:
    """One finished HTTP request or WebSocket connection."""

    method: str
    """One of RFC 9110's, PATCH, or ``OTHER``."""
    route: str
    """Template of the route."""
    path: str
    """Without the query string, as the client sent it."""
    status: int
    """As it is counted: 101 for an accepted WebSocket, 499 for a client that left before its answer was complete."""
    answered: bool
    """Whether a response started, or failed to: then the status is what the client met."""
    outcome: Outcome
    duration: float
    """Seconds."""
    request_size: int
    """Bytes of the body received."""
    response_size: int
    """Bytes of the body sent."""
    client: str | None
    """Address."""
    context: RequestContext
    ended: float
    """Seconds since the epoch."""
    first_byte: float | None = None
    """Seconds until an HTTP response's head; None without one."""
