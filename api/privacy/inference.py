"""The model at work in one process: loaded in the background, its use bounded, the event loop left free."""

import asyncio
import contextvars
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from api.privacy.findings import Model, ModelError
from api.privacy.metrics import (
    MODEL_ERRORS,
    MODEL_PLACES,
    MODEL_PLACES_TAKEN,
    MODEL_READY,
    MODEL_REJECTIONS,
    PREDICTIONS,
)
from api.privacy.turns import Turns
from api.problem import ProblemError

# How long a thread of the model may keep the event loop, or another's short step, waiting for the lock, in seconds: a
# 25th of Python's default. A request takes the lock several times.
SWITCH_INTERVAL_SECONDS = 0.0002
THREADS = 2
"""One for who is served, one for who comes meanwhile."""
# How long a request waits for a model that is still loading, in seconds: a worker takes requests before it has one, and
# the successor of one that ended (`GUNICORN_MAX_REQUESTS`, a reload, a crash) does so beside others that work.
LOADING_PATIENCE_SECONDS = 5.0
RETRY_AFTER = {"Retry-After": "1"}

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Inference:
    """Loads the model and lets a bounded number of texts share it; clients take turns window by window."""

    def __init__(self, load: Callable[[], Model], *, texts: int, documents: int) -> None:
        """Let so many texts, and apart from them so many documents, of one client share the model at once."""
        self.texts = Places(texts, "texts")
        self.documents = Places(documents, "documents")
        self._waiting = Places(texts, "loading")
        self._load = load
        self._loading: Future[None] | None = None
        self._turns = Turns("inference", threads=THREADS)
        self._model: Model | None = None
        self._reason = "the model is loading"

    def start(self) -> None:
        """Load the model in the background; `check` tells how far it is."""
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        MODEL_READY.set(0)
        self._loading = self._turns.submit("", self._start)

    def stop(self) -> None:
        """Take no more work; what runs in the thread ends with its window."""
        MODEL_READY.set(0)
        self._turns.stop()

    def check(self) -> str | None:
        """Give the reason the model cannot be used, None when it can: a readiness check."""
        return None if self._model else self._reason

    async def model(self, client: str = "") -> Model:
        """Give the loaded model, or wait for it up to `LOADING_PATIENCE_SECONDS`.

        Raises:
            ProblemError: 503, it failed to load, takes longer, or as many as may search texts are waiting already.

        """
        if self._model is None and self._loading is not None:
            with self._waiting.taken(client):
                await asyncio.wait([asyncio.wrap_future(self._loading)], timeout=LOADING_PATIENCE_SECONDS)
        if self._model is None:
            raise ProblemError(503, "The model is not ready", headers=RETRY_AFTER)
        return self._model

    @contextmanager
    def work(self, places: "Places", client: str) -> Iterator["Work"]:
        """Hold a place of `texts` or `documents`; on the way out without an error the work counts as done.

        Raises:
            ProblemError: 503, there is no place for the client.

        """
        work = Work(self._turns, client)
        with places.taken(client):
            yield work
        PREDICTIONS.inc()

    def _start(self) -> None:
        started = time.perf_counter()
        try:
            self._model = self._load()
        except ModelError as error:
            self._reason = f"the model failed to load: {error}"
            logger.error("%s", self._reason)
        except Exception:
            self._reason = "the model failed to load"
            logger.exception("the model failed to load")
        else:
            MODEL_READY.set(1)
            logger.info("model loaded in %.1f s", time.perf_counter() - started)


class Places:
    """Who may come in; only the event loop counts.

    A client alone may have all places. While all are taken, by whomever, as many again are there for those who hold
    less than an even part of them, and for who holds none.
    """

    def __init__(self, places: int, kind: str) -> None:
        """Have so many places, told in the metrics as those of a ``kind``."""
        MODEL_PLACES.labels(kind).set(places)
        self._taken = MODEL_PLACES_TAKEN.labels(kind)
        self._places = places
        self._held: Counter[str] = Counter()

    @property
    def taken_by_all(self) -> int:
        """How many are taken."""
        return self._held.total()

    def check(self, client: str) -> None:
        """Raise a 503, counted, when the client may not come in."""
        taken = self.taken_by_all
        if taken < self._places:
            return
        held = self._held[client]
        clients = len(self._held) + (not held)
        if taken >= 2 * self._places or held >= max(1, self._places // clients):
            MODEL_REJECTIONS.inc()
            raise ProblemError(503, "The model is busy", headers=RETRY_AFTER)

    @contextmanager
    def taken(self, client: str) -> Iterator[None]:
        """Hold a place; raises as `check`."""
        self.check(client)
        self._held[client] += 1
        self._taken.inc()
        try:
            yield
        finally:
            self._taken.dec()
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]


class Work:
    """One text's or document's use of the model's thread; `seconds` is how long its steps ran there so far."""

    def __init__(self, turns: Turns, client: str) -> None:
        self._turns = turns
        self._client = client
        self._abandoned = False
        self.seconds = 0.0

    async def step(self, function: Callable[[], T]) -> T:
        """Run one short step in the model's thread; other clients' steps run between two of them.

        Raises:
            ProblemError: whatever the function raises as such; else 500, without a word of the text.

        """
        # The thread's logs carry the ids of the request.
        run = contextvars.copy_context().run
        try:
            return await asyncio.wrap_future(self._turns.submit(self._client, partial(run, self._timed, function)))
        except asyncio.CancelledError:
            self._abandoned = True
            raise

    def _timed(self, function: Callable[[], T]) -> T:
        started = time.perf_counter()
        try:
            return function()
        except ProblemError:
            raise
        except Exception as error:
            if not self._abandoned:  # else it failed for want of what its caller closed, and nobody waits for it
                MODEL_ERRORS.inc()
                # Its message and its frames' values may hold the text.
                logger.error("the model failed: %s", type(error).__name__)
            raise ProblemError(500, "The model failed") from None
        finally:
            self.seconds += time.perf_counter() - started
