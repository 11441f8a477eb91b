"""What a job process does with jobs: which is next, its attempts and its end, and the sweep for forgotten ones."""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from threading import Event, Lock

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Histogram

from api.privacy.coding import Decompressor
from api.privacy.findings import Finding, Model
from api.privacy.formats.document import DocumentError
from api.privacy.formats.redaction import make_redactor, redact_file
from api.privacy.jobs import depth
from api.privacy.jobs.queue import Queue
from api.privacy.jobs.record import FINAL, Record, Status, now
from api.privacy.jobs.state.interface import AwayError, LostError
from api.privacy.jobs.store import Claim, JobStore
from api.privacy.metrics import JOBS, MODEL_ERRORS, PII_DETECTED, PREDICTIONS
from api.privacy.redactor import Redactor
from api.privacy.turns import Turns, take
from api.problem import ProblemError
from api.settings import Settings
from sightglass.context import RequestContext, current_request

PROGRESS_INTERVAL_SECONDS = 2.0
"""Between two notes of a job's progress."""
BACK_OFF_SECONDS = 2.0
"""Before the second attempt; each further one waits twice as long."""
DISK_PAUSE_SECONDS = 10.0
"""Before a job that the disk had no room for is looked at again."""
INTERRUPTIONS = 20
"""Attempts that may end with their process: being killed is no fault of a job, but one that kills has to end."""

AT_ONCE = 4
"""Jobs of a process that take turns; one client has all but one of them at most, so the next one's begins at once."""
SWEPT = 100
"""Messages that a sweep puts into the queue at most."""

JOB_DURATION = Histogram(
    "job_duration_seconds",
    "From the start of an attempt at a job to its end, by attempt.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400),
)

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)


class _CancelledError(Exception):
    """Its owner wants the job gone."""


class _StoppingError(Exception):
    """The process is asked to end: the job goes back, and the attempt does not count."""


class _TooMuchWorkError(Exception):
    """The job has had the model for as long as one may."""


