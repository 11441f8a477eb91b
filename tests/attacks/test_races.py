"""The same thing asked for, changed and removed at the same moment."""

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.attacks import AT_LENGTH
from tests.attacks.sending import Attackers
from tests.support.waiting import eventually

ROUNDS = 150 if AT_LENGTH else 25
FINISHED = 5
"""In one of so many rounds, the job is done before."""
CONTENT = b"Write to ada@example.org.\n" * 2000
REDACTED = CONTENT.replace(b"ada@example.org", b"[EMAIL_ADDRESS]")
RACES = (("GET", ""), ("GET", "/result"), ("DELETE", ""), ("GET", "/result"), ("DELETE", ""), ("GET", "/result"))
"""What is asked of one job at once."""
pytestmark = pytest.mark.timeout(900)


def test_a_result_is_whole_or_not_there(attackers: Attackers) -> None:
    seen: Counter[tuple[str, int]] = Counter()

    def ask(client: httpx.Client, method: str, path: str) -> None:
        answer = client.request(method, path)  # raises where an answer is cut off
        seen[f"{method} {path.rpartition('/')[2][:6]}", answer.status_code] += 1
        if path.endswith("/result") and answer.status_code == 200:
            assert answer.content == REDACTED

    def done(client: httpx.Client, where: str) -> bool:
        answer = client.get(where)
        return answer.status_code == 200 and answer.json()["status"] == "succeeded"

    # More of them, where none had a result to give before it was deleted.
    for number in itertools.count():
        if number >= ROUNDS and (seen["GET result", 200] or number >= 4 * ROUNDS):
            break
        clients = [attackers.client() for _ in RACES]
        with attackers.client() as client:
            made = client.post("/api/v1/jobs", content=CONTENT, headers={"Content-Type": "text/plain"})
            assert made.status_code == 202, made.text
            where = made.headers["location"]
            if number % FINISHED == 0:
                eventually(lambda: done(client, where))  # noqa: B023
        with ThreadPoolExecutor(len(RACES)) as pool:
            asked = [
                pool.submit(ask, client, method, f"{where}{suffix}")
                for client, (method, suffix) in zip(clients, RACES, strict=True)
            ]
        for one in asked:
            one.result()
        for client in clients:
            client.close()
    assert {status for _, status in seen} <= {200, 202, 204, 404, 409}
    assert seen["GET result", 200] > 0


def test_one_idempotency_key_at_once_is_one_job(attackers: Attackers) -> None:
    for number in range(ROUNDS // 5):
        address = attackers.address()
        headers = {"Content-Type": "text/plain", "Idempotency-Key": f"race-{number}"}

        def create(_: int, address: str = address, headers: dict[str, str] = headers) -> str:
            with attackers.client(address) as client:
                answer = client.post("/api/v1/jobs", content=b"a@b.example", headers=headers)
                assert answer.status_code == 202, answer.text
                return str(answer.json()["id"])

        with ThreadPoolExecutor(8) as pool:
            ids = set(pool.map(create, range(8)))
        assert len(ids) == 1
        with attackers.client(address) as client:
            assert client.delete(f"/api/v1/jobs/{ids.pop()}").status_code in {202, 204}
