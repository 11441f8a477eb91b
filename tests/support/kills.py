"""Documents that come all the while containers are killed."""

import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx

from tests.stack import DEADLINE, Stack, docker, eventually, say


def accepted_while_killed(
    stack: Stack, path: str, documents: Mapping[int, str], victims: Sequence[str], chosen: random.Random, key: str
) -> dict[int, str]:
    """Send each document until it is accepted, as a client with an idempotency key does; returns where they are jobs.

    Meanwhile containers of these services are killed, one after another, and started again.
    """
    accepted: dict[int, str] = {}

    def submit(number: int) -> None:
        headers = {"Content-Type": "text/plain", "Idempotency-Key": f"{key}-{number}"}
        end = time.monotonic() + DEADLINE
        while number not in accepted and time.monotonic() < end:
            time.sleep(0.3)  # so that they come all the time while containers are killed
            with suppress(httpx.HTTPError), stack.client(timeout=60) as client:
                answer = client.post(path, content=documents[number], headers=headers)
                if answer.status_code == 202:
                    accepted[number] = answer.headers["location"]

    with ThreadPoolExecutor(4) as pool:
        submitting = [pool.submit(submit, number) for number in documents]
        for kill, name in enumerate(victims, 1):
            due = chosen.randrange(len(documents) * (kill - 1), len(documents) * kill) // len(victims)
            eventually(lambda due=due: len(accepted) >= due, lambda: f"{len(accepted)} accepted")  # type: ignore[misc]
            container = chosen.choice(stack.compose("ps", "--all", "--quiet", name).stdout.split())
            say(f"kill {kill}, {len(accepted)} accepted: {name}")
            docker("kill", container)
            docker("start", container)
        for future in submitting:
            future.result()
    return accepted
