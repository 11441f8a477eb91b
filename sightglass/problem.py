"""Errors as RFC 9457 problem details: the one writer of them."""

from collections.abc import Sequence
from http.client import responses
from typing import Any

import orjson

from sightglass.context import current_request

MEDIA_TYPE = "application/problem+json"


def title_of(status: int) -> str:
    """Return the status's standard phrase, or its class where it has none."""
    return responses.get(status) or ("Client Error" if status < 500 else "Server Error")


def problem_body(status: int, detail: str | None = None, errors: Sequence[dict[str, Any]] = ()) -> bytes:
    """Return the body of an error answer to the current request; members without a value are left out.

    Args:
        status: HTTP status code.
        detail: what went wrong this time; never what the client sent.
        errors: what is wrong with the request, field by field.

    """
    context = current_request.get()
    members = {
        "type": "about:blank",
        "title": title_of(status),
        "status": status,
        "detail": detail,
        "request_id": context.request_id if context else None,
        "trace_id": context.trace_id if context else None,
        "errors": errors,
    }
    return orjson.dumps({name: value for name, value in members.items() if value})
