"""How much work waits: told by job processes as they sweep, and by the API, which is there when none of them is."""

import asyncio
import logging
import time

from prometheus_client import Gauge

from api.privacy.jobs.record import now
from api.privacy.jobs.state.interface import Waiting
from api.privacy.jobs.store import JobStore
from api.privacy.jobs.threads import in_thread

JOB_QUEUE_DEPTH = Gauge("job_queue_depth", "Jobs that wait for a job process.")
JOBS_UNFINISHED = Gauge("jobs_unfinished", "Jobs that wait for a job process or are in one's hands.")
JOB_QUEUE_AGE = Gauge("job_queue_age_seconds", "Age of the oldest job that waits for a job process, 0 when none does.")

INTERVAL_SECONDS = 2.0
SHARE = 0.05
"""Of a process's time, at most: what waits is counted."""

logger = logging.getLogger(__name__)


def tell(store: JobStore) -> tuple[Waiting, list[str]]:
    """Count jobs for the metrics, and give what `JobStore.waiting` does."""
    waiting, some = store.waiting(moment := now())
    JOB_QUEUE_DEPTH.set(waiting.jobs)
    JOBS_UNFINISHED.set(waiting.unfinished)
    JOB_QUEUE_AGE.set((moment - waiting.oldest).total_seconds() if waiting.oldest else 0)
    return waiting, some


def pause_after(seconds: float) -> float:
    """Give the seconds to wait after a count, and what was done about it, that took so many."""
    return max(INTERVAL_SECONDS, seconds / SHARE)


async def keep_telling(store: JobStore) -> None:
    """Tell again and again; while the disk or the database is gone, what was told last stays."""
    opened = False
    while True:
        begun, pause = time.monotonic(), INTERVAL_SECONDS
        try:
            await in_thread(tell, store)
            if opened:  # the first count has waited for more than a count
                pause = pause_after(time.monotonic() - begun)
            opened = True
        except OSError as error:
            logger.debug("the jobs that wait could not be counted: %s", error.strerror)
            opened = False
        except Exception as error:  # such as a row of a newer version's; the next count may find none
            logger.error("the jobs that wait could not be counted: %s", type(error).__name__)
            opened = False
        await asyncio.sleep(pause)
