"""Documents, forms and texts made to break parsers, to fill memory or to take all of the CPU."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import httpx
import pytest

from tests.attacks import AT_LENGTH, share
from tests.attacks.inputs.documents import BODIES, BOMBS, Body
from tests.attacks.inputs.texts import TEXTS
from tests.attacks.sending import Attackers

PATIENCE = 20.0 if AT_LENGTH else 4.0
"""Seconds after which an attacker leaves: what it sent may well be worked on for minutes."""
DOCUMENTS = 900 if AT_LENGTH else 200
"""Documents in one form."""
ANSWERS = {200, 202, 400, 413, 415, 422, 503, 507}
"""What a body may be answered with; 503 and 507 where the attacker has taken its part."""
HUNG_UP = (httpx.ReadError, httpx.RemoteProtocolError)
"""How an attacker learns that its body was not wanted, where the answer does not get through to it."""
pytestmark = pytest.mark.timeout(1800)


def post(client: httpx.Client, body: Body, content: bytes) -> int:
    """Send one until it is answered; a job that came of it is removed again.

    Returns 0 where the attacker had no patience.
    """
    headers = {"Content-Type": body.content_type} | ({"Content-Encoding": body.coding} if body.coding else {})
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    hung_up = 0
    while True:
        try:
            answer = client.post(body.path, content=content, headers=raw)
        except httpx.TimeoutException:
            return 0
        except HUNG_UP:
            hung_up += 1
            assert hung_up < 5, body
            time.sleep(0.3)
            continue
        if answer.status_code == 429:  # its limit is not what is tried here
            time.sleep(0.3)
            continue
        if answer.status_code == 202:
            jobs = answer.json().get("jobs", [answer.json()])
            for job in jobs[:20]:
                client.delete(f"/api/v1/jobs/{job['id']}")
        elif answer.status_code >= 400:
            assert answer.headers["content-type"].startswith("application/problem+json"), (body, answer.text)
        return answer.status_code


def by_turns(
    attackers: Attackers,
    senders: int,
    inputs: Iterable[str],
    send: Callable[[httpx.Client, str], int],
    patience: float = PATIENCE,
) -> dict[str, int]:
    """Have so many attackers, each by an address of its own, send all there is; returns statuses.

    As many as a worker has places for documents: of more clients than places one may be told to come back.
    """
    left = iter(list(inputs))
    lock = threading.Lock()
    statuses: dict[str, int] = {}

    def work() -> None:
        with attackers.client(timeout=patience) as client:
            while True:
                with lock:
                    name = next(left, None)
                if name is None:
                    return
                statuses[name] = send(client, name)

    with ThreadPoolExecutor(senders) as pool:
        for one in [pool.submit(work) for _ in range(senders)]:
            one.result()
    return statuses


def test_no_body_is_the_servers_fault(attackers: Attackers) -> None:
    def send(client: httpx.Client, name: str) -> int:
        return post(client, BODIES[name], BODIES[name].make())

    statuses = by_turns(attackers, 2, share(list(BODIES), 3), send, patience=120)
    assert {name: status for name, status in statuses.items() if status not in ANSWERS - {503, 507}} == {}


def test_a_bomb_costs_its_sender_alone(attackers: Attackers) -> None:
    names = share(list(BOMBS), 6)
    statuses = by_turns(attackers, 2, names, lambda client, name: post(client, BOMBS[name], BOMBS[name].make()))
    assert {name: status for name, status in statuses.items() if status not in ANSWERS | {0}} == {}
    assert [name for name, status in statuses.items() if name.startswith("400 MB") and status == 200] == []


def test_a_pattern_costs_its_sender_alone(attackers: Attackers) -> None:
    def send(client: httpx.Client, name: str) -> int:
        body = Body("/api/v1/predict", "application/json", bytes)
        return post(client, body, httpx.Request("POST", "http://x", json={"text": TEXTS[name]}).content)

    statuses = by_turns(attackers, 2, share(list(TEXTS), 3), send)
    assert {name: status for name, status in statuses.items() if status not in {200, 422, 503, 0}} == {}


@pytest.mark.parametrize("path", ["/api/v1/predict", "/api/v1/process"])
def test_all_that_one_client_may_have_at_once_is_not_all_there_is(attackers: Attackers, path: str) -> None:
    """One address, every connection that it may have, each with something that takes long."""
    address = attackers.address()
    text = (TEXTS["cards"] + TEXTS["full-width"]) * 3
    end = time.monotonic() + 2 * PATIENCE

    def ask(_: int) -> None:
        with attackers.client(address, timeout=PATIENCE) as client:
            while time.monotonic() < end:
                with suppress(httpx.TimeoutException, *HUNG_UP):
                    if path.endswith("predict"):
                        answer = client.post(path, json={"text": text[:90_000]})
                    else:
                        answer = client.post(path, content=text.encode() * 10, headers={"Content-Type": "text/plain"})
                    assert answer.status_code in {200, 422, 429, 503, 507}, answer.text
                    time.sleep(0.2)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, range(20)))


def test_a_form_of_very_many_jobs_holds_nobody_up(attackers: Attackers) -> None:
    """And is gone again, as is each of its jobs."""
    head = 'Content-Disposition: form-data; name="document"; filename="a.txt"\r\nContent-Type: text/plain'
    part = f"--x\r\n{head}\r\n\r\na@b.example {{}}\r\n"
    form = "".join(map(part.format, range(DOCUMENTS))) + "--x--\r\n"
    address = attackers.address()
    with attackers.client(address) as client:
        answer = client.post("/api/v1/jobs", content=form, headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert answer.status_code == 202, answer.text
        jobs = [job["id"] for job in answer.json()["jobs"]]
        assert client.get("/api/v1/jobs?limit=1").status_code == 403
    for method in ("GET", "DELETE"):
        with ThreadPoolExecutor(8) as pool:
            statuses = set(pool.map(partial(ask_about, attackers, method), share(jobs, 9)))
        assert statuses <= {200, 202, 204, 404}


def ask_about(attackers: Attackers, method: str, job: str) -> int:
    """Ask about one job, by whatever address."""
    while True:
        with attackers.client() as client:
            status = client.request(method, f"/api/v1/jobs/{job}").status_code
        if status != 429:
            return status
        time.sleep(0.2)
