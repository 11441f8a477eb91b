"""`/api/v1/jobs`: documents redacted in the background."""

import logging
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, FastAPI, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable
from starlette.types import Receive, Scope, Send

from api.privacy.dependencies import AuthorizedRoute, ClientOf, IdsOf, OwnerOf, QueueOf, StoreOf
from api.privacy.documents import CLIENT_CLOSED_REQUEST, EXAMPLES, SearchOf, as_download, content, output_charset
from api.privacy.jobs.intake import MAX_DOCUMENTS, MULTIPART, Received, is_multipart, take_in, uploading
from api.privacy.jobs.queue import Queue
from api.privacy.jobs.record import Record, Status, now, sortable
from api.privacy.jobs.state.interface import AwayError, GoingError, TakenError
from api.privacy.jobs.store import JobStore, ShareError, Upload
from api.privacy.jobs.threads import in_thread
from api.privacy.metrics import JOBS
from api.problem import ProblemError, invalid
from api.problem_answers import error_responses, problem_response
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
    """The jobs of a form, in its order."""

    jobs: list[Job]


class Page(BaseModel):
    """Jobs, the newest first."""

    jobs: list[Job]
    next: str | None = Field(description="The `before` of the page that follows; null when this is the last one.")


@router.post(
    "",
    status_code=202,
    summary="Redact documents in the background",
    response_description="Accepted; `Location` tells how far it is",
    responses=error_responses(400, 401, 409, 413, 415, 422, 429, 500, 503, 507)
    | {202: {"headers": {"Location": {"description": "The job, or the form's jobs.", "schema": {"type": "string"}}}}},
    openapi_extra={"requestBody": {"required": True, "content": content(0) | {MULTIPART: FORM}}},
    response_model=Job | Jobs,
)
async def create(
    request: Request,
    response: Response,
    search: SearchOf,
    owner: OwnerOf,
    client: ClientOf,
    store: StoreOf,
    queue: QueueOf,
    ids: IdsOf,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="The same key again, by the same owner or, without API keys, from the same address: the same "
            "job, not another.",
        ),
    ] = None,
) -> Job | Jobs | Response:
    """Accept a document, or many as a form, a job for each. Once answered they will be done, whatever is restarted."""
    with _room():
        # A form's first job has the id that a document alone would have: a key is of the one or of the other.
        first = await in_thread(ids.derived, "job", client, idempotency_key) if idempotency_key else ids.new()
        # Addresses are personal data: what is kept is good for comparing them and nothing else.
        charged = owner or "@" + await in_thread(ids.derived, "client", client)
        async with uploading(store, charged) as upload:
            try:
                received = await take_in(request, search, upload)
            except ClientDisconnect:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            records = [
                _record(ids.derived("part", first, str(n)) if n else first, one, owner, charged)
                for n, one in enumerate(received)
            ]
            batch = ids.derived("batch", first)  # not the first job's id: who is shown a job need not see the form
            if is_multipart(request):
                for part, record in enumerate(records):
                    record.batch, record.part = batch, part
                    record.digest += f" of {len(records)}"
            records = await _accept(store, queue, upload, received, records)
    if is_multipart(request):
        response.headers["Location"] = f"{PATH}?batch={batch}&limit={MAX_DOCUMENTS}"
        return Jobs(jobs=[_view(record) for record in records])
    response.headers["Location"] = f"{PATH}/{first}"
    return _view(records[0])


def _record(job_id: str, received: Received, owner: str | None, client: str) -> Record:
    context = current_request.get()
    return Record(
        id=job_id,
        created=now(),
        size=received.size,
        **received.document._asdict(),
        owner=owner,
        client=client,
        digest=received.digest,
        request_id=context.request_id if context else None,
        trace_id=context.trace_id if context else None,
        traceparent=f"00-{context.trace_id}-{context.span_id}-01" if context and context.sampled else None,
    )


async def _accept(
    store: JobStore, queue: Queue, upload: Upload, received: Sequence[Received], records: Sequence[Record]
) -> list[Record]:
    """Make all of them jobs, or none, and put them into the queue; a job that already has an id is given instead.

    Raises:
        OSError: there is no room.
        ProblemError: 409, a job that already has an id is asked to stop; 422, it is of another document.

    """
    documents = [(one.directory, record) for one, record in zip(received, records, strict=True)]
    try:
        existing = await in_thread(store.accept, upload, documents)
    except GoingError:
        raise ProblemError(
            409, "The job of this idempotency key is being removed", headers={"Retry-After": "3"}
        ) from None
    except TakenError:
        raise ProblemError(422, "The idempotency key was used for another document") from None
    new = [record for record, found in zip(records, existing, strict=True) if not found]
    JOBS.labels("accepted").inc(len(new))
    for record in new:
        try:
            await in_thread(queue.put, record.id)
        except Exception as error:
            # It is on disk: the job processes' sweep names it as soon as the queue is there again.
            logger.warning("the queue is not reachable: %s", type(error).__name__)
    return [found or record for record, found in zip(records, existing, strict=True)]


