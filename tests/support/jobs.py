"""A service and what works on its jobs."""

import threading
from typing import Any

from fastapi.testclient import TestClient

from api.privacy.jobs.record import Record
from api.privacy.jobs.routes import PATH
from api.privacy.jobs.runner import Runner
from api.privacy.jobs.store import JobStore
from api.settings import Settings
from tests.support.service import StubModel, words

PLAIN = {"Content-Type": "text/plain"}


class Jobs:
    """A service and, when a test says so, a runner at its jobs."""

    def __init__(self, client: TestClient, settings: Settings) -> None:
        self.client = client
        self.settings = settings
        self.store = JobStore(settings.runs_dir, settings.job_retention_bytes)
        self.stopping = threading.Event()

    def create(self, text: str | bytes = "Zaphod", **headers: str) -> Any:
        return self.client.post(PATH, content=text, headers={**PLAIN, **headers})

    def runner(self, model: StubModel | None = None) -> Runner:
        return Runner(self.settings, self.store, model or StubModel(words("Zaphod")), self.stopping)

    def all(self) -> list[Record]:
        """Give all jobs, the oldest first."""
        return self.store.page(None, limit=1000)[::-1]

    def work(self, model: StubModel | None = None) -> None:
        for record in self.all():
            self.runner(model).run(record.id)
