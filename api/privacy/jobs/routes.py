"""`/api/v1/jobs`: documents redacted in the background."""

import asyncio
import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable

from api.privacy.dependencies import AuthorizedRoute, OwnerOf, QueueOf, StoreOf
from api.privacy.documents import CLIENT_CLOSED_REQUEST, EXAMPLES, SearchOf, content, output_charset
from api.privacy.jobs.intake import MAX_DOCUMENTS, MULTIPART, Received, is_multipart, take_in
from api.privacy.jobs.queue import Queue
from api.privacy.jobs.store import RESULT, JobStore, Record, Status, now
from api.privacy.metrics import JOBS
from api.problem import ProblemError, error_responses
from sightglass.context import current_request

PATH = "/api/v1/jobs"

ID = "^[0-9a-f]{32}$"
JobId = Annotated[str, Path(pattern=ID, description="As `POST` gave it.")]
FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "properties": {"document": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
        "required": ["document"],
    },
    "encoding": {"document": {"contentType": ", ".join(EXAMPLES)}},
}

logger = logging.getLogger(__name__)
router = APIRouter(prefix=PATH, tags=["jobs"], route_class=AuthorizedRoute)


class Job(BaseModel):
    """A document's redaction in the background. Times are UTC."""

    id: str
    status: Status = Field(
        description="`failed`: the document cannot be redacted; `dead`: given up after all attempts."
    )
    created: datetime
    started: datetime | None = Field(description="When the last attempt began.")
    finished: datetime | None
    attempts: int = Field(ge=0, description="Those that ended with their process are not among them.")
    interruptions: int = Field(ge=0, description="Attempts that ended with their process.")
    media_type: str
    size: int = Field(ge=0, description="Bytes of the document as sent.")
    done: int = Field(ge=0, description="How many of them are redacted, noted every few seconds.")
    error: str | None = Field(description="Why it failed.")
    batch: str | None = Field(description="What the jobs made by one form have in common.")
    part: int | None = Field(description="Which document of the form it is, from 0.")


class Jobs(BaseModel):
    """Jobs, the newest first."""

    jobs: list[Job]


@router.post(
    "",
    status_code=202,
    summary="Redact documents in the background",
    response_description="Accepted; `Location` tells how far it is",
    responses=error_responses(400, 401, 413, 415, 422, 429, 500, 503, 507)
    | {202: {"headers": {"Location": {"description": "The job, or the form's jobs.", "schema": {"type": "string"}}}}},
    openapi_extra={"requestBody": {"required": True, "content": content(0) | {MULTIPART: FORM}}},
    response_model=Job | Jobs,
)
async def create(
    request: Request,
    response: Response,
    search: SearchOf,
    owner: OwnerOf,
    store: StoreOf,
    queue: QueueOf,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="The same key again: the same job, not another.")
    ] = None,
) -> Job | Jobs | Response:
    """Accept a document, or many as a form, a job for each. Once answered they will be done, whatever is restarted."""
    with _room(), ExitStack() as drafts:
        try:
            received = await take_in(request, search, lambda: drafts.enter_context(store.draft()))
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        # A form's first job has the id that a document alone would have: a key is of the one or of the other.
        first = _job_id(owner, idempotency_key)
        records = [_record(_job_id(first, str(n)) if n else first, one, owner) for n, one in enumerate(received)]
        if is_multipart(request):
            for part, record in enumerate(records):
                record.batch, record.part = first, part
                record.digest += f" of {len(records)}"
        records = await _accept(store, queue, received, records)
    if is_multipart(request):
        response.headers["Location"] = f"{PATH}?batch={first}&limit={MAX_DOCUMENTS}"
        return Jobs(jobs=[_view(record) for record in records])
    response.headers["Location"] = f"{PATH}/{first}"
    return _view(records[0])


def _record(job_id: str, received: Received, owner: str | None) -> Record:
    context = current_request.get()
    return Record(
        id=job_id,
        created=now(),
        size=received.size,
        **received.document._asdict(),
        owner=owner,
        digest=received.digest,
        request_id=context.request_id if context else None,
        traceparent=f"00-{context.trace_id}-{context.span_id}-01" if context and context.sampled else None,
    )


