"""The production stack with jobs in PostgreSQL (profile postgres) and documents in S3: what is killed loses no job."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_jobs import finish
from tests.stack import Stack, docker, eventually, running_stack
from tests.support import servers
from tests.support.kills import accepted_while_killed
from tests.support.servers import Server

PATH = "/api/v1/jobs"
SEED = 4711
DOCUMENTS = 60
PLAIN = {"Content-Type": "text/plain"}

pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Server]:
    with servers.s3() as server:
        yield server


@pytest.fixture(scope="module")
def stack(bucket: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    secrets = tmp_path_factory.mktemp("secrets")
    secrets.chmod(0o755)
    keys: Path = secrets / "aws"
    keys.write_text(f"[default]\naws_access_key_id={servers.KEY}\naws_secret_access_key={servers.SECRET}\n")
    with running_stack(
        profiles=["monitoring", "postgres"],
        DATABASE_URL="postgresql://sightglass@postgres/sightglass",
        DOCUMENTS_URL=f"s3://{servers.BUCKET}/here",
        AWS_ENDPOINT_URL="http://s3.example:7070",
        AWS_DEFAULT_REGION="us-east-1",
        STATE_SECRETS_DIR=str(secrets),
        JOBS_REPLICAS="2", RATE_LIMIT="100000", RATE_BURST="100000", CONNECTION_LIMIT="1000",
    ) as running:  # fmt: skip
        network = f"{running.project}_app"
        docker("network", "connect", "--alias", "s3.example", network, bucket.name)
        yield running
        docker("network", "disconnect", network, bucket.name)


def ids(stack: Stack) -> set[str]:
    query = "SELECT id FROM jobs WHERE id IS NOT NULL"
    said = stack.compose("exec", "-T", "postgres", "psql", "-Atqc", query, "-U", "postgres", "sightglass").stdout
    return set(said.split())


def test_a_job_is_done_and_nothing_of_it_is_on_this_disk(stack: Stack) -> None:
    with stack.client() as client:
        answer = client.post(PATH, content="Mail anna@example.com", headers=PLAIN)
        assert answer.status_code == 202, answer.text
        where = answer.headers["location"]
        assert finish(client, where)["status"] == "succeeded"
        assert client.get(f"{where}/result").text == "Mail [EMAIL_ADDRESS]"
    there = stack.compose("exec", "-T", "jobs", "find", "/app/runs", "-type", "f").stdout.split()
    assert [name for name in there if "jobs.db" in name or "documents" in name or "secret" in name] == []


def test_prometheus_sees_the_database(stack: Stack) -> None:
    stack.wait_for_value('pg_up{job="database"}', 1)
    eventually(lambda: (stack.value('pg_database_size_bytes{job="database",datname="sightglass"}') or 0) > 0)
    assert (stack.value('max(pg_settings_max_connections{job="database"})') or 0) > 0


def test_no_password_is_in_a_container_s_environment(stack: Stack) -> None:
    password = stack.compose("exec", "-T", "api", "cat", "/run/database/sightglass").stdout.strip()
    assert len(password) == 48
    for container in stack.inspect():
        said = str(container["Config"]["Env"]) + str(container["Config"]["Cmd"])
        assert password not in said
        assert servers.SECRET not in said


def test_without_job_processes_the_depth_is_told_and_a_job_is_done_later(stack: Stack) -> None:
    stack.compose("stop", "jobs")
    with stack.client() as client:
        where = client.post(PATH, content="Mail anna@example.com", headers=PLAIN).headers["location"]
        stack.wait_for_value('max(job_queue_depth{job="api"})', 1)
        stack.compose("start", "jobs")
        assert finish(client, where)["status"] == "succeeded"
    stack.wait_for_value('max(job_queue_depth{job="api"})', 0)


def test_no_accepted_job_is_lost_or_done_twice_whatever_is_killed(stack: Stack) -> None:
    chosen = random.Random(SEED)
    victims = ["api", "postgres", "jobs", "jobs", "nginx"] * 2
    chosen.shuffle(victims)
    documents = {n: f"{n} anna@example.com " + "and so on " * chosen.randrange(9000) for n in range(DOCUMENTS)}
    before = ids(stack)
    accepted = accepted_while_killed(stack, PATH, documents, victims, chosen, "killed")
    stack.compose("up", "--detach", "--wait")
    assert sorted(accepted) == sorted(documents)
    with stack.client() as client:
        for number, where in accepted.items():
            job = finish(client, where)
            assert job["status"] == "succeeded"
            expected = documents[number].replace("anna@example.com", "[EMAIL_ADDRESS]")
            assert client.get(f"{where}/result").text == expected
        assert sorted(f"{PATH}/{job}" for job in ids(stack) - before) == sorted(accepted.values())
        for where in accepted.values():
            assert client.delete(where).status_code == 204
