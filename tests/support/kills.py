"""Documents that come all the while containers are killed, and whether what Prometheus has counted agrees with them."""

import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import httpx

from tests.stack import DEADLINE, Stack, docker, eventually, say

BEFORE = 60.0
"""Seconds before the first document in which Prometheus has scraped everything once."""
SAVING = 60.0
"""Seconds that a job process may take to save a job's end, which it counts afterwards (`SAVE_SECONDS`)."""
COUNTING = {"api": "accepted", "jobs": "succeeded"}
"""What each service counts of a job that goes well."""
HELD = (
    "ls -l /proc/[0-9]*/fd 2>/dev/null | sed -n 's|.* -> \\(/app/runs/.*/\\)lock$|\\1document|p' "
    "| xargs -r stat -c %s 2>/dev/null; true"
)
"""Tells the sizes of the documents on which a container's processes work, where jobs are in SQLite."""


@dataclass
class Killing:
    """What became of the documents, seen from outside."""

    stack: Stack
    begun: float = field(default_factory=time.time)
    accepted: dict[int, str] = field(default_factory=dict)
    """Where each document is a job."""
    answered: dict[int, float] = field(default_factory=dict)
    """When it was accepted."""
    unsure: set[int] = field(default_factory=set)
    """Those that were sent again: what accepted them, first, may not have been able to count it."""
    ends: list[tuple[str, str, float]] = field(default_factory=list)
    """Which service's counts ended, at which address, when."""
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When counts began anew, at each address."""

    def end(self, containers: Sequence[str], end: Callable[[], object], start: Callable[[], object]) -> None:
        """End these containers and start them again, each as it is told."""
        self.ends += [(*found, math.inf) for one in containers if (found := _address(self.stack, one))]
        end()
        moment = time.time()
        self.ends = [(service, address, min(moment, known)) for service, address, known in self.ends]
        start()
        for one in containers:
            if found := _address(self.stack, one):
                self.starts[found[1]].append(moment)

    def counted(self, job: str, status: str) -> float:
        """Sum what Prometheus has seen a service count since the documents came, whoever began anew meanwhile."""
        total = 0.0
        for series in self._samples(f'jobs_total{{job="{job}",status="{status}"}}'):
            starts = list(self.starts[series["metric"]["instance"].rpartition(":")[0]])
            last, since = 0.0, -math.inf
            for moment, text in series["values"]:
                value = float(text)
                if value < last or any(since < start <= moment for start in starts):
                    last = 0.0
                if moment > self.begun:
                    total += value - last
                last, since = value, moment
        return total

    def agree(self, jobs: Mapping[int, Mapping[str, Any]]) -> None:
        """Have Prometheus' sums be the jobs', but for what a kill took that no scrape had seen; never be higher.

        `jobs` are the documents' as the API tells them, all of which succeeded.
        """
        wait_until_counted(self.stack)
        moments = {
            "accepted": self.answered,
            "succeeded": {n: datetime.fromisoformat(job["finished"]).timestamp() for n, job in jobs.items()},
        }
        for service, status in COUNTING.items():
            unseen = self._unseen(service)
            slack = SAVING if status == "succeeded" else 0.0
            lost = {
                number
                for number, moment in moments[status].items()
                if any(begin - slack < moment < end for begin, end in unseen)
            }
            if status == "accepted":
                lost |= self.unsure
            # What is saved is counted a moment later.
            least = len(jobs) - len(lost)
            eventually(partial(self._counted_at_least, service, status, least), partial(self.counted, service, status))
            found = self.counted(service, status)
            say(f"{status}: {found:.0f} of {len(jobs)} counted, {len(lost)} may be lost")
            assert least <= found <= len(jobs), (status, found, sorted(lost), self.ends)
        for status in ("failed", "dead", "cancelled"):
            assert self.counted("jobs", status) == self.counted("api", status) == 0, status

    def agree_on_more(self, count: int, send: Callable[[], object]) -> None:
        """Have Prometheus' sums rise by exactly these jobs, all of which succeed while nothing is killed."""
        before = {service: self.counted(service, status) for service, status in COUNTING.items()}
        send()
        wait_until_counted(self.stack)
        for service, status in COUNTING.items():
            least = before[service] + count
            eventually(partial(self._counted_at_least, service, status, least), partial(self.counted, service, status))
        wait_until_counted(self.stack)
        found = {service: self.counted(service, status) - before[service] for service, status in COUNTING.items()}
        assert found == dict.fromkeys(COUNTING, count)

    def _counted_at_least(self, service: str, status: str, least: float) -> bool:
        return self.counted(service, status) >= least

    def _unseen(self, service: str) -> list[tuple[float, float]]:
        """Give the times between a last scrape and an end."""
        scraped = {
            series["metric"]["instance"].rpartition(":")[0]: [at for at, value in series["values"] if value == "1"]
            for series in self._samples(f'up{{job="{service}"}}')
        }
        found = []
        for name, address, end in self.ends:
            if name == service:
                before = [at for at in scraped.get(address, []) if at < end]
                begun = [start for start in self.starts[address] if start < end]
                found.append((max([self.begun, *before[-1:], *begun[-1:]]), end))
        return found

    def _samples(self, selector: str) -> list[dict[str, Any]]:
        """Give the samples of series from a while before the documents on."""
        seconds = math.ceil(time.time() - self.begun + BEFORE)
        return self.stack.query(f"{selector}[{seconds}s]")


