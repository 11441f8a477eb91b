"""Jobs through the edge: done by the job processes, counted exactly, and kept whatever is killed."""

import json
import random
import time

import httpx
import pytest

from api.privacy.jobs.runner import AT_ONCE
from tests.stack import Stack, eventually, say
from tests.support.kills import accepted_while_killed

PATH = "/api/v1/jobs"
SEED = 4711
VALKEY = "redis://valkey:6379/0"
LONG = "Call 020 7946 0958. " * 40_000
"""Several seconds of work, and more text than any other document has."""

pytestmark = pytest.mark.timeout(1200)  # the first to use a stack also waits for its start


def test_a_job_is_done_by_the_service_jobs_and_counted(stack: Stack) -> None:
    accepted, succeeded = (
        'sum(jobs_total{job="api",status="accepted"})',
        'sum(jobs_total{job="jobs",status="succeeded"})',
    )
    failed = 'sum(jobs_total{job="jobs",status="failed"})'
    stack.wait_for_scrape()
    before = {expression: stack.value(expression) or 0.0 for expression in (accepted, succeeded, failed)}
    with stack.client() as client:
        answer = client.post(PATH, content="Mail anna@example.com", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 202, answer.text
        where = answer.headers["location"]
        done = finish(client, where)
        assert (done["status"], done["done"], done["attempts"]) == ("succeeded", 21, 1)
        assert client.get(f"{where}/result").text == "Mail [EMAIL_ADDRESS]"
        form = [("document", ("a.csv", f"{n},anna@example.com\n", "text/csv")) for n in range(3)]
        form.append(("document", ("b.xml", "<broken", "application/xml")))
        answer = client.post(PATH, files=form)
        assert answer.status_code == 202, answer.text
        jobs = answer.json()["jobs"]
        for job in jobs[:3]:
            assert finish(client, f"{PATH}/{job['id']}")["status"] == "succeeded"
            assert client.get(f"{PATH}/{job['id']}/result").text == f"{job['part']},[EMAIL_ADDRESS]\n"
            time.sleep(0.3)  # below the rate limit
        assert finish(client, f"{PATH}/{jobs[3]['id']}")["status"] == "failed"
    expected = {accepted: before[accepted] + 5, succeeded: before[succeeded] + 4, failed: before[failed] + 1}
    stack.wait_for_values(expected | {'max(job_queue_depth{job="jobs"})': 0})
    assert stack.value('min(model_ready{job="jobs"})') == 1
    assert stack.value('max(job_queue_age_seconds{job="jobs"})') == 0


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "sent",
    [{}, {"X-Request-ID": "mine-1"}, {"traceparent": PARENT}, {"X-Request-ID": "mine-2", "traceparent": PARENT}],
    ids=["nothing", "a request id", "a traceparent", "both"],
)
def test_one_id_from_the_answer_to_the_jobs_line(stack: Stack, sent: dict[str, str]) -> None:
    with stack.client() as client:
        headers = {"Content-Type": "text/plain"} | sent
        answer = client.post(PATH, content="Mail anna@example.com", headers=headers)
        assert answer.status_code == 202, answer.text
        job = finish(client, answer.headers["location"])
    ids = (answer.headers["x-request-id"], answer.headers["x-trace-id"])
    assert ids[0] == (sent.get("X-Request-ID") or ids[1])
    assert (ids[1] == TRACE) == ("traceparent" in sent)

    def loggers() -> dict[str, tuple[str, str]]:
        """Who has a line of this POST or its job, and under which ids."""
        found = {}
        for service in ("nginx", "api", "jobs"):
            for text in stack.compose("logs", "--no-color", "--no-log-prefix", service).stdout.splitlines():
                if not text.startswith("{"):
                    continue
                line = json.loads(text)
                posted = line.get("method") == "POST" and line.get("request_id") == ids[0]
                if posted or line.get("job_id") == job["id"]:
                    found[line["logger"]] = (line["request_id"], line["trace_id"])
        return found

    expected = dict.fromkeys(("nginx.access", "api.access", "api.privacy.jobs.runner"), ids)
    eventually(lambda: loggers() == expected, lambda: f"{ids}: {loggers()}")
    told = stack.run("make", "--no-print-directory", "find", f"ID={job['id']}")
    assert told.returncode == 0, told.stderr
    head, _, lines = told.stdout.partition("\n\n")
    assert {f"request {ids[0]}", f"trace   {ids[1]}", f"job     {job['id']}"} <= set(head.splitlines())
    story = [line.split()[2:] for line in lines.splitlines()]
    assert any(words[2:4] == ["nginx", "INFO"] and "POST" in words for words in story), told.stdout
    order = [service for words in story for service in ("nginx", "api", "jobs") if service in words[:4]]
    assert (order[0], order[-1]) == ("nginx", "jobs"), told.stdout
    assert set(order) == {"nginx", "api", "jobs"}


