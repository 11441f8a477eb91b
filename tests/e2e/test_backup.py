"""A backup of the stack that runs: restored beside it, it is what was there."""

import json
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
THERE = """
import json, sqlite3, sys
from pathlib import Path
job, alert = sys.argv[1:]
asked = "SELECT status, directory FROM jobs WHERE id = ?"
status, directory = sqlite3.connect("/runs/jobs.db").execute(asked, [job]).fetchone()
print(json.dumps({
    "job": [status, Path("/runs", directory, "result").read_text()],
    "silenced": alert.encode() in Path("/alertmanager/silences").read_bytes(),
    "certificate": Path("/tls/tls.crt").read_text(),
    "operator": Path("/operators/password").read_text(),
}))
"""
VOLUMES = ("alertmanager", "operators", "prometheus", "runs", "tls")


class Backup:
    """A repository of the stack's, and volumes of another project to restore it to."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        self.stack, self.directory, self.project = stack, directory, f"{stack.project}-other"

    def make(self) -> None:
        made = self.try_to()
        assert made.returncode == 0, made.stdout + made.stderr
        keeps = ("--volume", f"{self.stack.project}_backup:/backup", "--network", "none", "--user", "0:0")
        self.password = docker("run", "--rm", *keeps, self.stack.settings["API_IMAGE"], "cat", "/backup/password")

    def try_to(self) -> subprocess.CompletedProcess[str]:
        return self.stack.run("make", "backup", BACKUP_DIR=str(self.directory))

    def failed(self) -> str:
        """Return how many in a row have failed, as the alert is told."""
        metrics = f"--volume={self.stack.project}_backup-metrics:/metrics"
        read = ("sed", "-n", "s/^backup_failed_attempts //p", "/metrics/backup.prom")
        return docker("run", "--rm", metrics, "--network", "none", self.stack.settings["API_IMAGE"], *read)

    def restore(self) -> subprocess.CompletedProcess[str]:
        """Do what `make restore FORCE=1` does with volumes, beside the project that runs."""
        restore = "docker compose --profile restore run --rm --no-deps -T restore volumes latest force"
        return self.stack.run(
            "bash", "-c", f'echo "$PASSWORD" | {restore}',
            COMPOSE_PROJECT_NAME=self.project, BACKUP_DIR=str(self.directory), PASSWORD=self.password,
        )  # fmt: skip

    def run(self, image: str, *command: str) -> str:
        """Run a command over the volumes that were restored, each mounted at its name."""
        mounts = [f"--volume={self.project}_{volume}:/{volume}" for volume in VOLUMES]
        entry, *rest = command
        return docker("run", "--rm", *mounts, "--user", "0:0", "--network", "none", "--entrypoint", entry, image, *rest)


@pytest.fixture
def backup(stack: Stack, tmp_path: Path) -> Iterator[Backup]:
    backup = Backup(stack, tmp_path)
    try:
        yield backup
    finally:
        for kind in ("volume", "network"):
            found = docker(kind, "ls", "--quiet", "--filter", f"name={backup.project}_").split()
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
    for line in backup.run(prometheus["Image"], *dump).splitlines():
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

    served = stack.inspect("api")[0]["Image"]
    backup.run(served, "sh", "-c", "echo damaged | tee /tls/tls.crt /tls/more")

    restored = backup.restore()
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert restored_samples(backup, moment) == counted
    assert json.loads(backup.run(served, "python3", "-c", THERE, job.rpartition("/")[2], "WatchedByNobody")) == {
        "job": ["succeeded", "Mail [EMAIL_ADDRESS]"],
        "silenced": True,
        "certificate": stack.certificate.read_text(),
        "operator": stack.operator.partition(":")[2],
    }
    assert "more" not in backup.run(served, "ls", "/tls")


def test_a_disk_that_is_not_mounted_gets_no_new_repository(stack: Stack, tmp_path: Path) -> None:
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    backup = Backup(stack, disk)
    backup.make()
    disk.rename(elsewhere)
    disk.mkdir()
    refused = backup.try_to()
    assert refused.returncode != 0
    anew = "docker compose --profile backup run --rm --no-deps restic anew"
    assert [line for line in refused.stderr.splitlines() if line.startswith("backup: ")] == [
        f"backup: there was a repository at /backups, BACKUP_DIR={disk}: is its disk mounted? "
        f"If it is gone for good, a new one: {anew}",
        "backup: FAILED, 1 in a row",
    ]
    assert (list(disk.iterdir()), backup.failed()) == ([], "1")

    disk.rmdir()
    elsewhere.rename(disk)
    backup.make()
    assert backup.failed() == "0"
    assert "2 snapshots" in stack.run("make", "backups", BACKUP_DIR=str(disk)).stdout

    disk.rename(elsewhere)  # for good
    began = stack.run(*anew.split(), BACKUP_DIR=str(disk))
    assert began.returncode == 0, began.stderr
    backup.make()
    assert "1 snapshots" in stack.run("make", "backups", BACKUP_DIR=str(disk)).stdout
