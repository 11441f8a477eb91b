"""A backup of the stack that runs: restored beside it, it is what was there."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.stack import Stack, docker, eventually
from tests.support.backups import silence

COUNTED = 'http_requests_total{job="api"}'
WINDOW = 60
"""Seconds of samples that are compared."""
JOB = """
import sqlite3, sys
from pathlib import Path
asked = "SELECT status, directory FROM jobs WHERE id = ?"
status, directory = sqlite3.connect("/runs/jobs.db").execute(asked, sys.argv[1:]).fetchone()
print(status, Path("/runs", directory, "result").read_text(), end="")
"""


class Backup:
    """A repository of the stack's, and volumes of another project to restore it to."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        self.stack, self.directory, self.project = stack, directory, f"{stack.project}-other"

    def make(self) -> None:
        made = self.stack.run("make", "backup", BACKUP_DIR=str(self.directory))
        assert made.returncode == 0, made.stdout + made.stderr
        keeps = ("--volume", f"{self.stack.project}_backup:/backup", "--network", "none", "--user", "0:0")
        self.password = docker("run", "--rm", *keeps, self.stack.settings["API_IMAGE"], "cat", "/backup/password")

    def restore(self, *force: str) -> subprocess.CompletedProcess[str]:
        """Do what `make restore` does with volumes, beside the project that runs."""
        compose = "docker compose --profile restore run --rm --no-deps -T restore volumes latest"
        return self.stack.run(
            "bash", "-c", f'echo "$PASSWORD" | {" ".join([compose, *force])}',
            COMPOSE_PROJECT_NAME=self.project, BACKUP_DIR=str(self.directory), PASSWORD=self.password,
        )  # fmt: skip

    def run(self, volume: str, image: str, *command: str) -> str:
        """Run a command over a volume that was restored, mounted at its name."""
        mount = f"{self.project}_{volume}:/{volume}"
        entry, *rest = command
        root = ("--user", "0:0", "--network", "none", "--entrypoint", entry)
        return docker("run", "--rm", "--volume", mount, *root, image, *rest)


@pytest.fixture
def backup(stack: Stack, tmp_path: Path) -> Iterator[Backup]:
    backup = Backup(stack, tmp_path)
    try:
        yield backup
    finally:
        project = f"label=com.docker.compose.project={backup.project}"
        for kind in ("volume", "network"):
            found = docker(kind, "ls", "--quiet", "--filter", project).split()
            subprocess.run(["docker", kind, "rm", *found], capture_output=True, check=False)


Samples = dict[str, list[tuple[int, float]]]
"""Milliseconds since the epoch and values, by series."""


def samples(stack: Stack, moment: float) -> Samples:
    """Return what Prometheus has of the window before a moment."""
    asked = {"query": f"{COUNTED}[{WINDOW}s]", "time": f"{moment:.3f}"}
    answer = httpx.get(f"{stack.prometheus_url}/api/v1/query", params=asked, timeout=60).raise_for_status().json()
    found = {}
    for series in answer["data"]["result"]:
        labels = ", ".join(f'{name}="{value}"' for name, value in sorted(series["metric"].items()))
        found[f"{{{labels}}}"] = [(round(at * 1000), float(value)) for at, value in series["values"]]
    return found


def restored_samples(backup: Backup, moment: float) -> Samples:
    """Return the same of the restored volume, as the program of Prometheus' own reads it."""
    (prometheus,) = backup.stack.inspect("prometheus")
    end = round(moment * 1000)
    window = (f"--min-time={end - WINDOW * 1000 + 1}", f"--max-time={end}")
    dump = ("promtool", "tsdb", "dump", *window, f"--match={COUNTED}", "/prometheus")
    found: Samples = {}
    for line in backup.run("prometheus", prometheus["Image"], *dump).splitlines():
        labels, value, at = line.rsplit(" ", 2)
        found.setdefault(labels, []).append((int(at), float(value)))
    return found


def test_a_backup_of_what_runs_is_what_was_there(stack: Stack, backup: Backup) -> None:
    with stack.client() as client:
        accepted = client.post("/api/v1/jobs", content=b"Mail ana@example.org", headers={"Content-Type": "text/plain"})
        job = accepted.headers["Location"]
        eventually(lambda: client.get(job).json()["status"] == "succeeded", lambda: client.get(job).text)
    silence(stack, "WatchedByNobody")
    stack.wait_for_scrape()
    moment = stack.value('max(timestamp(up{job="api"}))')  # all that the API has counted until then is there
    assert moment is not None
    counted = samples(stack, moment)
    assert any('route="/api/v1/jobs"' in labels for labels in counted)
    backup.make()

    restored = backup.restore()
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert restored_samples(backup, moment) == counted
    served = stack.inspect("api")[0]["Image"]
    assert backup.run("runs", served, "python3", "-c", JOB, job.rpartition("/")[2]) == "succeeded Mail [EMAIL_ADDRESS]"
    backup.run("alertmanager", served, "grep", "--quiet", "WatchedByNobody", "/alertmanager/silences")  # or it fails
    assert backup.run("tls", served, "cat", "/tls/tls.crt") == stack.certificate.read_text().strip()
    assert backup.run("operators", served, "cat", "/operators/password") == stack.operator.partition(":")[2]

    # What is damaged is as it was again, when data is to be replaced.
    backup.run("tls", served, "rm", "/tls/tls.crt")
    assert backup.restore("force").returncode == 0
    assert backup.run("tls", served, "cat", "/tls/tls.crt") == stack.certificate.read_text().strip()
