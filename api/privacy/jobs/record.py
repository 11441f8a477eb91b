"""What is known of a job."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, PlainSerializer


class Status(StrEnum):
    """Where a job is; the last three are for good."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the document cannot be redacted
    DEAD = "dead"  # given up after all attempts


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.DEAD})


def now() -> datetime:
    """Give the time, in UTC."""
    return datetime.now(UTC)


def sortable(time: datetime) -> str:
    """Write a time in UTC so that texts compare as times do."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


Time = Annotated[datetime, PlainSerializer(sortable, when_used="json")]


class Record(BaseModel):
    """A job. Times are UTC, sizes bytes as sent."""

    id: str
    status: Status = Status.QUEUED
    created: Time
    started: Time | None = None
    finished: Time | None = None
    """Set as soon as, and only when, the status is for good."""
    not_before: Time | None = None
    attempts: int = 0
    interruptions: int = 0
    size: int
    done: int = 0
    error: str | None = None

    media_type: str
    charset: str | None
    coding: str
    language: str
    min_confidence: float
    delimiter: str | None = None
    owner: str | None
    """Whose API key it came with: nobody else may see it. Without keys, None: whoever knows its id may."""
    client: str = "@"
    """Whom its room and its turns are charged to: the owner, or a keyed hash of the client's address."""
    digest: str
    batch: str | None = None
    part: int | None = None
    request_id: str | None = None
    trace_id: str | None = None
    """Both of the request that made it."""
    traceparent: str | None = None
    directory: str = ""
    """Where its documents are."""
    original: bool = True
    """Whether the document as sent may still be there."""
    result: str = "result"
    """The name of its result."""
