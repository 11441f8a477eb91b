"""`POST /api/v1/process`: a document in, the same document without personal data out."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from tempfile import SpooledTemporaryFile

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.privacy.coding import Decompressor
from api.privacy.dependencies import InferenceOf, SettingsOf
from api.privacy.documents import CLIENT_CLOSED_REQUEST, DocumentOf, content, output_charset
from api.privacy.inference import Work
from api.privacy.metrics import PII_DETECTED
from api.privacy.redactor import make_redactor
from api.problem import ProblemError, error_responses

PATH = "/api/v1/process"
IN_MEMORY = 1024 * 1024
"""Bytes of a result kept in memory; more of it goes to an unnamed file in `RUNS_DIR`."""
PART = 256 * 1024
"""Bytes of a result sent at once."""

logger = logging.getLogger(__name__)
router = APIRouter(tags=["privacy"])


@router.post(
    PATH,
    response_class=Response,
    response_model=None,
    summary="Redact a document",
    responses=error_responses(400, 401, 413, 415, 422, 429, 500, 503, 507)
    | {200: {"description": "The document without personal data", "content": content(1)}},
    openapi_extra={"requestBody": {"required": True, "content": content(0)}},
)
async def process(
    request: Request,
    settings: SettingsOf,
    inference: InferenceOf,
    document: DocumentOf,
) -> Response:
    """Replace every finding by `[TYPE]`, keeping the format: the same table, tree or lines.

    The document is worked on while it arrives, and the answer begins when all of it is done: an error anywhere is a
    problem, never half a document. `Content-Encoding` may be gzip or deflate; without a `charset` it is UTF-8.
    """
    find = partial(inference.model.find, language=document.language, min_confidence=document.min_confidence)
    redactor = make_redactor(document.media_type, document.charset, find)
    decompressor = Decompressor(document.coding, settings.max_request_size_bytes)
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
    charset = output_charset(document.media_type, document.charset)
    return _ResultResponse(result, f"{document.media_type}; charset={charset}")


class _ResultResponse(Response):
    """Sends a file, from its start to where it stands, and closes it.

    Its last bytes go as the last message: a client has them all then and may be gone before another, which would
    look like one that left in the middle.
    """

    def __init__(self, file: SpooledTemporaryFile[bytes], content_type: str) -> None:
        self._file = file
        self._left = file.tell()
        super().__init__(headers={"Content-Type": content_type, "Content-Length": str(self._left)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it."""
        with self._file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._file.seek(0)
            more = True
            while more:
                part = await asyncio.to_thread(self._file.read, PART)
                self._left -= len(part)
                more = self._left > 0
                await send({"type": "http.response.body", "body": part, "more_body": more})


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