@router.get("", summary="List jobs", responses=error_responses(401, 403, 422, 429, 500, 503))
def index(
    owner: OwnerOf,
    store: StoreOf,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
    before: Annotated[
        str | None, Query(max_length=200, description="What the page before this one gave as `next`.")
    ] = None,
    batch: Annotated[str | None, Query(pattern=ID, description="Those of one form only.")] = None,
) -> Page:
    """List your jobs, the newest first. Where the service asks for no API key, only those of a form, by its `batch`."""
    if owner is None and batch is None:
        raise ProblemError(
            403,
            "Jobs are listed to the owner of an API key, and this service has none: its operator sets API_KEYS_FILE. "
            "Without keys look at a job by its id, or list those of a form by its batch",
        )
    records = store.page(owner, batch=batch, before=_read_cursor(before), limit=limit + 1)
    more = len(records) > limit
    records = records[:limit]
    return Page(jobs=[_view(record) for record in records], next=_cursor(records[-1]) if more else None)


def _cursor(record: Record) -> str:
    return urlsafe_b64encode(f"{sortable(record.created)} {record.id}".encode()).decode()


def _read_cursor(cursor: str | None) -> tuple[str, str] | None:
    if cursor is None:
        return None
    try:
        created, job_id = urlsafe_b64decode(cursor).decode("ascii").split(" ")
        moment = sortable(datetime.fromisoformat(created))
    except (ValueError, OverflowError):  # the latter for a time that UTC has in no year
        moment, job_id = "", ""
    if not re.fullmatch(ID, job_id):
        raise invalid("/before", "Input should be the `next` of another page")
    return moment, job_id


@router.get(
    "/{job_id}", summary="Look at a job", responses=error_responses(401, 404, 422, 429, 500, 503), response_model=Job
)
def show(job_id: JobId, owner: OwnerOf, store: StoreOf) -> Job:
    """Tell how far a job is."""
    return _view(_own(store, job_id, owner))


@router.get(
    "/{job_id}/result",
    summary="Get a job's result",
    response_class=FileResponse,
    response_model=None,
    responses=error_responses(401, 404, 409, 416, 422, 429, 500, 503)
    | {200: {"description": "The document without personal data", "content": content(1)}}
    | {206: {"description": "The part of it that `Range` asked for"}},
)
def result(job_id: JobId, owner: OwnerOf, store: StoreOf) -> FileResponse:
    """Give the redacted document; 409 while there is none."""
    record = _own(store, job_id, owner)
    if record.status is not Status.SUCCEEDED:
        raise ProblemError(409, f"There is no result: the job is {record.status.value}")
    file = store.open_result(record)
    if file is None:  # removed since
        raise ProblemError(404)
    charset = output_charset(record.media_type, record.charset)
    return _ResultResponse(file, f"{record.media_type}; charset={charset}", as_download(record.media_type, job_id))


class _ResultResponse(FileResponse):
    """An open file, or the parts of it that are asked for; a range that is not understood is ignored (RFC 9110, 14.2).

    It is sent to its end though the job is removed meanwhile.
    """

    def __init__(self, file: BinaryIO, media_type: str, headers: dict[str, str]) -> None:
        self._file = file
        super().__init__(f"/proc/self/fd/{file.fileno()}", media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and close the file."""
        with self._file:
            await super().__call__(scope, receive, send)

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
    responses=error_responses(401, 404, 422, 429, 500, 503)
    | {202: {"description": "It ends and is removed in a moment"}},
)
def delete(job_id: JobId, owner: OwnerOf, store: StoreOf) -> Response:
    """Remove a job with its document and result, ending it first if it runs."""
    record = _own(store, job_id, owner)
    if not store.cancel(job_id):
        return Response(status_code=202)
    if record.status is Status.QUEUED:
        JOBS.labels("cancelled").inc()
    return Response(status_code=204)


def install_away_handler(app: FastAPI) -> None:
    """Have every route answer 503 while what keeps the jobs is away."""
    app.add_exception_handler(AwayError, _away)


async def _away(_: Request, error: Exception) -> Response:
    assert isinstance(error, AwayError)  # noqa: S101  (Starlette's handler type is wider than its calls)
    logger.error("%s", error.strerror)
    return problem_response(503, "What keeps the jobs does not answer", headers={"Retry-After": "10"})


def _own(store: JobStore, job_id: str, owner: str | None) -> Record:
    """Give an owner's job; another's does not exist for it."""
    record = store.get(job_id)
    if record is None or record.owner != owner:
        raise ProblemError(404)
    return record


def _view(record: Record) -> Job:
    return Job.model_validate(record.model_dump(include=set(Job.model_fields)))


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except ShareError:
        raise ProblemError(
            429,
            "Your jobs take all the room that they may; remove some, or wait until some are done",
            headers={"Retry-After": "60"},
        ) from None
    except AwayError:
        raise
    except OSError as error:
        logger.error("no room for a job: %s", error.strerror)
        raise ProblemError(507, "There is no room for the document") from None
