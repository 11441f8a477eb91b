"""Jobs in PostgreSQL and documents in S3: as many job processes as there is work for, on any node, and none is lost."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from scripts.cluster import node
from scripts.cluster.layout import FIRST, NODES, SECOND, Node
from scripts.cluster.processes import end, kill_all, run
from tests.cluster import state
from tests.cluster.cluster import ELSEWHERE, Cluster, Installation, kubectl
from tests.support.waiting import eventually

PATH = "/api/v1/jobs"
MOST = 4
AT_ONCE = 3
"""Jobs of one client that a job process works on."""
WORDS = "and so on "


class Elsewhere:
    """The installation, and an account of what was sent to it."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.accepted: dict[str, str] = {}
        """Where each job is, and what its result has to be."""
        self._sent: Counter[str] = Counter()
        self._client = httpx.Client(base_url=installation.url, verify=False, timeout=60)
        self._before = self._told_by_edge()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request that must not fail."""
        answer = self._send(method, path, **more)
        assert answer.status_code in (200, 202), answer.text
        return answer

    def answers(self) -> bool:
        """Tell whether a job is found; it need not be."""
        return self._send("GET", next(iter(self.accepted))).status_code == 200

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._client.request(method, path, **more)
        self._sent[str(answer.status_code)] += 1
        return answer

    def post(self, count: int, words: int) -> None:
        """Send so many documents, of so many times the same words."""

        def one(number: int) -> None:
            text = f"{number} anna@example.com {WORDS * words}"
            where = self.ask("POST", PATH, content=text, headers={"Content-Type": "text/plain"}).headers["location"]
            self.accepted[where] = text.replace("anna@example.com", "[EMAIL_ADDRESS]")

        first = len(self.accepted)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(first, first + count)))

    def statuses(self) -> Counter[str]:
        """Count jobs by their status, as the database has it."""
        return Counter(state.select("SELECT record::json->>'status' FROM jobs WHERE id IS NOT NULL"))

    def finished(self) -> None:
        """Wait until each job that was accepted has its one result, and see that there is no other job."""
        expected = Counter({"succeeded": len(self.accepted)})
        eventually(lambda: self.statuses() == expected, lambda: (self.statuses(), self.pods()), 600)
        for where, result in self.accepted.items():
            assert self.ask("GET", f"{where}/result").text == result

    def counted(self) -> tuple[int, dict[str, int]]:
        """Return what Prometheus knows of jobs: accepted by the API, and by status in job processes."""
        counted = self.installation.cluster.prometheus.counted
        of_api = counted("jobs_total", "status", job="api", namespace=ELSEWHERE)
        return of_api["accepted"], dict(counted("jobs_total", "status", job="jobs", namespace=ELSEWHERE))

    def exact(self, *others: str) -> None:
        """Wait until Prometheus tells of every job once, and of every request as it was answered.

        `others` are statuses that jobs may have had in between.
        """
        jobs = len(self.accepted)

        def counted() -> tuple[int, dict[str, int]]:
            accepted, by_status = self.counted()
            return accepted, {status: count for status, count in by_status.items() if status not in others}

        eventually(lambda: counted() == (jobs, {"succeeded": jobs}), lambda: (jobs, self.counted()))
        eventually(lambda: self._told_by_edge() - self._before == self._sent, self._told_by_edge)
        print(f"{jobs} jobs; requests: {dict(self._sent)}")

    def _told_by_edge(self) -> Counter[str]:
        return self.installation.cluster.prometheus.counted(
            "edge_http_requests_total", "status", job="nginx", namespace=ELSEWHERE
        )

    def wanted(self) -> int:
        """Return how many job processes there are to be."""
        return int(kubectl("get", "deployment", "jobs", "-o", "jsonpath={.spec.replicas}", namespace=ELSEWHERE) or 0)

    def pods(self) -> dict[str, str]:
        """Name the pods of jobs, and each one's node."""
        return self.installation.pods("jobs")

    def keep(self, count: int | None) -> None:
        """Have KEDA keep so many job processes, or as many as it finds right."""
        change = "autoscaling.keda.sh/paused-replicas" + ("-" if count is None else f"={count}")
        kubectl("annotate", "--overwrite", "scaledobject", "jobs", change, namespace=ELSEWHERE)
        if count is not None:
            eventually(lambda: self.wanted() == len(self.pods()) == count, self.told, 300)
            kubectl("rollout", "status", "deployment/jobs", "--timeout=280s", namespace=ELSEWHERE)

    def told(self) -> str:
        """Describe what scales."""
        return kubectl("describe", "scaledobject,hpa,pods", namespace=ELSEWHERE)

    def depths(self) -> set[str]:
        """Return what replicas of the API say of the jobs that wait."""
        asked = f'job_queue_depth{{job="api",namespace="{ELSEWHERE}"}}'
        found = self.installation.cluster.prometheus.get("query", query=asked)["result"]
        return {one["value"][1] for one in found}


