"""`/api/v1/jobs`: documents redacted in the background."""

import asyncio
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path as FilePath
from typing import IO, Annotated
from uuid import uuid4

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from api.observability.context import current_request
from api.privacy.dependencies import OwnerOf, QueueOf, StoreOf
from api.privacy.documents import CLIENT_CLOSED_REQUEST, DocumentOf, content, output_charset, receive
from api.privacy.jobs.store import DOCUMENT, RESULT, JobStore, Record, Status, now
from api.privacy.metrics import JOBS
from api.problem import ProblemError, error_responses

PATH = "/api/v1/jobs"

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As `POST` gave it.")]

logger = logging.getLogger(__name__)
router = APIRouter(prefix=PATH, tags=["jobs"])


class Job(BaseModel):
    """A document's redaction in the background. Times are UTC."""

    id: str
    status: Status = Field(
        description="`failed`: the document cannot be redacted; `dead`: given up after all attempts."
    )
    created: datetime
    started: datetime | None = Field(description="When the last attempt began.")
    finished: datetime | None
    attempts: int = Field(ge=0)
    media_type: str
    size: int = Field(ge=0, description="Bytes of the document as sent.")
    done: int = Field(ge=0, description="How many of them are redacted, noted every few seconds.")
    error: str | None = Field(description="Why it failed.")


class Jobs(BaseModel):
    """Jobs, the newest first."""

    jobs: list[Job]


@router.post(
    "",
    status_code=202,
    summary="Redact a document in the background",
    response_description="Accepted; the job is at `Location`",
    responses=error_responses(400, 401, 413, 415, 422, 429, 500, 503, 507)
    | {202: {"headers": {"Location": {"description": "The job.", "schema": {"type": "string"}}}}},
    openapi_extra={"requestBody": {"required": True, "content": content(0)}},
    response_model=Job,
)
async def create(
    request: Request,
    response: Response,
    document: DocumentOf,
    owner: OwnerOf,
    store: StoreOf,
    queue: QueueOf,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="The same key again: the same job, not another.")
    ] = None,
) -> Job | Response:
    """Accept a document. Once this is answered the job is on disk and will be done, whatever is restarted."""
    with _room(), store.draft() as draft:
        try:
            size, digest = await _receive(request, draft / DOCUMENT)
        except ClientDisconnect:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        digest.update(repr(document).encode())
        context = current_request.get()
        record = Record(
            id=_job_id(owner, idempotency_key),
            created=now(),
            size=size,
            **document._asdict(),
            owner=owner,
            digest=digest.hexdigest(),
            request_id=context.request_id if context else None,
            traceparent=f"00-{context.trace_id}-{context.span_id}-01" if context and context.sampled else None,
        )
        accepted = await asyncio.to_thread(store.accept, draft, record)
    if accepted:
        JOBS.labels("accepted").inc()
        try:
            await asyncio.to_thread(queue.put, record.id)
        except Exception as error:
            # It is on disk: the workers' sweep names it as soon as the queue is there again.
            logger.warning("the queue is not reachable: %s", type(error).__name__)
    else:
        existing = _own(store, record.id, owner)
        if existing.digest != record.digest:
            raise ProblemError(422, "The idempotency key was used for another document")
        record = existing
    response.headers["Location"] = f"{PATH}/{record.id}"
    return _view(record)


@router.get("", summary="List jobs", responses=error_responses(401, 422, 429, 500))
def index(
    owner: OwnerOf, store: StoreOf, limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100
) -> Jobs:
    """List your jobs, the newest first."""
    mine = [record for record in store.all() if record.owner == owner]
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
    | {200: {"description": "The document without personal data", "content": content(1)}},
)
def result(job_id: JobId, owner: OwnerOf, store: StoreOf) -> FileResponse:
    """Give the redacted document; 409 while there is none."""
    record = _own(store, job_id, owner)
    if record.status is not Status.SUCCEEDED:
        raise ProblemError(409, f"There is no result: the job is {record.status.value}")
    charset = output_charset(record.media_type, record.charset)
    return FileResponse(store.path(job_id, RESULT), media_type=f"{record.media_type}; charset={charset}")


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


async def _receive(request: Request, path: FilePath) -> tuple[int, "hashlib._Hash"]:
    """Put the body on disk; give its size and digest."""
    file = await asyncio.to_thread(path.open, "w+b")
    with file:
        await receive(request, file)
        return await asyncio.to_thread(_settle, file)


def _settle(file: IO[bytes]) -> tuple[int, "hashlib._Hash"]:
    file.flush()
    os.fsync(file.fileno())
    size = file.tell()
    file.seek(0)
    return size, hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        logger.error("no room for a job: %s", error.strerror)
        raise ProblemError(507, "There is no room for the document") from None
