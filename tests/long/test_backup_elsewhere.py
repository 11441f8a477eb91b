"""Backups to another machine, by SFTP: a real server of OpenSSH's, its key known beforehand, ours let in."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import images
from tests.stack import Stack, docker, running_stack
from tests.support.backups import password
from tests.support.on_debian import image_of

HERE = Path(__file__).resolve().parent
NAME = "storage.example"
REPOSITORY = f"sftp:keeper@{NAME}:/srv/backups/here"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(profiles=[], JOBS_REPLICAS="0") as running:
        yield running


@pytest.fixture(scope="module")
def server(stack: Stack) -> Iterator[str]:
    """Start the server where the stack's way out leads; yields its container's name."""
    tag = image_of(HERE / "sftp", "sftp", images.recipe_id())
    name = f"{stack.project}-sftp"
    asked = stack.run("make", "backups", BACKUP_DIR=str(stack.directory / "nothing"))  # makes the network
    assert "backup: there is no backup yet" in said(asked)
    docker(
        "run", "--detach", "--rm", "--name", name, "--network", f"{stack.project}_outside", "--network-alias", NAME, tag
    )
    try:
        yield name
    finally:
        docker("rm", "--force", name)


@pytest.fixture(scope="module")
def ssh(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory for BACKUP_SSH_DIR, with a key that the server lets in and without the server's own."""
    directory = tmp_path_factory.mktemp("ssh")
    make = "ssh-keygen -q -t ed25519 -N '' -f /tmp/key && cp /tmp/key.pub /etc/ssh/keeper.pub && cat /tmp/key"
    key = directory / "id_ed25519"
    key.write_text(docker("exec", server, "sh", "-c", make) + "\n")
    key.chmod(0o600)
    return directory


def known(ssh: Path) -> dict[str, str]:
    return {"RESTIC_REPOSITORY": REPOSITORY, "BACKUP_SSH_DIR": str(ssh)}


def said(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout + result.stderr


def test_a_server_whose_key_is_not_known_gets_nothing(stack: Stack, server: str, ssh: Path) -> None:
    refused = stack.run("make", "backup", **known(ssh))
    assert refused.returncode != 0
    assert f"backup: the repository {REPOSITORY} does not answer: Host key verification failed." in said(refused)
    assert docker("exec", server, "ls", "/srv/backups") == ""


def test_a_wiped_machine_is_back_from_a_server(stack: Stack, server: str, ssh: Path) -> None:
    key = docker("exec", server, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
    (ssh / "known_hosts").write_text(f"{NAME} {key}\n")
    made = stack.run("make", "backup", **known(ssh))
    assert made.returncode == 0, said(made)
    assert docker("exec", server, "sh", "-c", "ls /srv/backups/here/snapshots | wc -l") == "1"
    assert "1 snapshots" in stack.run("make", "backups", **known(ssh)).stdout
    word, certificate, settings = password(stack), stack.certificate.read_text(), stack.env_file.read_text()

    stack.compose("--profile", "*", "rm", "--stop", "--force")  # the network stays, with the server in it
    volumes = docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={stack.project}").split()
    docker("volume", "rm", *volumes)
    stack.env_file.unlink()
    where = known(ssh) | {"COMPOSE_PROJECT_NAME": stack.project}  # and so the network
    restored = stack.run("make", "restore", **where, RESTIC_PASSWORD=word)
    assert restored.returncode == 0, said(restored)
    assert stack.env_file.read_text() == settings
    image = stack.settings["API_IMAGE"]
    there = docker(
        "run", "--rm", "--volume", f"{stack.project}_tls:/tls", "--user", "0:0", image, "cat", "/tls/tls.crt"
    )
    assert there == certificate.strip()


def test_a_server_that_is_silent_is_one_line(stack: Stack, server: str, ssh: Path) -> None:
    docker("pause", server)
    try:
        silent = stack.run("make", "backups", **known(ssh))
    finally:
        docker("unpause", server)
    assert silent.returncode != 0
    assert f"backup: the repository {REPOSITORY} does not answer: Connection timed out during banner" in said(silent)


def test_a_server_that_is_gone_is_one_line(stack: Stack, server: str, ssh: Path) -> None:
    docker("stop", server)
    gone = stack.run("make", "backups", **known(ssh))
    assert gone.returncode != 0
    assert f"backup: the repository {REPOSITORY} does not answer: ssh: Could not resolve hostname {NAME}" in said(gone)
