"""The production stack with jobs in PostgreSQL (profile postgres) and documents in S3: what is killed loses no job."""

import random
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_jobs import finish
from tests.stack import Stack, docker, eventually, running_stack
from tests.support import servers
from tests.support.kills import COUNTING, Killing, accepted_while_killed, wait_until_counted
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
    killing = accepted_while_killed(stack, PATH, documents, victims, chosen, "killed")
    accepted = killing.accepted
    stack.compose("up", "--detach", "--wait")
    assert sorted(accepted) == sorted(documents)
    with stack.client() as client:
        jobs = {}
        for number, where in accepted.items():
            jobs[number] = finish(client, where)
            assert jobs[number]["status"] == "succeeded"
            expected = documents[number].replace("anna@example.com", "[EMAIL_ADDRESS]")
            assert client.get(f"{where}/result").text == expected
        assert sorted(f"{PATH}/{job}" for job in ids(stack) - before) == sorted(accepted.values())
        killing.agree(jobs)
        for where in accepted.values():
            assert client.delete(where).status_code == 204


def test_the_databases_password_changes_under_requests(stack: Stack) -> None:
    def kept() -> str:
        return stack.compose("exec", "-T", "api", "cat", "/run/database/sightglass").stdout.strip()

    def opens(password: str) -> bool:
        psql = "psql --no-psqlrc --host=127.0.0.1 --username=sightglass --command='SELECT 1' sightglass"
        ask = ("exec", "-T", "--env", f"PGPASSWORD={password}", "postgres", "sh", "-c", psql)
        return stack.compose(*ask, check=False).returncode == 0

    refused = stack.run("make", "rotate", "SECRET=jobs-db", DATABASE_URL="postgresql://u@elsewhere/db")
    assert refused.stderr.startswith("rotate: DATABASE_URL: the database is not the stack's; change it there")
    old = kept()
    accepted: list[httpx.Response] = []
    stop = threading.Event()

    def send() -> None:
        with stack.client(timeout=120) as client:
            while not stop.wait(0.1):
                accepted.append(client.post(PATH, content="Mail anna@example.com", headers=PLAIN))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        eventually(lambda: len(accepted) > 3, lambda: str(accepted))
        changed = stack.run("make", "rotate", "SECRET=jobs-db")
        sent = len(accepted)
        eventually(lambda: len(accepted) > sent + 3, lambda: str(accepted[-3:]))
    finally:
        stop.set()
        thread.join()
    assert changed.returncode == 0, changed.stdout + changed.stderr
    assert "==> done: the new password is taken, the old one is refused" in changed.stdout
    assert {answer.status_code for answer in accepted} == {202}
    assert (opens(old), opens(kept())) == (False, True)
    stack.compose("restart", "jobs", "postgres")  # which connect anew
    stack.compose("up", "--detach", "--wait")
    with stack.client() as client:
        for answer in accepted:
            assert finish(client, answer.headers["location"])["status"] == "succeeded"
            assert client.delete(answer.headers["location"]).status_code == 204
    assert opens(kept())
    stack.wait_for_value('pg_up{job="database"}', 1)


def test_what_a_scrape_has_seen_no_kill_takes_away(stack: Stack) -> None:
    chosen = random.Random(SEED)
    documents = {n: f"{n} anna@example.com" for n in range(20)}
    killing = accepted_while_killed(stack, PATH, documents, [], chosen, "seen")
    with stack.client() as client:
        jobs = {number: finish(client, where) for number, where in killing.accepted.items()}
        killing.agree(jobs)
        for service in ("api", "jobs"):
            all_of_it = stack.compose("ps", "--quiet", service).stdout.split()
            killing.end(all_of_it, partial(docker, "kill", *all_of_it), partial(docker, "start", *all_of_it))
        stack.compose("up", "--detach", "--wait")
        for number in range(20, 30):
            eventually(lambda number=number: _post(client, killing, number))  # type: ignore[misc]
            jobs[number] = finish(client, killing.accepted[number])
        wait_until_counted(stack)

        def counted() -> list[float]:
            return [killing.counted(*what) for what in COUNTING.items()]

        eventually(lambda: counted() == [30, 30], lambda: str(counted()))


def _post(client: httpx.Client, killing: Killing, number: int) -> bool:
    headers = {**PLAIN, "Idempotency-Key": f"seen-{number}"}
    answer = client.post(PATH, content=f"{number} anna@example.com", headers=headers)
    if answer.status_code == 202:
        killing.accepted[number] = answer.headers["location"]
    return answer.status_code == 202
