"""All is lost but the backup and its password, and two commands bring it back: the same numbers, silences and jobs."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.privacy.jobs.runner import AT_ONCE
from tests.stack import Stack, docker, eventually, running_stack
from tests.support.backups import password, silence, silences

COUNTED = "sum by (route, method, status) (http_requests_total)"
QUERIES = [
    COUNTED, 'count by (job) ({__name__!=""})', "sum by (job) (scrape_samples_scraped)",
    "sum by (route, status) (edge_http_requests_total)", "sum(increase(http_requests_total[2m]))",
]  # fmt: skip
LARGE = b"A word to ana@example.org, 4111 1111 1111 1111, and more of that. " * 30_000


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    settings = {"BACKUP_DIR": str(tmp_path / "backups"), "RATE_LIMIT": "1000", "RATE_BURST": "1000"}
    with running_stack(profiles=["monitoring"], **settings) as running:
        yield running


def at(stack: Stack, expression: str, moment: float) -> list[dict[str, Any]]:
    parameters = {"query": expression, "time": f"{moment:.3f}"}
    answer = httpx.get(f"{stack.prometheus_url}/api/v1/query", params=parameters, timeout=60).json()
    assert answer["status"] == "success", answer
    return sorted(answer["data"]["result"], key=str)


def status(client: httpx.Client, job: str) -> str:
    answer = client.get(job)
    return str(answer.json()["status"]) if answer.status_code == 200 else str(answer.status_code)


def test_a_wiped_machine_is_back_by_two_commands(stack: Stack, tmp_path: Path) -> None:
    headers = {"Content-Type": "text/plain"}
    with stack.client() as client:
        for _ in range(20):
            assert client.post("/api/v1/predict", json={"text": "Mail ana@example.org"}).status_code == 200
        finished = client.post("/api/v1/jobs", content=b"Mail ana@example.org", headers=headers).headers["Location"]
        eventually(lambda: status(client, finished) == "succeeded", lambda: stack.logs("jobs"))
        result = client.get(f"{finished}/result").content
        assert b"ana@example.org" not in result
        unfinished = [  # of which one has to wait
            client.post("/api/v1/jobs", content=LARGE, headers=headers).headers["Location"] for _ in range(AT_ONCE)
        ]
        eventually(lambda: "running" in {status(client, job) for job in unfinished}, lambda: stack.logs("jobs"))
        (jobs,) = stack.compose("ps", "--quiet", "jobs").stdout.split()
        docker("pause", jobs)
        before = {job: status(client, job) for job in unfinished}
        assert set(before.values()) == {"running", "queued"}
    silence(stack, "WatchedByNobody")
    (stack.directory / "site/rules").mkdir(parents=True, exist_ok=True)
    (stack.directory / "site/rules/own.yml").write_text("groups: []\n")
    (stack.directory / "app.env").write_text("OF_THE_APPLICATION=1\n")
    (stack.directory / "app.env").chmod(0o600)
    stack.wait_for_scrape()
    moment = time.time()
    stack.wait_for_scrape()
    numbers = {query: at(stack, query, moment) for query in QUERIES}
    assert all(numbers.values())
    certificate, operator = stack.certificate.read_text(), stack.operator

    backed_up = stack.run("make", "backup")
    assert backed_up.returncode == 0, backed_up.stdout + backed_up.stderr
    key = password(stack)
    docker("unpause", jobs)

    early = stack.run("make", "restore")
    assert early.returncode != 0
    assert "restore: the stack runs; expected it to be stopped: make down" in early.stderr

    kept = stack.env_file.read_text()
    stack.compose("--profile", "*", "down", "--volumes")
    for path in (".env", "app.env", ".releases", "site"):
        shutil.rmtree(stack.directory / path, ignore_errors=True)
        (stack.directory / path).unlink(missing_ok=True) if (stack.directory / path).is_file() else None

    # A terminal's environment and nothing else: where it is, and what opens it.
    known = {"BACKUP_DIR": str(tmp_path / "backups")}
    (tmp_path / "key").write_text(f"{key}\n")
    wrong = stack.run("make", "restore", **known, RESTIC_PASSWORD="wrong")
    assert wrong.returncode != 0
    assert "has another password" in wrong.stderr
    restored = stack.run("make", "restore", **known, RESTIC_PASSWORD_FILE=str(tmp_path / "key"))
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert stack.env_file.read_text() == kept
    assert (stack.directory / "app.env").stat().st_mode & 0o777 == 0o600
    assert (stack.directory / "site/rules/own.yml").read_text() == "groups: []\n"
    up = stack.run("make", "up")
    assert up.returncode == 0, up.stdout[-3000:] + up.stderr[-3000:]

    assert {query: at(stack, query, moment) for query in QUERIES} == numbers
    assert "WatchedByNobody" in silences(stack)
    del stack.__dict__["certificate"], stack.__dict__["operator"]
    assert (stack.certificate.read_text(), stack.operator) == (certificate, operator)
    with stack.client() as client:
        assert status(client, finished) == "succeeded"
        assert client.get(f"{finished}/result").content == result
        for job in unfinished:
            eventually(lambda job=job: status(client, job) == "succeeded", lambda: stack.logs("jobs"))  # type: ignore[misc]
            assert b"ana@example.org" not in client.get(f"{job}/result").content
    # It goes on in the same repository, by the same password.
    again = stack.run("make", "backup")
    assert again.returncode == 0, again.stdout + again.stderr
    assert password(stack) == key
    listed: subprocess.CompletedProcess[str] = stack.run("make", "backups")
    assert "2 snapshots" in listed.stdout
