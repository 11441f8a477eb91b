"""`POST /api/v1/process`: a document in, the same document without personal data out."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.privacy.coding import Decompressor
from api.privacy.dependencies import AuthorizedRoute, ClientOf, InferenceOf, SettingsOf
from api.privacy.documents import CLIENT_CLOSED_REQUEST, DocumentOf, as_download, content, output_charset, receive
from api.privacy.formats.redaction import make_redactor, redact_file
from api.privacy.inference import Work
from api.privacy.metrics import PII_DETECTED
from api.privacy.size_limit import IN_MEMORY
from api.privacy.turns import take
from api.problem import ProblemError
from api.problem_answers import error_responses

PATH = "/api/v1/process"
RESULT_IN_MEMORY = 1024 * 1024
"""Bytes of a result kept in memory; longer ones, and documents over `IN_MEMORY`, go to unnamed files in `RUNS_DIR`."""
PART = 256 * 1024
"""Bytes of a result sent at once."""

logger = logging.getLogger(__name__)
router = APIRouter(tags=["privacy"], route_class=AuthorizedRoute)


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
    client: ClientOf,
) -> Response:
    """Replace every finding by `[TYPE]`, keeping the format: the same table, tree or lines.

    The work begins when the document is here, and the answer when the work is done: an error anywhere is a problem,
    never half a document. `Content-Encoding` may be gzip or deflate; without a `charset` it is UTF-8, and XML says its
    own. Other names of these media types, `+xml` and, with a file's name in `Content-Disposition`,
    `application/octet-stream` are taken too.
    """
    model = await inference.model(client)
    find = partial(model.find, language=document.language, min_confidence=document.min_confidence)
    redactor = make_redactor(document.media_type, document.charset, find, document.delimiter)
    decompressor = Decompressor(document.coding, settings.max_request_size_bytes)
    directory = str(settings.runs_dir)
    with (
        _room(),
        ExitStack() as result_stack,
        SpooledTemporaryFile(IN_MEMORY, dir=directory) as source,
    ):
        result = result_stack.enter_context(SpooledTemporaryFile(RESULT_IN_MEMORY, dir=directory))
        try:
            # Asked before anything is read; held only for the work, as a slow sender would otherwise hold it for long.
            inference.documents.check(client)
            await receive(request, source)
            source.seek(0)
            with inference.work(inference.documents, client) as work:
                steps = redact_file(cast(BinaryIO, source), decompressor, redactor)
                await _unless_gone(request, _run(work, steps, result))
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        result_stack.pop_all()
    for entity_type, count in redactor.found.items():
        PII_DETECTED.labels(entity_type).inc(count)
    charset = output_charset(document.media_type, document.charset)
    headers = {"Content-Type": f"{document.media_type}; charset={charset}"}
    return _ResultResponse(result, headers | as_download(document.media_type, "document"))


class _ResultResponse(Response):
    """Sends a file, from its start to where it stands, and closes it.

    Its last bytes go as the last message: a client has them all then and may be gone before another, which would
    look like one that left in the middle.
    """

    def __init__(self, file: SpooledTemporaryFile[bytes], headers: Mapping[str, str]) -> None:
        self._file = file
        self._left = file.tell()
        super().__init__(headers={**headers, "Content-Length": str(self._left)})

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


async def _run(work: Work, steps: Iterator[bytes], result: SpooledTemporaryFile[bytes]) -> None:
    """Take the steps in the model's thread; what they give goes to the result."""

    def write(data: bytes) -> None:
        if data:
            with _room():
                result.write(data)

    while await work.step(partial(take, steps, write)):
        pass


async def _unless_gone(request: Request, work: Coroutine[None, None, None]) -> None:
    """Do the work; a client that leaves meanwhile cancels it.

    Raises:
        ClientDisconnect: it left.

    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_leave(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        await working
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait((working, leaving))


async def _leave(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        logger.error("no room for a document: %s", error.strerror)
        raise ProblemError(507, "There is no room for the document") from None
