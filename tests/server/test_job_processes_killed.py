"""Job processes that do not live for long."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.privacy.jobs.record import Status
from api.settings import Settings
from tests.support.jobs import Jobs
from tests.support.service import StubModel, eventually, serving, words

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with serving(lambda _: StubModel(words("Zaphod")), runs_dir=tmp_path) as client:
        yield Jobs(client, Settings(runs_dir=tmp_path))


def test_job_processes_killed_at_random_lose_no_job_and_do_none_twice(jobs: Jobs, tmp_path: Path) -> None:
    """Every job ends succeeded, with the right result, though no process lives for long; with the default attempts."""
    texts = [f"{n} " + "Zaphod lorem ipsum " * (200 * (n % 4) + 1) for n in range(16)]
    wheres = [jobs.create(text).headers["location"] for text in texts]
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def spawn() -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / "tests/support/stub_job_process.py"), str(jobs.settings.runs_dir)]
        with log.open("ab") as said:
            return subprocess.Popen(command, env=environment, stderr=said)

    def unfinished() -> int:
        return sum(record.status is not Status.SUCCEEDED for record in jobs.all())

    chance = random.Random(4711)
    processes = [spawn() for _ in range(2)]
    kills = 0
    try:
        while unfinished() and kills < 12:
            before = {record.id: record.started for record in jobs.all()}
            eventually(
                lambda: not unfinished() or any(r.started != before[r.id] for r in jobs.all()),  # noqa: B023
                longest_pause=0.01,  # the moment a job begins
            )
            time.sleep(chance.uniform(0, 0.1))
            victim = chance.randrange(2)
            processes[victim].kill()
            processes[victim].wait(30)
            kills += 1
            processes[victim] = spawn()
        eventually(lambda: not unfinished())
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert {process.wait(30) for process in processes} <= {0, -signal.SIGTERM}
    assert kills >= 3
    assert any(record.interruptions for record in jobs.all())
    for text, where in zip(texts, wheres, strict=True):
        assert jobs.client.get(f"{where}/result").text == text.replace("Zaphod", "[WORD]")
    assert len(jobs.all()) == len(texts)
    assert log.read_text().count("job succeeded") <= len(texts)
