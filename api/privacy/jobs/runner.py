"""What a worker does with a job, and the sweep that names forgotten ones again."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from threading import Event

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Gauge, Histogram

from api.observability.context import RequestContext, current_request
from api.privacy.coding import Decompressor
from api.privacy.findings import Model
from api.privacy.formats.document import DocumentError
from api.privacy.jobs.queue import Queue
from api.privacy.jobs.store import DOCUMENT, FINAL, RESULT, Claim, JobStore, Record, Status, now
from api.privacy.metrics import JOBS, MODEL_ERRORS, PII_DETECTED, PREDICTIONS
from api.privacy.redactor import make_redactor, redact_file
from api.problem import ProblemError
from api.settings import Settings

PROGRESS_INTERVAL = 2.0
"""Seconds between two notes of a job's progress."""
BACK_OFF = 2.0
"""Seconds before the second attempt; each further one waits twice as long."""

JOB_DURATION = Histogram(
    "job_duration_seconds",
    "From a worker's taking a job to its end, by attempt.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400),
)
JOB_QUEUE_DEPTH = Gauge("job_queue_depth", "Jobs that wait for a worker.")
JOB_QUEUE_AGE = Gauge("job_queue_age_seconds", "Age of the oldest job that waits for a worker, 0 when none does.")

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)


class _CancelledError(Exception):
    """Its owner wants the job gone."""


class _StoppingError(Exception):
    """The worker is asked to end: the job goes back, and the attempt does not count."""


class Runner:
    """Works on one job at a time."""

    def __init__(self, settings: Settings, store: JobStore, model: Model, stopping: Event) -> None:
        self._settings = settings
        self._store = store
        self._model = model
        self._stopping = stopping

    def run(self, job_id: str) -> None:
        """Bring the job to an end, or leave it queued for another attempt; nothing is raised for a job's sake."""
        with self._store.claim(job_id) as claim:
            if claim is None or claim.record.status in FINAL or self._stopping.is_set():
                return
            with _telemetry(claim.record), JOB_DURATION.time():
                self._attempt(claim)

    def _attempt(self, claim: Claim) -> None:
        attempts = claim.record.attempts + 1
        limit = self._settings.job_attempts
        try:
            if claim.cancelled:
                raise _CancelledError
            if attempts > limit:  # the last one ended with its process
                self._end(claim, Status.DEAD, "The job ended its worker too often")
                return
            claim.save(status=Status.RUNNING, attempts=attempts, started=now(), done=0)
            self._redact(claim)
        except _CancelledError:
            self._store.remove(claim)
            JOBS.labels("cancelled").inc()
            logger.info("job cancelled")
        except _StoppingError:
            claim.save(status=Status.QUEUED, attempts=attempts - 1)
        except ProblemError as error:
            self._end(claim, Status.FAILED, error.detail)
        except Exception as error:
            # Its message may hold the text.
            logger.error("attempt %d failed: %s", attempts, type(error).__name__)
            MODEL_ERRORS.inc()
            if attempts == limit:
                self._end(claim, Status.DEAD, "Every attempt failed")
                return
            pause = timedelta(seconds=BACK_OFF * 2 ** (attempts - 1))
            claim.save(status=Status.QUEUED, not_before=now() + pause)
            JOBS.labels("retried").inc()

    def _redact(self, claim: Claim) -> None:
        record = claim.record
        if record.language not in self._model.languages:
            raise DocumentError("The worker's model does not have the language")
        find = partial(self._model.find, language=record.language, min_confidence=record.min_confidence)
        redactor = make_redactor(record.media_type, record.charset, find)
        decompressor = Decompressor(record.coding, self._settings.max_request_size_bytes)
        part = claim.directory / f"{RESULT}.part"
        noted = time.monotonic()
        with (claim.directory / DOCUMENT).open("rb") as source, part.open("wb") as target:
            for data in redact_file(source, decompressor, redactor):
                if self._stopping.is_set():
                    raise _StoppingError
                if claim.cancelled:
                    raise _CancelledError
                target.write(data)
                if time.monotonic() - noted > PROGRESS_INTERVAL:
                    noted = time.monotonic()
                    claim.save(done=source.tell())
            target.flush()
            os.fsync(target.fileno())
        part.replace(claim.directory / RESULT)
        self._end(claim, Status.SUCCEEDED, None)
        PREDICTIONS.inc()
        for entity_type, count in redactor.found.items():
            PII_DETECTED.labels(entity_type).inc(count)

    def _end(self, claim: Claim, status: Status, error: str | None) -> None:
        done = claim.record.size if status is Status.SUCCEEDED else claim.record.done
        claim.save(status=status, finished=now(), error=error, done=done)
        JOBS.labels(status.value).inc()
        logger.info("job %s", status.value)


def sweep(store: JobStore, queue: Queue) -> None:
    """Put jobs into the queue that are in nobody's hands and not in it: retries, and what a killed process held."""
    waiting = queue.waiting()
    moment = now()
    queued: list[Record] = []
    for record in store.all():
        if record.status in FINAL:
            continue
        with store.claim(record.id) as claim:
            free = claim is not None
        if not free:
            continue
        queued.append(record)
        if record.id not in waiting and (record.not_before is None or record.not_before <= moment):
            queue.put(record.id)
    JOB_QUEUE_DEPTH.set(len(queued))
    JOB_QUEUE_AGE.set(max(((moment - record.created).total_seconds() for record in queued), default=0))


@contextmanager
def _telemetry(record: Record) -> Iterator[None]:
    """Give logs the ids of the request that made the job; when that was traced, continue its trace."""
    context = RequestContext(record.request_id or record.id)
    token = current_request.set(context)
    try:
        if record.traceparent is None:
            yield
            return
        parent = TraceContextTextMapPropagator().extract({"traceparent": record.traceparent})
        with tracer.start_as_current_span("job", parent, trace.SpanKind.CONSUMER) as span:
            ids = span.get_span_context()
            context.trace_id = trace.format_trace_id(ids.trace_id)
            context.span_id = trace.format_span_id(ids.span_id)
            context.sampled = True
            yield
    finally:
        current_request.reset(token)
