"""A service and what works on its jobs."""

import threading
from datetime import timedelta
from typing import Any

from fastapi.testclient import TestClient

from api.privacy.jobs.queue import Messages, open_queue
from api.privacy.jobs.record import Record, now, sortable
from api.privacy.jobs.routes import PATH
from api.privacy.jobs.runner import Runner
from api.privacy.jobs.state.directory import LOCK
from api.privacy.jobs.state.interface import Entry
from api.privacy.jobs.store import JobStore
from api.settings import Settings
from tests.support.service import StubModel, words

PLAIN = {"Content-Type": "text/plain"}


class Jobs:
    """A service and, when a test says so, a runner at its jobs."""

    def __init__(self, client: TestClient, settings: Settings) -> None:
        self.client = client
        self.settings = settings
        self.store = JobStore(settings)
        self.rows = self.store._rows
        self.stopping = threading.Event()

    def create(self, text: str | bytes = "Zaphod", **headers: str) -> Any:
        return self.client.post(PATH, content=text, headers={**PLAIN, **headers})

    def runner(self, model: StubModel | None = None) -> Runner:
        return Runner(self.settings, self.store, model or StubModel(words("Zaphod")), self.stopping)

    def named(self) -> list[str]:
        """Give the jobs that job processes are told of, or would find by themselves."""
        queue = open_queue(self.settings)
        if isinstance(queue, Messages):
            return [task.args[0] for task in queue.huey.pending()]
        query = "SELECT id FROM jobs WHERE to_do IS NOT NULL AND (not_before IS NULL OR not_before <= ?)"
        return self.rows._column(query, sortable(now()))  # type: ignore[attr-defined, no-any-return]

    def hear(self) -> None:
        """Have job processes hear now what they would within seconds."""
        if self.settings.database_url:
            self.rows.renew()  # type: ignore[attr-defined]

    def left(self) -> list[str]:
        """Give the documents and results that there are."""
        if self.settings.documents_url:
            return sorted(one["Key"] for one in self.store.documents._objects("documents"))  # type: ignore[attr-defined]
        files = (self.settings.runs_dir / "documents").rglob("*")
        return sorted(str(path) for path in files if path.name != LOCK)

    def taken(self) -> dict[str, int]:
        """Give the room that is charged to each client."""
        with self.rows._read() as rows:  # type: ignore[attr-defined]
            return dict(rows.execute("SELECT client, bytes FROM clients"))

    def example(self) -> Record:
        """Give the record of a job that was, for others to be like it."""
        with self.store.claim(self.create().json()["id"]) as claim:
            assert claim
            self.store.remove(claim)
            return claim.record

    def all(self) -> list[Record]:
        """Give all jobs, the oldest first."""
        return self.store.page(None, limit=1000)[::-1]

    def work(self, model: StubModel | None = None) -> None:
        for record in self.all():
            self.runner(model).run(record.id)


def entry(record: Record, number: int, **changes: object) -> Entry:
    """Give a job like another, of one form with its likes; the higher its number, the younger it is."""
    named = {"id": f"{number:032x}", "directory": f"documents/x/{number}", "batch": "b" * 32}
    created = record.created + timedelta(seconds=number)
    return Entry(named["directory"], 1, record.model_copy(update={**named, "created": created, **changes}))
