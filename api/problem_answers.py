"""What a client is answered where a `problem` was raised, or an error of the framework's own."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api.problem import FieldProblem, Problem
from sightglass.problem import MEDIA_TYPE, problem_body, title_of


def problem_response(
    status: int,
    detail: str | None = None,
    *,
    errors: Sequence[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Render a problem; members without a value are left out."""
    body = problem_body(status, detail, [error.model_dump() for error in errors or ()])
    return Response(body, status, headers, media_type=MEDIA_TYPE)


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of the app, its own 404s, 405s and 500s included, a problem; its OpenAPI says so."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _server_error)
    _describe(app)


OF_HEADS = (414, 431)
"""What the edge answers on any route where a request's head is too large."""


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` of a route that may answer with these error statuses."""
    return {status: _response(status) for status in sorted({*statuses, *OF_HEADS})}


def _response(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": title_of(status),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return response


def _describe(app: FastAPI) -> None:
    """Put `Problem` among the schemas: no route has it as a model, since FastAPI would list it as plain JSON."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schemas = generate().setdefault("components", {}).setdefault("schemas", {})
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(problem.pop("$defs"), Problem=problem)
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  (Starlette's handler type is wider than its calls)
    if error.status_code < 400:  # raised all the same: a redirect, a 304
        return await http_exception_handler(request, error)
    detail = error.detail if error.detail not in ("", title_of(error.status_code)) else None
    return problem_response(error.status_code, detail, errors=getattr(error, "errors", None), headers=error.headers)


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return problem_response(422, errors=[_field_problem(item) for item in error.errors()])


async def _server_error(_: Request, __: Exception) -> Response:
    return problem_response(500)


def _field_problem(item: dict[str, Any]) -> FieldProblem:
    """Only the location and a fixed message: `input`, `ctx` and a location the client named are its own text."""
    match item["type"]:
        case "json_invalid":
            return FieldProblem(pointer="", detail="The body is not valid JSON")
        case "extra_forbidden":
            return FieldProblem(pointer="", detail="Unknown fields are not allowed")
    location = "".join(f"/{part}" for part in item["loc"][1:])
    return FieldProblem(pointer=location, detail=str(item["msg"]))
