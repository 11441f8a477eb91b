"""Errors as RFC 9457 problem details, without echoing anything the client sent: what code raises."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException


class FieldProblem(BaseModel):
    """One thing wrong with the request."""

    pointer: str = Field(description="JSON Pointer (RFC 6901) to the field, empty for the request as a whole.")
    detail: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """The body of every error (RFC 9457, `application/problem+json`)."""

    type: str = Field("about:blank", description="A URI naming the kind of problem.")
    title: str = Field(description="The status's standard phrase, or its class where it has none.")
    status: int = Field(ge=400, le=599, description="The HTTP status code.")
    detail: str | None = Field(None, description="What went wrong this time.")
    request_id: str | None = Field(None, description="The `X-Request-ID` of this request, to find it in the logs.")
    trace_id: str | None = Field(None, description="The `X-Trace-ID` of this request: the trace it belongs to.")
    errors: list[FieldProblem] | None = Field(None, description="What is wrong with the request, field by field.")


class ProblemError(HTTPException):
    """An error answer with problems by field; plain `HTTPException`s are rendered the same way, without them."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        errors: Sequence[FieldProblem] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.errors = errors


def invalid(pointer: str, detail: str) -> ProblemError:
    """422 for one field (`/text`) whose value a schema alone cannot refuse."""
    return ProblemError(422, errors=[FieldProblem(pointer=pointer, detail=detail)])