def test_jobs_that_wait_show_as_depth_and_age(stack: Stack) -> None:
    depth, age = 'max(job_queue_depth{job="jobs"})', 'max(job_queue_age_seconds{job="jobs"})'
    with stack.client() as client:

        def create(content: bytes) -> str:
            answer = client.post(PATH, content=content, headers={"Content-Type": "text/plain"})
            assert answer.status_code == 202, answer.text
            return answer.headers["location"]

        # Minutes of work for the only job process: as many as it takes on at once of one client.
        longs = [create(b"Call 020 7946 0958. " * 200_000) for _ in range(AT_ONCE - 1)]
        for long in longs:
            eventually(lambda long=long: client.get(long).json()["status"] == "running", lambda: "not taken")  # type: ignore[misc]
        waiting = [create(b"x") for _ in range(2)]
        stack.wait_for_value(depth, 2)
        assert (stack.value(age) or 0) > 5
        assert [client.delete(long).status_code for long in longs] == [202] * len(longs)
        for where in waiting:
            assert finish(client, where)["status"] == "succeeded"
        assert [client.get(long).status_code for long in longs] == [404] * len(longs)
    stack.wait_for_value(depth, 0)
    assert stack.value(age) == 0


def test_a_job_process_that_is_killed_is_replaced_by_itself(stack: Stack) -> None:
    """Not the first process of the container, which looks after the other one and is looked after by nobody.

    One that is stopped, too, a minute later: tests/server/test_supervisor.py.
    """
    look = "for p in /proc/[0-9]*; do grep -l '^PPid:.1$' $p/status 2>/dev/null; done; true"
    child = stack.compose("exec", "-T", "jobs", "sh", "-c", look).stdout.split()[0].split("/")[2]
    stack.compose("exec", "-T", "jobs", "sh", "-c", f"kill -KILL {child}")
    with stack.client() as client:
        answer = client.post(PATH, content="Mail anna@example.com", headers={"Content-Type": "text/plain"})
        eventually(lambda: "ended: SIGKILL" in stack.logs("jobs", tail=200), lambda: stack.logs("jobs"))
        assert finish(client, answer.headers["location"])["status"] == "succeeded"
    assert [container["RestartCount"] for container in stack.inspect("jobs")] == [0]


@pytest.mark.parametrize("queue", ["", VALKEY], ids=["sqlite", "valkey"])
def test_no_accepted_job_is_lost_or_done_twice_whatever_is_killed(service: Stack, queue: str) -> None:
    assert_none_is_lost(service, queue, rounds=1)


def assert_none_is_lost(service: Stack, queue: str, rounds: int) -> None:
    """Kill each service this often, the job processes' twice as often, while 50 documents a round are sent.

    The job processes are killed amid a job: for each time there is a document of seconds more.
    """
    service.set(QUEUE_URL=queue)
    service.compose("--profile", "monitoring", "up", "--detach", "--wait", "--no-deps", "prometheus", "operators")
    chosen = random.Random(SEED)
    victims = ["api", "nginx", "jobs", "jobs", *(["valkey"] if queue else [])] * rounds
    chosen.shuffle(victims)
    documents = {
        number: f"{number} anna@example.com " + "and so on " * chosen.randrange(9000) for number in range(50 * rounds)
    }
    # Each of a size of its own, by which the process that works on it is found.
    long = {len(documents) + n: "." * n + LONG for n in range(victims.count("jobs"))}
    documents |= long
    before = ids(service)
    killing = accepted_while_killed(service, PATH, documents, victims, chosen, queue, list(long))
    accepted = killing.accepted
    killing.end(
        service.compose("ps", "--quiet", "api", "jobs").stdout.split(),
        lambda: service.compose("stop", "--timeout", "20"),
        lambda: service.compose("up", "--detach", "--wait"),
    )
    assert sorted(accepted) == sorted(documents)
    with service.client() as client:
        interrupted, jobs = 0, {}
        for number, where in accepted.items():
            job = jobs[number] = finish(client, where)
            assert job["status"] == "succeeded"
            interrupted += job["interruptions"] != 0
            redacted = documents[number].replace("anna@example.com", "[EMAIL_ADDRESS]")
            assert client.get(f"{where}/result").text == redacted.replace("020 7946 0958", "[PHONE_NUMBER]")
        # Each once, and nothing else: what was sent again under its key made no second job.
        assert sorted(f"{PATH}/{job}" for job in ids(service) - before) == sorted(accepted.values())
        killing.agree(jobs)
        for where in accepted.values():
            assert client.delete(where).status_code == 204
        say(f"{interrupted} jobs were interrupted")
        assert interrupted > 0

        def ten_more() -> None:
            headers = {"Content-Type": "text/plain"}
            answers = [client.post(PATH, content="Mail anna@example.com", headers=headers) for _ in range(10)]
            assert [finish(client, answer.headers["location"])["status"] for answer in answers] == ["succeeded"] * 10

        killing.agree_on_more(10, ten_more)


def ids(stack: Stack) -> set[str]:
    """List all jobs, which the API without keys does to nobody."""
    code = (
        "import sqlite3; print(*(id for (id,) in sqlite3.connect('/app/runs/jobs.db').execute('SELECT id FROM jobs')))"
    )
    listed = stack.compose("exec", "-T", "jobs", "python", "-c", code).stdout.split()
    return set(listed) - {"None"}


def finish(client: httpx.Client, where: str) -> dict[str, object]:
    """Wait for the end of a job."""
    job: dict[str, object] = {}

    def ended() -> bool:
        nonlocal job
        answer = client.get(where)
        if answer.status_code != 200:  # over the limit, or the service is starting again
            return False
        job = answer.json()
        return job["status"] in ("succeeded", "failed", "dead")

    eventually(ended, lambda: f"{where}: {job}")
    return job
