"""From the last release to this tree: data kept, what has another name carried over or refused in one line."""

import shutil
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.stack import NOT_COPIED, ROOT, Stack, docker, eventually, say

RELEASED = "b5e44247709745d90654a926a18bae1fb5e6a24c"
"""The commit of version 1.0.0, which is upgraded from; each version writes its predecessor's here (CHANGELOG.md)."""

PATH = "/api/v1/jobs"
COUNTED = 'max_over_time(sum(edge_http_requests_total{route="/health",status="200"})[1h:5s])'
REQUESTS = 7
MATCHER = {"name": "alertname", "value": "RateLimiterRejecting", "isRegex": False, "isEqual": True}

pytestmark = pytest.mark.timeout(1800)


def put(stack: Stack, revision: str | None) -> None:
    """Put a revision's files, or this tree's, in the place of those there are, as `git pull` does; `.env` stays."""
    # Directories stay, as they do for git: they are mounted.
    for path in stack.directory.rglob("*"):
        first = path.relative_to(stack.directory).parts[0]
        if first not in (".env", ".build", "certificate.pem") and (path.is_symlink() or not path.is_dir()):
            path.unlink()
    if revision is None:
        shutil.copytree(ROOT, stack.directory, ignore=NOT_COPIED, dirs_exist_ok=True, symlinks=True)
        return
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", stack.directory], input=archive, check=True)


def make_up(stack: Stack, **environment: str) -> subprocess.CompletedProcess[str]:
    say(f"{stack.project}: make up")
    return stack.run("make", "up", **environment)


def containers(stack: Stack) -> dict[str, str]:
    """Name each running container's service and id, of services this tree does not know too."""
    label = f"label=com.docker.compose.project={stack.project}"
    listed = docker(
        "ps", "--no-trunc", "--filter", label, "--format", '{{.ID}} {{.Label "com.docker.compose.service"}}'
    )
    return dict(line.split() for line in listed.splitlines())


def finish(client: httpx.Client, where: str) -> None:
    eventually(
        lambda: client.get(where).json().get("status") == "succeeded", lambda: client.get(where).text, deadline=300
    )


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of the last release, started the way its README says."""
    stack = Stack(tmp_path_factory.mktemp("released"), profiles=["monitoring"], WORKER_REPLICAS="2")
    put(stack, RELEASED)
    settings = {"COMPOSE_PROJECT_NAME": stack.project} | stack.settings
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    stack.env_file.write_text((stack.directory / ".env.template").read_text() + lines)
    try:
        # That version gives its API 90 s, however slow the machine is; the next `make up` finds it ready.
        eventually(lambda: make_up(stack).returncode == 0, lambda: stack.logs(), deadline=900)
        yield stack
    finally:
        for container in containers(stack):  # what an upgrade should have removed, `down` does not know
            docker("rm", "--force", "--volumes", container)
        stack.down()
        for volume in docker("volume", "ls", "--quiet", "--filter", f"name={stack.project}_").split():
            docker("volume", "rm", volume)


def test_an_installation_is_upgraded(released: Stack) -> None:
    stack = released
    with stack.client() as client:
        for _ in range(REQUESTS):
            assert client.get("/health").status_code == 200

        def create(content: bytes) -> str:
            answer = client.post(PATH, content=content, headers={"Content-Type": "text/plain"})
            assert answer.status_code == 202, answer.text
            return answer.headers["location"]

        done = create(b"Mail anna@example.com")
        finish(client, done)
        # Work for both processes that do any: the upgrade comes in the middle of it.
        under_way = [create(b"Call 020 7946 0958. " * 10_000) for _ in range(2)]
        waiting = create(b"Mail bert@example.com")
    silence = {
        "matchers": [MATCHER], "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2036-01-01T00:00:00Z",
        "createdBy": "test", "comment": "kept",
    }  # fmt: skip
    answer = httpx.post(f"{stack.alertmanager_url}/api/v2/silences", json=silence)
    assert answer.status_code == 200, answer.text
    eventually(lambda: (stack.value(COUNTED) or 0) >= REQUESTS, lambda: f"{stack.value(COUNTED)}")
    counted = stack.value(COUNTED)
    assert counted is not None
    password = stack.run("make", "credentials").stdout
    models = f"{stack.project}_models"
    image = stack.settings["API_IMAGE"]
    docker("run", "--rm", "--user", "0", "--volume", f"{models}:/v", image, "touch", "/v/mine")

    put(stack, None)
    before = containers(stack)
    assert list(before.values()).count("worker") == 2

    # The old name is refused in one line that says the new one, by make and by the ordinary tool; nothing is touched.
    for command in (["make", "up"], ["docker", "compose", "--profile", "monitoring", "up", "--detach"]):
        refused = stack.run(*command)
        assert refused.returncode != 0
        told = [line for line in refused.stderr.splitlines() if "WORKER_REPLICAS" in line]
        assert len(told) == 1, refused.stderr
        assert "WORKER_REPLICAS=2" in told[0]
        assert "not allowed; expected JOBS_REPLICAS, its new name" in told[0]
        assert containers(stack) == before
    text = stack.env_file.read_text()
    stack.env_file.write_text(text.replace("\nWORKER_REPLICAS=", "\nJOBS_REPLICAS="))

    # What is in a volume that is no longer mounted is not left behind in silence.
    refused = make_up(stack)
    assert refused.returncode != 0
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("MODELS_DIR=:")]
    assert f"the volume {models}" in line
    assert containers(stack) == before
    docker("run", "--rm", "--user", "0", "--volume", f"{models}:/v", image, "rm", "/v/mine")

    result = make_up(stack)
    assert result.returncode == 0, result.stdout + result.stderr
    services = list(containers(stack).values())
    assert services.count("jobs") == 2
    assert "worker" not in services
    with stack.client() as client:  # it trusts the certificate of before
        assert client.get("/health").status_code == 200
        assert client.get(f"{done}/result").text == "Mail [EMAIL_ADDRESS]"
        for where in (*under_way, waiting):
            finish(client, where)
        assert client.get(f"{waiting}/result").text == "Mail [EMAIL_ADDRESS]"
    silences = httpx.get(f"{stack.alertmanager_url}/api/v2/silences").json()
    assert [(one["comment"], one["status"]["state"]) for one in silences] == [("kept", "active")]
    assert (stack.value(COUNTED) or 0) >= counted
    assert stack.run("make", "credentials").stdout == password
    eventually(lambda: stack.value('sum(up{job="jobs"})') == 2, lambda: str(stack.query("up")))
    after = containers(stack)
    assert make_up(stack).returncode == 0
    assert containers(stack) == after
