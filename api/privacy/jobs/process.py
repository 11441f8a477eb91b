"""A job process: works on jobs, a few at a time, until told to stop. Run as many as there are cores.

It is two processes: one works, and a `supervisor` replaces it when it hangs and tells its metrics on `METRICS_PORT`.
SIGTERM and SIGINT end it within a window of the model; its jobs go back.
"""

import logging
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event

from api.privacy.findings import Model, ModelError, load_model
from api.privacy.jobs import depth, upkeep
from api.privacy.jobs.queue import open_queue
from api.privacy.jobs.runner import AT_ONCE, Runner, sweep
from api.privacy.jobs.store import JobStore
from api.privacy.jobs.supervisor import Heart, Supervisor
from api.privacy.metrics import MODEL_READY
from api.settings import Settings, load_settings_or_exit
from sightglass.logs.setup import configure_logging
from sightglass.metrics import exporter
from sightglass.metrics.process import this_process

LONGEST_STEP_SECONDS = 60.0
"""After which a step of the model counts as hung: a window's search ends after one."""

logger = logging.getLogger("api.privacy.jobs.process")  # it runs as __main__


def work(
    settings: Settings,
    stopping: Event,
    load: Callable[[Path | None], Model] = load_model,
    heart: Heart | None = None,
) -> None:
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
    store = JobStore(settings)
    runner = Runner(settings, store, model, stopping)
    if heart:
        heart.moves = lambda: runner.turns.busy() < LONGEST_STEP_SECONDS
    queue = open_queue(settings, lambda _: runner.run_all())
    stop = queue.start(AT_ONCE)
    logger.info("job process started")
    expired = 0.0
    pause = depth.INTERVAL_SECONDS
    while not stopping.wait(pause):
        begun = time.monotonic()
        try:
            if time.monotonic() - expired > upkeep.EXPIRE_INTERVAL_SECONDS:  # first, as it needs no queue
                expired = time.monotonic()
                store.expire_old()
            sweep(store, queue)
        except Exception:  # a queue or disk that is gone may come back
            logger.exception("the sweep failed")
        pause = depth.pause_after(time.monotonic() - begun)
    stop()


def main() -> None:
    """Run a job process."""
    settings = load_settings_or_exit()
    configure_logging(settings)
    logging.getLogger("huey").setLevel(logging.WARNING)  # two lines a job
    exporter.start(settings.metrics_port, host=settings.host)
    try:
        Supervisor(partial(_work, settings)).supervise()
        time.sleep(settings.jobs_last_scrape)  # what was counted last is told as well
    finally:
        exporter.stop()


def _work(settings: Settings, heart: Heart) -> None:
    exporter.after_fork()
    this_process.listen()
    try:
        if not settings.tracing_enabled:
            work(settings, Event(), heart=heart)
            return
        # OpenTelemetry, for those who trace
        from sightglass.tracing.provider import shut_down, start_provider
        from sightglass.tracing.sampling import Sampling

        provider = start_provider(settings, Sampling(settings).sampler(parent_decides=True))
        work(settings, Event(), heart=heart)
        shut_down(provider)
    finally:
        this_process.keep()


if __name__ == "__main__":
    main()
