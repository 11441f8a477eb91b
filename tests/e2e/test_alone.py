"""The image alone, as the strictest of the container platforms in docs/platforms.md runs it.

A port of theirs, a user of theirs, nothing to write to, no volume, half a gigabyte; SIGTERM, and 10 s later SIGKILL.
"""

import contextlib
import http.client
import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.stack import Stack, docker, eventually, free_ports

PORT = "31337"
USER = "54321:12345"
TOKEN = "correct-horse-battery"
GRACE = "10"
TEXT = b"Write to ada@example.org"


@dataclass
class Alone:
    """A container of the image; `port` is the host's on loopback."""

    name: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def logs(self) -> str:
        result = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        return result.stdout + result.stderr

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def running(self) -> bool:
        return docker("inspect", "--format", "{{.State.Running}}", self.name) == "true"

    def begin(self) -> http.client.HTTPConnection:
        """Begin a document, of which half is sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest("POST", "/api/v1/process")
        connection.putheader("Content-Type", "text/plain")
        connection.putheader("Content-Length", str(len(TEXT)))
        connection.endheaders(TEXT[:10])
        return connection

    def under_way(self) -> float:
        answer = httpx.get(f"{self.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
        lines = [line for line in answer.text.splitlines() if line.startswith("http_requests_in_progress{")]
        return sum(float(line.split()[-1]) for line in lines)


@contextlib.contextmanager
def alone(image: str, **environment: str) -> Iterator[Alone]:
    """Run the image and wait until it is ready."""
    name, (port,) = f"{image}-alone-{uuid.uuid4().hex[:6]}", free_ports(1)
    docker(
        "run", "--detach", "--name", name, "--read-only", "--user", USER, "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--memory", "512m", "--memory-swap", "512m",
        "--publish", f"127.0.0.1:{port}:{PORT}", "--env", f"PORT={PORT}",
        *(f"--env=SIGHTGLASS_{key}={value}" for key, value in environment.items()), image,
    )  # fmt: skip
    container = Alone(name, port)
    try:
        eventually(container.answers, container.logs)
        yield container
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.fixture(scope="module")
def platform(stack: Stack) -> Iterator[Alone]:
    with alone(stack.project, METRICS_TOKEN=TOKEN, API_STOP_GRACE=GRACE) as container:
        yield container


def test_it_serves_on_their_port_as_their_user_and_writes_nowhere(platform: Alone) -> None:
    assert docker("exec", platform.name, "id", "-u") == USER.partition(":")[0]
    answer = httpx.post(f"{platform.url}/api/v1/predict", json={"text": TEXT.decode()}, timeout=60)
    assert answer.json()["redacted"] == "Write to [EMAIL_ADDRESS]"
    answer = httpx.post(
        f"{platform.url}/api/v1/process", content=TEXT, headers={"Content-Type": "text/plain"}, timeout=60
    )
    assert answer.text == "Write to [EMAIL_ADDRESS]"
    assert docker("inspect", "--format", "{{json .Mounts}}", platform.name) == "[]"


def test_a_job_which_needs_a_volume_is_refused(platform: Alone) -> None:
    answer = httpx.post(f"{platform.url}/api/v1/jobs", content=TEXT, headers={"Content-Type": "text/plain"}, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (507, "application/problem+json")


def test_the_images_own_health_check_finds_the_port(platform: Alone) -> None:
    command = json.loads(docker("inspect", "--format", "{{json .Config.Healthcheck.Test}}", platform.name))[1:]
    assert subprocess.run(["docker", "exec", platform.name, *command], check=False).returncode == 0


def test_the_public_reads_no_metrics(platform: Alone) -> None:
    assert httpx.get(f"{platform.url}/metrics").status_code == 404
    own = httpx.get(f"{platform.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert own.status_code == 200
    assert "http_requests_total{" in own.text


def test_half_a_gigabyte_is_enough(platform: Alone) -> None:
    state = json.loads(docker("inspect", platform.name))[0]
    assert (state["State"]["OOMKilled"], state["RestartCount"]) == (False, 0)
    assert "was sent SIGKILL" not in platform.logs()


def test_told_to_stop_it_answers_what_it_began_and_ends_in_order(platform: Alone) -> None:
    """One client goes on with its request, the other never does."""
    assert platform.under_way() == 0
    one, other = platform.begin(), platform.begin()
    eventually(lambda: platform.under_way() == 2, lambda: f"{platform.under_way()} under way")
    docker("exec", platform.name, "sh", "-c", "kill -TERM -1")  # Heroku tells every process, and some more than once
    docker("kill", "--signal", "TERM", platform.name)
    one.send(TEXT[10:])  # at once: of the ten seconds, it has four
    answer = one.getresponse()
    assert (answer.status, answer.read()) == (200, b"Write to [EMAIL_ADDRESS]")
    eventually(lambda: "Handling signal: term" in platform.logs(), platform.logs)
    eventually(lambda: not platform.running(), platform.logs)
    other.close()
    assert docker("inspect", "--format", "{{.State.ExitCode}}", platform.name) == "0"
    assert "SIGKILL" not in platform.logs()
    lines = [json.loads(line) for line in platform.logs().splitlines()]
    requests = [line for line in lines if line["logger"] == "api.access" and line["route"] == "/api/v1/process"]
    assert [line["outcome"] for line in requests][-2:] == ["ok", "cancelled"]
