"""Job processes that are killed, over PostgreSQL: with documents in files, and in S3."""

# ruff: noqa: F401, F811  (fixtures)

import re
import time

from api.privacy.jobs.record import Status
from api.privacy.jobs.routes import PATH
from tests.state.conftest import bucket, database, jobs, kept
from tests.support.jobs import Jobs
from tests.support.service import eventually
from tests.support.workers import workers


def test_a_job_process_that_is_killed_loses_no_job(jobs: Jobs) -> None:
    """The rest of its lease later, another has its jobs."""
    texts = {}
    for number in range(12):
        text = f"{number} Zaphod " + "and so on " * 4000
        texts[jobs.create(text).json()["id"]] = text
    with workers(jobs.settings, 2) as running:
        for _ in range(3):
            eventually(lambda: any(record.status is Status.RUNNING for record in jobs.all()))
            running[0].kill()
            time.sleep(1)
        for job in texts:
            eventually(lambda job=job: jobs.store.get(job).status is Status.SUCCEEDED, deadline=600)  # type: ignore[misc, union-attr]
    for job, text in texts.items():
        assert jobs.client.get(f"{PATH}/{job}/result").text == text.replace("Zaphod", "[WORD]")
    assert {record.attempts for record in jobs.all()} == {1}
    results = [re.sub(r".*/", "", name) for name in jobs.left() if "/result" in name]
    assert len(results) >= len(texts)
