"""The task queue: huey over SQLite in `RUNS_DIR`, or over Redis or Valkey when `QUEUE_URL` names one.

It says that there is work, once for each job; `store` keeps the jobs, and `runner` chooses among them. With a
`DATABASE_URL` and no `QUEUE_URL` nobody needs to say so: the database is asked.
"""

import json
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol
from urllib.parse import urlsplit

from huey import Huey, RedisHuey, SqliteHuey  # type: ignore[import-untyped]
from huey.registry import Message  # type: ignore[import-untyped]
from huey.serializer import Serializer  # type: ignore[import-untyped]
from redis import ConnectionPool, CredentialProvider

from api.settings import Settings

NAME = "jobs"
PAUSE_SECONDS = 1.0
"""Between two looks for work, where there was none."""
VALKEY, PASSWORD = "valkey", Path("/run/valkey/password")
"""The profile's own server, and the file of its password (docker/valkey)."""


logger = logging.getLogger(__name__)


class JsonSerializer(Serializer):  # type: ignore[misc]
    """Messages as JSON: huey's own pickles run whatever someone puts into the queue."""

    def _serialize(self, data: Any) -> bytes:
        return json.dumps(data).encode()

    def _deserialize(self, data: bytes) -> Any:
        return Message(*json.loads(data))


class PasswordFile(CredentialProvider):
    """Reads the password at each new connection, so that it can change."""

    def get_credentials(self) -> tuple[str]:
        """Return the password, of the default user.

        Raises:
            OSError: it cannot be read.

        """
        return (PASSWORD.read_text(),)


def pool(url: str) -> ConnectionPool:
    """Return the connections to a queue: a URL's own password counts, and the stack's own Valkey has its in a file."""
    server = urlsplit(url)
    if server.netloc.partition(":")[0] == VALKEY and PASSWORD.exists():
        return ConnectionPool.from_url(url, credential_provider=PasswordFile())
    return ConnectionPool.from_url(url)


class Queue(Protocol):
    """Wakes job processes."""

    def put(self, job_id: str) -> None:
        """Name a job. Raises what the back end raises when it is gone; a sweep will name it then."""

    def __len__(self) -> int:
        """Count the messages that no job process has taken yet."""

    def start(self, threads: int) -> Callable[[], None]:
        """Begin to run what is to be run for each message; gives what ends it, when the last has ended."""


def open_queue(settings: Settings, run: Callable[[str], None] = lambda _: None) -> Queue:
    """Choose the queue. Take what a job process runs for each message; who only puts some in needs none."""
    return Asking(run) if settings.database_url and not settings.queue_url else Messages(settings, run)


class Asking:
    """No queue: job processes look for work by themselves, every `PAUSE_SECONDS`."""

    def __init__(self, run: Callable[[str], None]) -> None:
        self._run = run

    def put(self, job_id: str) -> None:
        """Do nothing: the job is in the database."""

    def __len__(self) -> int:
        """Count no messages."""
        return 0

    def start(self, threads: int) -> Callable[[], None]:
        """Begin to look for work."""
        stopping = Event()

        def look() -> None:
            while not stopping.wait(PAUSE_SECONDS):
                try:
                    self._run("")
                except Exception as error:  # a database that is gone may come back
                    logger.error("no work could be looked for: %s", type(error).__name__)

        started = [Thread(target=look, name=f"work-{number}") for number in range(threads)]
        for thread in started:
            thread.start()

        def stop() -> None:
            stopping.set()
            for thread in started:
                thread.join()

        return stop


class Messages:
    """Messages in huey. Opened at first use, in the process that uses it."""

    def __init__(self, settings: Settings, run: Callable[[str], None] = lambda _: None) -> None:
        """Take what a job process runs for each message."""
        self._settings = settings
        self._run = run

    @cached_property
    def _opened(self) -> tuple[Huey, Callable[[str], object]]:
        options = {"serializer": JsonSerializer(), "results": False}
        if self._settings.queue_url:
            huey = RedisHuey(NAME, connection_pool=pool(self._settings.queue_url), **options)
        else:
            self._settings.runs_dir.mkdir(parents=True, exist_ok=True)
            huey = SqliteHuey(NAME, filename=str(self._settings.runs_dir / "queue.db"), **options)

        def run_job(job_id: str) -> None:
            """Stand for the task under one name: huey takes it from the function and its module."""
            self._run(job_id)

        return huey, huey.task()(run_job)

    @property
    def huey(self) -> Huey:
        """The queue as the library has it."""
        return self._opened[0]

    def put(self, job_id: str) -> None:
        """Name a job. Raises what the back end raises when it is gone; a sweep will name it then."""
        self._opened[1](job_id)

    def start(self, threads: int) -> Callable[[], None]:
        """Begin to take messages."""
        consumer = self.huey.create_consumer(workers=threads, periodic=False, max_delay=PAUSE_SECONDS)
        consumer._set_signal_handlers = lambda: None  # ours are set already
        consumer.start()

        def stop() -> None:
            consumer.stop(graceful=True)

        return stop

    def __len__(self) -> int:
        """Count the messages that no job process has taken yet."""
        return int(self.huey.pending_count())
