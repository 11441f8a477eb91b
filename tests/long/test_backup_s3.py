"""Backups to S3: a real server of its protocol, its keys in the environment of restic and of nobody else."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.stack import Stack, docker, eventually, running_stack
from tests.support import servers
from tests.support.backups import password
from tests.support.servers import Server

NAME = "storage.example"
REPOSITORY = f"s3:http://{NAME}:7070/{servers.BUCKET}/here"
KEYS = {"AWS_ACCESS_KEY_ID": servers.KEY, "AWS_SECRET_ACCESS_KEY": servers.SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
KNOWN = {"RESTIC_REPOSITORY": REPOSITORY, **KEYS}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(profiles=[], JOBS_REPLICAS="0") as running:
        yield running


@pytest.fixture(scope="module")
def server(stack: Stack) -> Iterator[Server]:
    """Start the server where the stack's way out leads."""
    asked = stack.run("make", "backups", BACKUP_DIR=str(stack.directory / "nothing"))  # makes the network
    assert "backup: there is no backup yet" in said(asked)
    with servers.s3() as running:
        docker("network", "connect", "--alias", NAME, f"{stack.project}_outside", running.name)
        yield running


def said(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout + result.stderr


def test_a_wrong_key_is_one_line(stack: Stack, server: Server) -> None:
    refused = stack.run("make", "backup", **KNOWN | {"AWS_SECRET_ACCESS_KEY": "another-secret"})
    assert refused.returncode != 0
    assert f"backup: the repository {REPOSITORY} does not answer: " in said(refused)
    assert "another-secret" not in said(refused)


SILENT = f"backup: the repository {REPOSITORY} does not answer: no answer within 60 s"


@contextmanager
def silent(server: Server) -> Iterator[None]:
    """Have the server take connections and answer none."""
    docker("pause", server.name)
    try:
        yield
    finally:
        docker("unpause", server.name)


@pytest.mark.parametrize(
    "command", [("make", "backups"), ("make", "backup"), ("python3", "scripts/backup.py", "check")], ids=" ".join
)
def test_a_server_that_is_silent_is_one_line(stack: Stack, server: Server, command: tuple[str, ...]) -> None:
    with silent(server):
        given_up = stack.run(*command, **KNOWN)
    assert given_up.returncode != 0
    assert [line for line in said(given_up).splitlines() if "does not answer" in line] == [SILENT]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        (f"s3:http://{NAME}:7071/{servers.BUCKET}/here", "connection refused"),
        (f"s3:http://gone.example:7070/{servers.BUCKET}/here", "gone.example"),
    ],
    ids=["nobody listens", "no such name"],
)
def test_a_server_that_is_gone_is_one_line(stack: Stack, server: Server, where: str, why: str) -> None:
    gone = stack.run("make", "backups", **KNOWN | {"RESTIC_REPOSITORY": where})
    assert gone.returncode != 0
    (line,) = (line for line in said(gone).splitlines() if "does not answer" in line)
    assert line.startswith(f"backup: the repository {where} does not answer: no answer within 60 s: ")
    assert why in line


def test_the_schedule_gives_up_too_and_counts_it(stack: Stack, server: Server) -> None:
    def logged() -> str:
        return stack.compose("--profile", "backup", "logs", "--no-color", "restic").stdout

    stack.set(**KNOWN)
    # The others' attempts are not the schedule's.
    forget = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "rm", "restic", "-f", "/var/lib/backup/state")
    stack.compose("--profile", "backup", *forget)
    with silent(server):
        stack.compose("--profile", "backup", "up", "--detach")
        eventually(lambda: "FAILED, 1 in a row" in logged(), logged, deadline=300)
    assert SILENT in logged()
    there = ("exec", "-T", "restic", "cat", "/var/lib/backup-metrics/backup.prom")
    assert "\nbackup_failed_attempts 1\n" in stack.compose("--profile", "backup", *there).stdout
    stack.compose("--profile", "backup", "rm", "--stop", "--force", "restic", "backup-copies")


def test_a_wiped_machine_is_back_from_a_bucket(stack: Stack, server: Server) -> None:
    made = stack.run("make", "backup", **KNOWN)
    assert made.returncode == 0, said(made)
    assert "1 snapshots" in stack.run("make", "backups", **KNOWN).stdout
    word, certificate, settings = password(stack), stack.certificate.read_text(), stack.env_file.read_text()

    stack.compose("--profile", "*", "rm", "--stop", "--force")  # the network stays, with the server in it
    volumes = docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={stack.project}").split()
    docker("volume", "rm", *volumes)
    stack.env_file.unlink()
    where = KNOWN | {"COMPOSE_PROJECT_NAME": stack.project}  # and so the network
    with silent(server):
        given_up = stack.run("make", "restore", **where, RESTIC_PASSWORD=word)
    assert given_up.returncode != 0
    assert SILENT.removeprefix("backup: ") in said(given_up)
    restored = stack.run("make", "restore", **where, RESTIC_PASSWORD=word)
    assert restored.returncode == 0, said(restored)
    assert stack.env_file.read_text() == settings
    image = stack.settings["API_IMAGE"]
    there = docker(
        "run", "--rm", "--volume", f"{stack.project}_tls:/tls", "--user", "0:0", image, "cat", "/tls/tls.crt"
    )
    assert there == certificate.strip()
