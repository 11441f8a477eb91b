"""Secrets change while clients are served: none of their requests fails, and the old ones are refused."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_jobs import VALKEY, finish
from tests.edge.load import Load
from tests.stack import Stack, eventually

HEADERS = {"Content-Type": "text/plain"}


@pytest.fixture
def queued(service: Stack) -> Iterator[Stack]:
    """The service with its queue in Valkey."""
    service.set(QUEUE_URL=VALKEY)
    yield service
    service.set(QUEUE_URL="")


def rotate(stack: Stack, *options: str) -> str:
    result = stack.run("make", "rotate", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def valkey(stack: Stack, *commands: str) -> list[str]:
    script = 'printf "%s\\n" "$@" | valkey-cli'
    return stack.compose("exec", "-T", "valkey", "sh", "-c", script, "sh", *commands).stdout.split("\n")


def test_no_request_fails_while_the_key_and_the_queues_password_change(queued: Stack, tmp_path: Path) -> None:
    port = int(queued.settings["HTTPS_PORT"])
    before = ssl.get_server_certificate(("localhost", port))
    read = ("exec", "-T", "valkey", "cat", "/run/valkey/password")
    old = queued.compose(*read).stdout
    assert "NOAUTH Authentication required." in valkey(queued, "PING")
    with Load(queued.https_url) as load, httpx.Client(base_url=queued.https_url, verify=False, timeout=60) as client:
        eventually(lambda: load.total() > 50, lambda: str(load.failures[-3:]))
        load.phase = "tls"
        assert "==> done: the edge presents the new certificate" in rotate(queued, "SECRET=tls")
        assert ssl.get_server_certificate(("localhost", port)) != before
        load.phase = "valkey"
        jobs = [client.post("/api/v1/jobs", content="ana@example.org", headers=HEADERS) for _ in range(3)]
        said = rotate(queued, "SECRET=valkey")
        assert said == "==> done: the new password is taken, the old one is refused\n"
        (tmp_path / "given").write_text("of-a-vault-of-mine\n")
        rotate(queued, "SECRET=valkey", f"FILE={tmp_path / 'given'}")
        jobs += [client.post("/api/v1/jobs", content="ana@example.org", headers=HEADERS) for _ in range(3)]
        assert [job.status_code for job in jobs] == [202] * 6
        assert [finish(client, job.headers["location"])["status"] for job in jobs] == ["succeeded"] * 6
        sent = load.total()
        eventually(lambda: load.total() > sent + 100, lambda: str(load.sent))
    assert load.failures == []
    queued.__dict__.pop("certificate", None)
    assert queued.compose(*read).stdout == "of-a-vault-of-mine"
    assert any("WRONGPASS" in line for line in valkey(queued, f"AUTH {old}"))
    assert "PONG" in valkey(queued, "AUTH of-a-vault-of-mine", "PING")
    listed = {line.split()[0]: line for line in rotate(queued).splitlines()}
    assert listed["valkey"].endswith(" 0 days")
    assert listed["tls"].endswith(" 0 days")
    assert listed["backup"].endswith(" not in use")
