"""Faults of the whole stack, and what is told of them."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from monitoring.live import Prometheus
from tests.stack import Stack, docker, eventually, running_stack

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def two() -> Iterator[Stack]:
    with running_stack(profiles=["monitoring"], API_REPLICAS="2") as stack:
        eventually(lambda: stack.value('sum(up{job="api"})') == 2, lambda: str(stack.query("up")))
        yield stack


@pytest.mark.parametrize("how", ["rm", "stop"])
def test_a_replica_that_is_gone_is_a_ticket(two: Stack, how: str) -> None:
    prometheus = Prometheus(two.prometheus_url)
    assert "ReplicaMissing" not in prometheus.firing()
    lost = two.inspect("api")[0]["Id"]
    docker(how, *(["--force"] if how == "rm" else []), lost)
    try:
        eventually(lambda: "ReplicaMissing" in prometheus.firing(), lambda: str(two.query("up")), deadline=120)
    finally:
        two.compose("up", "--detach", "--wait")
    eventually(lambda: "ReplicaMissing" not in prometheus.firing(), lambda: str(two.query("up")))


def test_another_number_by_make_scale_is_no_ticket(two: Stack) -> None:
    for number in (3, 1):
        assert two.run("make", "scale", f"N={number}").returncode == 0
        two.wait_for_value('stack:replicas:expected{job="api"}', number)
    assert "ReplicaMissing" not in Prometheus(two.prometheus_url).firing()


JOB = "Mail ada@example.org"
OF_WHAT_HAPPENED = {"ErrorBudgetBurn"}
"""Pages about a window of time, in which there were errors indeed."""


def pages(prometheus: Prometheus) -> set[str]:
    """Return the names of the pages that fire."""
    rules = [rule for group in prometheus.rule_groups() for rule in group["rules"]]
    firing = [rule for rule in rules if rule.get("state") == "firing"]
    return {rule["name"] for rule in firing if rule["labels"].get("severity") == "page"}


def test_everything_killed_at_once_comes_back_by_itself(two: Stack) -> None:
    """No accepted job is lost, and what pages is what did happen, not what was not seen meanwhile."""
    prometheus = Prometheus(two.prometheus_url)
    eventually(lambda: pages(prometheus) == set(), lambda: pages(prometheus), deadline=600)
    accepted: list[str] = []
    over = time.monotonic() + 60

    def work(number: int) -> None:
        while time.monotonic() < over:
            time.sleep(0.3)
            with contextlib.suppress(httpx.HTTPError), two.client(timeout=20) as client:
                headers = {"Content-Type": "text/plain", "Idempotency-Key": f"killed-{number}-{len(accepted)}"}
                answer = client.post("/api/v1/jobs", content=JOB, headers=headers)
                if answer.status_code == 202:
                    accepted.append(answer.headers["location"])

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work, number) for number in range(3)]
        eventually(lambda: len(accepted) > 5)
        # By the host: what `docker kill` ends, the engine does not start again.
        for container in two.inspect():
            os.kill(container["State"]["Pid"], signal.SIGKILL)

        def healthy() -> bool:
            states = [container["State"] for container in two.inspect()]
            return all(one["Running"] and one["Health"]["Status"] == "healthy" for one in states)

        eventually(lambda: not healthy(), longest_pause=0.1)
        eventually(healthy, lambda: two.compose("ps").stdout, deadline=300)
        for one in working:
            one.result()
    with two.client() as client:
        for where in dict.fromkeys(accepted):

            def succeeded(where: str = where) -> bool:
                answer = client.get(where)
                return answer.status_code == 200 and answer.json()["status"] == "succeeded"

            eventually(succeeded, lambda where=where: client.get(where).text)  # type: ignore[misc]
    eventually(lambda: pages(prometheus) <= OF_WHAT_HAPPENED, lambda: pages(prometheus), deadline=300)


def test_a_killed_edge_loses_at_most_what_no_scrape_had_seen(two: Stack) -> None:
    # A Prometheus that was killed marks nothing as gone: what it asked before is there for five minutes more.
    counted = 'max(sum by (instance) (edge_http_requests_total{route="/api/v1/jobs/{job_id}"}))'

    def ask(times: int) -> None:
        done = 0
        with two.client() as client:
            while done < times:
                done += client.get("/api/v1/jobs/nowhere").status_code in {404, 422}
                time.sleep(0.15)

    ask(50)
    before = two.value(counted) or 0  # what a scrape has seen
    (edge,) = two.inspect("nginx")
    os.kill(edge["State"]["Pid"], signal.SIGKILL)
    eventually(lambda: two.inspect("nginx")[0]["State"]["Pid"] not in (0, edge["State"]["Pid"]))
    two.compose("up", "--detach", "--wait")
    ask(20)
    eventually(lambda: (two.value(counted) or 0) >= before + 20, lambda: f"{two.value(counted)}, {before} before")