async def _accept(
    store: JobStore, queue: Queue, received: Sequence[Received], records: Sequence[Record]
) -> list[Record]:
    """Make all of them jobs, or none, and and put them into the queue; a job that already has an id is given instead.

    Raises:
        OSError: there is no room.
        ProblemError: 422, a job that already has an id is of another document.

    """
    new, accepted = [], []
    with ExitStack() as undo:
        for document, record in zip(received, records, strict=True):
            if await asyncio.to_thread(store.accept, document.draft, record):
                undo.callback(store.cancel, record.id)
                new.append(record)
                accepted.append(record)
            else:
                accepted.append(_existing(store, record))
        undo.pop_all()
    JOBS.labels("accepted").inc(len(new))
    for record in new:
        try:
            await asyncio.to_thread(queue.put, record.id)
        except Exception as error:
            # It is on disk: the job processes' sweep names it as soon as the queue is there again.
            logger.warning("the queue is not reachable: %s", type(error).__name__)
    return accepted


def _existing(store: JobStore, record: Record) -> Record:
    existing = _own(store, record.id, record.owner)
    if existing.digest != record.digest:
        raise ProblemError(422, "The idempotency key was used for another document")
    return existing


@router.get("", summary="List jobs", responses=error_responses(401, 422, 429, 500))
def index(
    owner: OwnerOf,
    store: StoreOf,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
    batch: Annotated[str | None, Query(pattern=ID, description="Those of one form only.")] = None,
) -> Jobs:
    """List your jobs, the newest first."""
    mine = [record for record in store.all() if record.owner == owner and batch in (None, record.batch)]
    return Jobs(jobs=[_view(record) for record in mine[: -limit - 1 : -1]])


@router.get(
    "/{job_id}", summary="Look at a job", responses=error_responses(401, 404, 422, 429, 500), response_model=Job
)
def show(job_id: JobId, owner: OwnerOf, store: StoreOf) -> Job:
    """Tell how far a job is."""
    return _view(_own(store, job_id, owner))


@router.get(
    "/{job_id}/result",
    summary="Get a job's result",
    response_class=FileResponse,
    response_model=None,
    responses=error_responses(401, 404, 409, 416, 422, 429, 500)
    | {200: {"description": "The document without personal data", "content": content(1)}}
    | {206: {"description": "The part of it that `Range` asked for"}},
)
def result(job_id: JobId, owner: OwnerOf, store: StoreOf) -> FileResponse:
    """Give the redacted document; 409 while there is none."""
    record = _own(store, job_id, owner)
    if record.status is not Status.SUCCEEDED:
        raise ProblemError(409, f"There is no result: the job is {record.status.value}")
    charset = output_charset(record.media_type, record.charset)
    return _ResultResponse(store.path(job_id, RESULT), media_type=f"{record.media_type}; charset={charset}")


class _ResultResponse(FileResponse):
    """A file, or the parts of it that are asked for; a range that is not understood is ignored (RFC 9110, 14.2)."""

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable:
            raise ProblemError(416, headers={"Content-Range": f"bytes */{file_size}"}) from None


@router.delete(
    "/{job_id}",
    status_code=204,
    summary="Cancel and remove a job",
    responses=error_responses(401, 404, 422, 429, 500) | {202: {"description": "It ends and is removed in a moment"}},
)
def delete(job_id: JobId, owner: OwnerOf, store: StoreOf) -> Response:
    """Remove a job with its document and result, ending it first if it runs."""
    record = _own(store, job_id, owner)
    if not store.cancel(job_id):
        return Response(status_code=202)
    if record.status is Status.QUEUED:
        JOBS.labels("cancelled").inc()
    return Response(status_code=204)


def _own(store: JobStore, job_id: str, owner: str | None) -> Record:
    """Give an owner's job; another's does not exist for it."""
    record = store.get(job_id)
    if record is None or record.owner != owner:
        raise ProblemError(404)
    return record


def _view(record: Record) -> Job:
    return Job.model_validate(record.model_dump(include=set(Job.model_fields)))


def _job_id(owner: str | None, idempotency_key: str | None) -> str:
    """Give a new id, or the one that this owner's key always has."""
    if idempotency_key is None:
        return uuid4().hex
    return hashlib.sha256(f"{owner or ''}\0{idempotency_key}".encode()).hexdigest()[:32]


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        logger.error("no room for a job: %s", error.strerror)
        raise ProblemError(507, "There is no room for the document") from None
