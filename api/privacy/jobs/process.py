"""A job process: works on jobs, one at a time, until told to stop. Run as many as there are cores.

Its metrics are on `METRICS_PORT`. SIGTERM and SIGINT end it within a window of the model; its job goes back.
"""

import logging
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event

from prometheus_client import start_http_server

from api.privacy.findings import Model, ModelError, load_model
from api.privacy.jobs.queue import Queue
from api.privacy.jobs.runner import Runner, sweep
from api.privacy.jobs.store import JobStore, now
from api.privacy.metrics import MODEL_READY
from api.settings import Settings, load_settings_or_exit
from sightglass.logs.setup import configure_logging

SWEEP_INTERVAL = 2.0
EXPIRE_INTERVAL = 60.0
"""Seconds."""
SWEEP_SHARE = 0.05
"""Of a process's time, at most: a sweep reads every job there is, 30 µs each."""

logger = logging.getLogger("api.privacy.jobs.process")  # it runs as __main__


def work(settings: Settings, stopping: Event, load: Callable[[Path | None], Model] = load_model) -> None:
    """Work on jobs until told to stop. A model that does not load is logged and leaves the process idle, not ended."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    MODEL_READY.set(0)
    try:
        model = load(settings.model_path)
    except ModelError as error:
        logger.error("the model failed to load: %s", error)
        stopping.wait()
        return
    MODEL_READY.set(1)
    store = JobStore(settings.runs_dir)
    queue = Queue(settings, Runner(settings, store, model, stopping).run)
    consumer = queue.huey.create_consumer(workers=1, periodic=False, max_delay=1.0)
    consumer._set_signal_handlers = lambda: None  # ours are set already
    consumer.start()
    logger.info("job process started")
    expired = 0.0
    pause = SWEEP_INTERVAL
    while not stopping.wait(pause):
        begun = time.monotonic()
        try:
            if time.monotonic() - expired > EXPIRE_INTERVAL:  # first, as it needs no queue
                expired = time.monotonic()
                store.expire(now() - timedelta(hours=settings.job_retention_hours), settings.job_retention_bytes)
            sweep(store, queue)
        except Exception:  # a queue or disk that is gone may come back
            logger.exception("the sweep failed")
        pause = pause_after(time.monotonic() - begun)
    consumer.stop(graceful=True)


def pause_after(sweep: float) -> float:
    """Give the seconds to wait after a sweep that took so many."""
    return max(SWEEP_INTERVAL, sweep / SWEEP_SHARE)


def main() -> None:
    """Run a job process."""
    settings = load_settings_or_exit()
    configure_logging(settings)
    logging.getLogger("huey").setLevel(logging.WARNING)  # two lines a job
    start_http_server(settings.metrics_port)
    if not settings.tracing_enabled:
        work(settings, Event())
        return
    # OpenTelemetry, for those who trace
    from sightglass.tracing.provider import shut_down, start_provider
    from sightglass.tracing.sampling import Sampling

    provider = start_provider(settings, Sampling(settings).sampler())
    work(settings, Event())
    shut_down(provider)


if __name__ == "__main__":
    main()