class Runner:
    """Works on jobs, several at once: their steps share one thread fairly between clients."""

    def __init__(
        self, settings: Settings, store: JobStore, model: Model, stopping: Event, at_once: int = AT_ONCE
    ) -> None:
        self.turns = Turns("model")
        self._settings = settings
        self._store = store
        self._model = model
        self._stopping = stopping
        self._most = max(1, at_once - 1)
        self._choosing = Lock()
        self._running: Counter[str] = Counter()
        self._begun: dict[str, int] = {}
        self._jobs = 0

    def run_all(self) -> None:
        """Work on one job after the other, in the calling thread, until none is left that it may begin."""
        while self.run_next():
            pass

    def run_next(self) -> bool:
        """Bring the fairest job to an end, or leave it for another attempt; False when there is none to begin."""
        with ExitStack() as held:
            with self._choosing:
                claim = None if self._stopping.is_set() else self._choose(held)
                if claim is None:
                    return False
                client = claim.record.client
                self._running[client] += 1
            try:
                return self._work(claim)
            finally:
                with self._choosing:
                    self._running[client] -= 1
                    if not self._running[client]:
                        del self._running[client]

    def _choose(self, held: ExitStack) -> Claim | None:
        """Hold the oldest job of whoever has the fewest running here and, among those, was chosen the longest ago."""
        moment = now()
        clients = self._store.clients()
        self._begun = {client: self._begun[client] for client in clients if client in self._begun}
        free = [client for client in clients if self._running[client] < self._most]
        for client in sorted(free, key=lambda name: (self._running[name], self._begun.get(name, 0))):
            claim = held.enter_context(self._store.claim_due(client, moment))
            if claim:
                self._jobs += 1
                self._begun[client] = self._jobs
                return claim
        return None

    def run(self, job_id: str) -> None:
        """Bring the job to an end, or leave it for another attempt; no error of it is raised."""
        with self._store.claim(job_id) as claim:
            if claim and claim.record.status not in FINAL and not self._stopping.is_set():
                self._work(claim)

    def _work(self, claim: Claim) -> bool:
        """Make an attempt; False when it is as if there had been none."""
        with _telemetry(claim.record), JOB_DURATION.time():
            try:
                self._attempt(claim)
                if claim.cancelled:  # as it was ending
                    self._store.remove(claim)
            except Exception as error:
                # The disk took no record. The model's error may have gone before it, with the text in its message:
                # neither a span nor the queue's log may have them.
                logger.error("job left as it was: %s", type(error).__name__, extra=_about(claim))
                return False
        return True

    def _attempt(self, claim: Claim) -> None:
        failed, interruptions = claim.record.attempts, claim.record.interruptions
        if claim.record.status is Status.RUNNING:  # the last attempt ended with its process
            failed, interruptions = failed - 1, interruptions + 1
        try:
            if claim.cancelled:
                raise _CancelledError
            if interruptions == INTERRUPTIONS:
                self._end(claim, Status.DEAD, "The job ended its process too often", interruptions=interruptions)
                return
            claim.save(status=Status.RUNNING, attempts=failed + 1, interruptions=interruptions, started=now(), done=0)
            self._redact(claim)
        except _CancelledError:
            self._store.remove(claim)
            JOBS.labels("cancelled").inc()
            logger.info("job cancelled", extra=_about(claim))
        except _StoppingError:
            claim.save(status=Status.QUEUED, attempts=failed)
        except _TooMuchWorkError:
            self._end(claim, Status.FAILED, "The document takes more CPU time than a job may")
        except ProblemError as error:
            self._end(claim, Status.FAILED, error.detail)
        except LostError:
            raise
        except FileNotFoundError:  # its bucket or disk has lost it; or this machine has another's
            logger.error("attempt %d failed: the document is not there", failed + 1, extra=_about(claim))
            self._try_again(claim, failed)
        except OSError as error:  # no fault of the document's or the model's
            what = (
                error.strerror if isinstance(error, AwayError) else f"the disk failed: {os.strerror(error.errno or 0)}"
            )
            logger.error("%s", what, extra=_about(claim))
            self._put_off(claim, DISK_PAUSE_SECONDS, attempts=failed)
        except Exception as error:
            # Its message may hold the text.
            logger.error("attempt %d failed: %s", failed + 1, type(error).__name__, extra=_about(claim))
            MODEL_ERRORS.inc()
            self._try_again(claim, failed)

    def _redact(self, claim: Claim) -> None:
        record = claim.record
        if record.language not in self._model.languages:
            raise DocumentError("The job process's model does not have the language")
        find = partial(self._find, record)
        redactor = make_redactor(record.media_type, record.charset, find, record.delimiter)
        decompressor = Decompressor(record.coding, self._settings.max_request_size_bytes)
        self._write(claim, decompressor, redactor)
        self._end(claim, Status.SUCCEEDED, None, result=claim.result)
        PREDICTIONS.inc()
        for entity_type, count in redactor.found.items():
            PII_DETECTED.labels(entity_type).inc(count)

    def _find(self, record: Record, text: str) -> list[Finding]:
        try:
            return self._model.find(text, record.language, record.min_confidence)
        except OSError:
            raise RuntimeError from None  # the model's trouble, not the disk's

    def _write(self, claim: Claim, decompressor: Decompressor, redactor: Redactor) -> None:
        noted = time.monotonic()
        left = float(self._settings.job_cpu_seconds)
        with claim.open_document() as source, claim.create_result() as target:
            steps = redact_file(source, decompressor, redactor)
            context = copy_context()
            write: Callable[[bytes], int] = target.write

            def turn() -> bool:
                nonlocal left
                begun = time.thread_time()
                more = context.run(take, steps, write)
                left -= time.thread_time() - begun
                return more

            while self.turns.run(claim.record.client, turn):
                if self._stopping.is_set():
                    raise _StoppingError
                if claim.cancelled:
                    raise _CancelledError
                if left <= 0:
                    raise _TooMuchWorkError
                if time.monotonic() - noted > PROGRESS_INTERVAL_SECONDS:
                    noted = time.monotonic()
                    claim.save(done=source.tell())
            target.keep()

    def _try_again(self, claim: Claim, failed: int) -> None:
        """Put off a job whose attempt has failed after so many, or give it up."""
        if failed + 1 >= self._settings.job_attempts:
            self._end(claim, Status.DEAD, "Every attempt failed")
        else:
            self._put_off(claim, BACK_OFF_SECONDS * 2**failed)

    def _put_off(self, claim: Claim, seconds: float, **changes: object) -> None:
        claim.save(status=Status.QUEUED, not_before=now() + timedelta(seconds=seconds), **changes)
        JOBS.labels("retried").inc()

    def _end(self, claim: Claim, status: Status, error: str | None, **changes: object) -> None:
        done = claim.record.size if status is Status.SUCCEEDED else claim.record.done
        claim.save(status=status, finished=now(), not_before=None, error=error, done=done, **changes)
        JOBS.labels(status.value).inc()
        level = logging.ERROR if status is Status.DEAD else logging.INFO
        logger.log(level, "job %s", status.value, extra=_about(claim))
        with suppress(OSError):  # then the sweep does it
            if not claim.cancelled:  # else all of it goes
                claim.drop_original()
                self._store.keep_within_share(claim.record.client, claim.record.id)


def sweep(store: JobStore, queue: Queue) -> None:
    """Put messages into the queue for jobs that it has forgotten: retries, and what a killed process held."""
    waiting, some = depth.tell(store)  # before the queue is asked: what waits while it is gone is told all the same
    for job_id in some[: max(0, min(waiting.due - len(queue), SWEPT))]:
        queue.put(job_id)


def _about(claim: Claim) -> dict[str, str]:
    """Give what a log line says of a job; the reason is one of our own texts."""
    reason = {"reason": claim.record.error} if claim.record.error else {}
    return {"job_id": claim.record.id, **reason}


@contextmanager
def _telemetry(record: Record) -> Iterator[None]:
    """Give logs the ids of the request that made the job; when that was traced, continue its trace."""
    context = RequestContext(record.request_id or record.id, record.trace_id)
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
