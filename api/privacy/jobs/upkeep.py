"""What the API does about jobs beside taking them, as no job process may be there: it tells of them and clears up."""

import asyncio
import logging
import random

from api.privacy.jobs import depth
from api.privacy.jobs.store import JobStore
from api.privacy.jobs.threads import in_thread

EXPIRE_INTERVAL_SECONDS = 60.0

logger = logging.getLogger(__name__)


async def look_after(store: JobStore) -> None:
    """Do both, until cancelled."""
    await asyncio.gather(depth.keep_telling(store), keep_expiring(store))


async def keep_expiring(store: JobStore) -> None:
    """Have some of what has been kept long enough go, once a minute; each worker does, so not all at once."""
    while True:
        await asyncio.sleep(EXPIRE_INTERVAL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  (no secret)
        try:
            await in_thread(store.expire_some)
        except OSError as error:  # a disk or database that is gone may come back
            logger.debug("old jobs stay for now: %s", error.strerror)
        except Exception as error:
            logger.error("old jobs stay for now: %s", type(error).__name__)
