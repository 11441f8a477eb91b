"""What is killed under job processes: one of them, the database, a whole node."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from scripts.cluster import node
from scripts.cluster.layout import FIRST, NODES, SECOND, Node
from scripts.cluster.processes import end, kill_all
from tests.cluster import state
from tests.cluster.cluster import ELSEWHERE, kubectl
from tests.cluster.elsewhere import Elsewhere
from tests.support.waiting import eventually

AT_ONCE = 3
"""Jobs of one client that a job process works on."""


@dataclass
class Container:
    """A pod's one container, and where it runs."""

    pod: str
    id: str
    node: Node

    @classmethod
    def of(cls, namespace: str, selector: str, on: Node) -> "Container":
        """Find one of a selector on a node."""
        found = json.loads(kubectl("get", "pods", "-l", selector, "-o", "json", namespace=namespace))["items"]
        one = next(one for one in found if one["spec"]["nodeName"] == on.name)
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
    """Have both job processes stand still while they work, and Prometheus know of each job that they have finished.

    They get their work when they stand still: on a busy machine it would be over before the last of it was sent.
    """
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
            if not elsewhere.statuses()["queued"]:
                elsewhere.post(10, 30_000)
        assert time.monotonic() < end_of_tries, (elsewhere.statuses(), elsewhere.counted())


def each_job_has_one_result(elsewhere: Elsewhere) -> None:
    """Kill them one after the other; whatever was accepted has its one result, and Prometheus tells of it once."""
    elsewhere.keep(2)
    assert sorted(elsewhere.pods().values()) == [one.name for one in NODES]

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

    with amid_their_jobs(elsewhere):
        end(f"kubelet-{SECOND.name}", signal.SIGKILL)
        kill_all(node.members(SECOND))
    for part in ("containerd", "proxy"):
        end(f"{part}-{SECOND.name}", signal.SIGKILL)
    elsewhere.finished()
    elsewhere.exact("retried")


def none_is_lost_that_was_accepted(elsewhere: Elsewhere) -> None:
    """Kill a replica of the API, then the edge, while jobs are sent; what a client heard to be accepted is done.

    What the two had counted since the last scrape is gone with them: it is the job processes' account that agrees.
    """
    for component in ("api", "nginx"):
        victim = Container.of(ELSEWHERE, f"app.kubernetes.io/component={component}", FIRST)
        some = len(elsewhere.accepted) + 20
        with ThreadPoolExecutor(1) as pool:
            posted = pool.submit(elsewhere.post, 300, 10, sure=False)
            eventually(partial(elsewhere.has_accepted, some), longest_pause=0.1)
            victim.signal(signal.SIGKILL)
            posted.result()
        kubectl("rollout", "status", f"deployment/{component}", "--timeout=280s", namespace=ELSEWHERE)
        eventually(elsewhere.answers)
    elsewhere.post(10, 10)
    elsewhere.agreed()
