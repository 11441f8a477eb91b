"""`POST /api/v1/process`: a document in, the same document without personal data out."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from email.message import Message
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.requests import ClientDisconnect

from api.privacy.coding import CODINGS, Decompressor
from api.privacy.dependencies import InferenceOf, SettingsOf
from api.privacy.formats.document import find_charset
from api.privacy.inference import Work
from api.privacy.metrics import PII_DETECTED
from api.privacy.redactor import MEDIA_TYPES, XML, make_redactor
from api.problem import ProblemError, error_responses, invalid

PATH = "/api/v1/process"
IN_MEMORY = 1024 * 1024
"""Bytes of a result kept in memory; more of it goes to an unnamed file in `RUNS_DIR`."""
PART = 256 * 1024
"""Bytes of a result sent at once."""
CLIENT_CLOSED_REQUEST = 499
"""NGINX's status for a client that left; only metrics and logs see it."""

EXAMPLES = {
    "text/plain": ("Mail anna@example.com", "Mail [EMAIL_ADDRESS]"),
    "text/csv": ("name,mail\nAnna,anna@example.com\n", "name,mail\nAnna,[EMAIL_ADDRESS]\n"),
    "application/xml": ("<mail>anna@example.com</mail>", "<mail>[EMAIL_ADDRESS]</mail>"),
    "application/x-ndjson": ('{"mail": "anna@example.com"}\n', '{"mail": "[EMAIL_ADDRESS]"}\n'),
}

logger = logging.getLogger(__name__)
router = APIRouter()


def _content(side: int) -> dict[str, Any]:
    return {kind: {"schema": {"type": "string"}, "example": example[side]} for kind, example in EXAMPLES.items()}


@router.post(
    PATH,
    response_class=StreamingResponse,
    response_model=None,
    summary="Redact a document",
    responses=error_responses(400, 413, 415, 422, 429, 500, 503, 507)
    | {200: {"description": "The document without personal data", "content": _content(1)}},
    openapi_extra={"requestBody": {"required": True, "content": _content(0)}},
)
async def process(
    request: Request,
    settings: SettingsOf,
    inference: InferenceOf,
    language: Annotated[str, Query(max_length=16, description="A language the model has (ISO 639-1).")] = "en",
    min_confidence: Annotated[float, Query(ge=0, le=1, description="Leave findings below it alone.")] = 0.35,
) -> Response:
    """Replace every finding by `[TYPE]`, keeping the format: the same table, tree or lines.

    The document is worked on while it arrives, and the answer begins when all of it is done: an error anywhere is a
    problem, never half a document. `Content-Encoding` may be gzip or deflate; without a `charset` it is UTF-8.
    """
    model = inference.model
    media_type, charset = _content_type(request)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in CODINGS:
        raise ProblemError(
            415, "This content coding is not supported", headers={"Accept-Encoding": "gzip, deflate, identity"}
        )
    if language not in model.languages:
        raise invalid("/language", f"Input should be one of: {', '.join(model.languages)}")
    redactor = make_redactor(media_type, charset, partial(model.find, language=language, min_confidence=min_confidence))
    decompressor = Decompressor(coding, settings.max_request_size_bytes)
    with ExitStack() as stack:
        result = stack.enter_context(SpooledTemporaryFile(IN_MEMORY, dir=str(settings.runs_dir)))
        try:
            with inference.work(inference.documents) as work:
                async for chunk in request.stream():
                    for part in decompressor.feed(chunk):
                        await _spool(work, redactor.feed(part), result)
                decompressor.finish()
                await _spool(work, redactor.finish(), result)
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        stack.pop_all()
    for entity_type, count in redactor.found.items():
        PII_DETECTED.labels(entity_type).inc(count)
    charset = "utf-8" if MEDIA_TYPES[media_type] == XML else charset or "utf-8"
    return StreamingResponse(
        _parts(result),
        media_type=f"{media_type}; charset={charset}",
        headers={"Content-Length": str(result.tell())},
    )


def _content_type(request: Request) -> tuple[str, str | None]:
    """Give the media type, and the charset if there is one.

    Raises:
        ProblemError: 415, one of them is not supported.

    """
    value = request.headers.get("content-type", "")
    media_type = value.partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise ProblemError(415, f"The media type should be one of: {', '.join(MEDIA_TYPES)}")
    header = Message()
    header["Content-Type"] = value
    name = header.get_content_charset()
    charset = find_charset(name) if name else None
    if name and not charset:
        raise ProblemError(415, "This charset is not supported")
    return media_type, charset


async def _spool(work: Work, steps: Iterator[bytes], result: SpooledTemporaryFile[bytes]) -> None:
    """Take the steps in the model's thread; what they give goes to the result."""

    def step() -> bool:
        data = next(steps, None)
        if data:
            try:
                result.write(data)
            except OSError as error:
                logger.error("no room for a result: %s", error.strerror)
                raise ProblemError(507, "There is no room for the result") from None
        return data is not None

    while await work.step(step):
        pass


def _parts(result: SpooledTemporaryFile[bytes]) -> Iterator[bytes]:
    with result:
        result.seek(0)
        while part := result.read(PART):
            yield part