@dataclass
class Container:
    """A pod's one container, and where it runs."""

    pod: str
    id: str
    node: Node

    @classmethod
    def of(cls, namespace: str, selector: str, on: Node) -> "Container":
        """Find the one of a selector on a node."""
        found = json.loads(kubectl("get", "pods", "-l", selector, "-o", "json", namespace=namespace))["items"]
        (one,) = [one for one in found if one["spec"]["nodeName"] == on.name]
        (status,) = one["status"]["containerStatuses"]
        return cls(one["metadata"]["name"], status["containerID"].removeprefix("containerd://"), on)

    def signal(self, number: int) -> None:
        """Signal its processes, as the machine does that runs out of memory."""
        for pid in node.members(self.node, self.id):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop its processes, which can be killed meanwhile."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


@contextmanager
def amid_their_jobs(elsewhere: Elsewhere) -> Iterator[tuple[Container, Container]]:
    """Have both job processes stand still while they work, and Prometheus know of each job that they have finished."""
    both = tuple(Container.of(ELSEWHERE, "app.kubernetes.io/component=jobs", one) for one in NODES)
    first, second = both

    def known() -> bool:
        statuses = elsewhere.statuses()
        at_work = statuses["running"] > AT_ONCE and statuses["queued"] > 0
        return at_work and elsewhere.counted()[1].get("succeeded", 0) == statuses["succeeded"]

    end_of_tries = time.monotonic() + 600
    while True:
        with first.standing_still(), second.standing_still():
            if known():
                yield first, second
                return
        assert time.monotonic() < end_of_tries, (elsewhere.statuses(), elsewhere.counted())


@pytest.fixture(scope="module")
def elsewhere(installed: Installation) -> Elsewhere:
    """An installation without a volume, scaled by KEDA; its edge and its API are on the first node."""
    cluster: Cluster = installed.cluster
    cluster.joined.result()
    cluster.beside.result()
    run("kubectl", "cordon", SECOND.name)
    run("kubectl", "create", "namespace", ELSEWHERE)
    literals = [f"--from-literal={name}={value}" for name, value in state.SECRETS.items()]
    kubectl("create", "secret", "generic", "state", *literals, namespace=ELSEWHERE)
    values = cluster.values()
    try:
        found = cluster.install(
            ELSEWHERE,
            settings={**values["settings"], **state.SETTINGS, "JOBS_LAST_SCRAPE": "15"},
            autoscaling={"enabled": False},
            edge={**values["edge"], "replicas": 1},
            networkPolicy={"egress": [state.EGRESS]},
            jobs={
                "enabled": True,
                "volume": False,
                "autoscaling": {
                    "enabled": True,
                    "pollingSeconds": 2,
                    "cooldownSeconds": 5,
                    "maxReplicas": MOST,
                    "jobsPerReplica": "3",
                    "scaleDownStabilizationSeconds": 0,
                },
            },
        )
    finally:
        run("kubectl", "uncordon", SECOND.name)
    found.settle()
    return Elsewhere(found)


def test_without_a_job_process_the_depth_is_told_and_the_jobs_are_done_later(elsewhere: Elsewhere) -> None:
    eventually(lambda: elsewhere.wanted() == len(elsewhere.pods()) == 0, elsewhere.told, 600)
    elsewhere.keep(0)
    elsewhere.post(30, 15_000)  # a second of the model's each
    eventually(lambda: elsewhere.depths() == {"30"}, elsewhere.depths)
    assert elsewhere.pods() == {}

    elsewhere.keep(None)
    eventually(lambda: elsewhere.wanted() == MOST, elsewhere.told, 600)
    elsewhere.finished()
    eventually(lambda: elsewhere.wanted() == len(elsewhere.pods()) == 0, elsewhere.told, 600)
    elsewhere.exact()


def test_whatever_is_killed_each_job_has_one_result(elsewhere: Elsewhere) -> None:
    run("kubectl", "cordon", FIRST.name)
    elsewhere.keep(1)
    run("kubectl", "uncordon", FIRST.name)
    run("kubectl", "cordon", SECOND.name)
    elsewhere.keep(2)
    assert sorted(elsewhere.pods().values()) == [one.name for one in NODES]
    elsewhere.post(12, 60_000)

    with amid_their_jobs(elsewhere) as (victim, _):
        kubectl("delete", "pod", victim.pod, "--force", "--grace-period=0", namespace=ELSEWHERE)
        victim.signal(signal.SIGKILL)
    eventually(lambda: victim.pod not in elsewhere.pods() and len(elsewhere.pods()) == 2, elsewhere.told)
    kubectl("rollout", "status", "deployment/jobs", "--timeout=280s", namespace=ELSEWHERE)

    database = Container.of(state.NAMESPACE, f"app={state.DATABASE}", FIRST)
    database.signal(signal.SIGKILL)
    ready = ("get", "pod", database.pod, "-o", "jsonpath={.status.containerStatuses[0]['restartCount','ready']}")
    eventually(lambda: kubectl(*ready, namespace=state.NAMESPACE) == "1 true", elsewhere.told)
    eventually(elsewhere.answers)

    elsewhere.post(12, 60_000)
    with amid_their_jobs(elsewhere):
        end(f"kubelet-{SECOND.name}", signal.SIGKILL)
        kill_all(node.members(SECOND))
    for part in ("containerd", "proxy"):
        end(f"{part}-{SECOND.name}", signal.SIGKILL)
    elsewhere.finished()
    elsewhere.exact("retried")