def wait_until_counted(stack: Stack) -> None:
    """Wait until each container that counts jobs has been scraped once more, at the address that it has now."""
    running = stack.compose("ps", "--quiet", *COUNTING).stdout.split()
    addresses = {found[1] for one in running if (found := _address(stack, one))}
    start = time.time()

    def scraped() -> dict[str, float]:
        seen = stack.query('timestamp(up{job=~"api|jobs"}) and up{job=~"api|jobs"} == 1')
        return {one["metric"]["instance"].rpartition(":")[0]: float(one["value"][1]) for one in seen}

    eventually(lambda: all(scraped().get(address, 0) > start for address in addresses), lambda: f"{scraped()}")


def _address(stack: Stack, container: str) -> tuple[str, str] | None:
    """Give a container's service, if that counts jobs, and the address at which Prometheus finds it."""
    found = json.loads(docker("inspect", container))[0]
    service = found["Config"]["Labels"]["com.docker.compose.service"]
    address = found["NetworkSettings"]["Networks"].get(f"{stack.project}_monitoring", {}).get("IPAddress")
    return (service, address) if service in COUNTING and address else None


def accepted_while_killed(
    stack: Stack,
    path: str,
    documents: Mapping[int, str],
    victims: Sequence[str],
    chosen: random.Random,
    key: str,
    long: Sequence[int] = (),
) -> Killing:
    """Send each document until it is accepted, as a client with an idempotency key does.

    Meanwhile containers of these services are killed, one after another, and started again. Of the job processes, as
    many times as there are `long` documents, it is the one that works on such a document, sent for it.
    """
    wait_until_counted(stack)
    killing = Killing(stack)
    accepted = killing.accepted
    held_back = iter(long)

    def submit(number: int) -> None:
        headers = {"Content-Type": "text/plain", "Idempotency-Key": f"{key}-{number}"}
        end = time.monotonic() + DEADLINE
        while number not in accepted and time.monotonic() < end:
            time.sleep(0.3)  # so that they come all the time while containers are killed
            with suppress(httpx.HTTPError), stack.client(timeout=60) as client:
                answer = client.post(path, content=documents[number], headers=headers)
                if answer.status_code == 202:
                    killing.answered[number] = time.time()
                    accepted[number] = answer.headers["location"]
                    return
            killing.unsure.add(number)

    with ThreadPoolExecutor(4) as pool:
        submitting = [pool.submit(submit, number) for number in documents if number not in long]
        for kill, name in enumerate(victims, 1):
            due = chosen.randrange(len(submitting) * (kill - 1), len(submitting) * kill) // len(victims)
            eventually(lambda due=due: len(accepted) >= due, lambda: f"{len(accepted)} accepted")  # type: ignore[misc]
            running = stack.compose("ps", "--all", "--quiet", name).stdout.split()
            if name == "jobs" and (number := next(held_back, None)) is not None:
                submit(number)
                victim = _working_on(documents[number], running)
            else:
                victim = chosen.choice(running)
            say(f"kill {kill}, {len(accepted)} accepted: {name}")
            killing.end([victim], partial(docker, "kill", victim), partial(docker, "start", victim))
        for future in submitting:
            future.result()
    return killing


def _working_on(document: str, containers: Sequence[str]) -> str:
    """Wait until one of these containers works on this document, the only one of its size; returns which."""
    found: list[str] = []

    def works() -> bool:
        size = str(len(document.encode()))
        found[:] = [one for one in containers if size in docker("exec", one, "sh", "-c", HELD).split()]
        return len(found) == 1

    eventually(works, lambda: f"no job process works on a document of {len(document)} bytes")
    return found[0]
