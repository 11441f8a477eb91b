"""Jobs through the edge: done by the workers, counted exactly, and kept whatever is killed."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.stack import Stack, docker, eventually, say

PATH = "/api/v1/jobs"
SEED = 4711
DOCUMENTS = 60
KILLS = 8
VALKEY = "redis://valkey:6379/0"

pytestmark = pytest.mark.timeout(600)  # the first to use a stack also waits for its start


def test_a_job_is_done_by_the_worker_and_counted(stack: Stack) -> None:
    accepted, succeeded = (
        'sum(jobs_total{job="api",status="accepted"})',
        'sum(jobs_total{job="worker",status="succeeded"})',
    )
    failed = 'sum(jobs_total{job="worker",status="failed"})'
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
    stack.wait_for_value(accepted, before[accepted] + 5)
    stack.wait_for_value(succeeded, before[succeeded] + 4)
    stack.wait_for_value(failed, before[failed] + 1)
    assert stack.value('min(model_ready{job="worker"})') == 1
    stack.wait_for_value('max(job_queue_depth{job="worker"})', 0)
    assert stack.value('max(job_queue_age_seconds{job="worker"})') == 0


def test_jobs_that_wait_show_as_depth_and_age(stack: Stack) -> None:
    depth, age = 'max(job_queue_depth{job="worker"})', 'max(job_queue_age_seconds{job="worker"})'
    with stack.client() as client:

        def create(content: bytes) -> str:
            answer = client.post(PATH, content=content, headers={"Content-Type": "text/plain"})
            assert answer.status_code == 202, answer.text
            return answer.headers["location"]

        # Minutes of work for the only worker.
        long = create(b"Call 020 7946 0958. " * 200_000)
        eventually(lambda: client.get(long).json()["status"] == "running", lambda: "not taken")
        waiting = [create(b"x") for _ in range(2)]
        stack.wait_for_value(depth, 2)
        assert (stack.value(age) or 0) > 5
        assert client.delete(long).status_code == 202
        for where in waiting:
            assert finish(client, where)["status"] == "succeeded"
        assert client.get(long).status_code == 404
    stack.wait_for_value(depth, 0)
    assert stack.value(age) == 0


@pytest.mark.parametrize("queue", ["", VALKEY], ids=["sqlite", "valkey"])
def test_no_accepted_job_is_lost_or_done_twice_whatever_is_killed(service: Stack, queue: str) -> None:
    service.set(QUEUE_URL=queue)
    victims = ["api", "worker", "worker", "nginx", *(["valkey"] if queue else [])]
    chosen = random.Random(SEED)
    accepted: dict[int, str] = {}
    stopped = threading.Event()

    def submit(number: int) -> None:
        """Send one document until it is accepted, as a client with an idempotency key does."""
        text = f"{number} anna@example.com " + "and so on " * 300 * (number % 7)
        headers = {"Content-Type": "text/plain", "Idempotency-Key": f"{queue}-{number}"}
        for _ in range(400):
            try:
                with service.client(timeout=20) as client:
                    answer = client.post(PATH, content=text, headers=headers)
                if answer.status_code == 202:
                    accepted[number] = answer.headers["location"]
                    return
            except httpx.HTTPError:
                pass
            stopped.wait(0.2)

    with ThreadPoolExecutor(4) as pool:
        submitting = [pool.submit(submit, number) for number in range(DOCUMENTS)]
        for kill in range(KILLS):
            time.sleep(chosen.uniform(0.2, 1.5))
            service_name = chosen.choice(victims)
            container = chosen.choice(service.compose("ps", "--all", "--quiet", service_name).stdout.split())
            say(f"kill {kill + 1}: {service_name}")
            docker("kill", container)
            docker("start", container)
        for future in submitting:
            future.result()
    assert len(accepted) == DOCUMENTS
    assert len(set(accepted.values())) == DOCUMENTS
    service.compose("restart", "--timeout", "20")
    service.compose("up", "--detach", "--wait")
    with service.client() as client:
        for number, where in accepted.items():
            assert finish(client, where)["status"] == "succeeded"
            result = client.get(f"{where}/result").text
            assert result == f"{number} [EMAIL_ADDRESS] " + "and so on " * 300 * (number % 7)
        listed = [job["id"] for job in client.get(f"{PATH}?limit=1000").json()["jobs"]]
        # Each once, and nothing else: what was sent again under its key made no second job.
        assert Counter(f"{PATH}/{job}" for job in listed) == Counter(accepted.values())
        for where in accepted.values():
            assert client.delete(where).status_code == 204


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
