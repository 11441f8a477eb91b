"""Keys that are guessed, made up or another's, while their owner works."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.inputs.guesses import GUESSES
from tests.attacks.sending import Answer, Attackers
from tests.attacks.test_requests import PATIENCE, at_once
from tests.stack import Stack

KEY = "victim-key-0123456789"
VICTIMS_KEY = f"Bearer {KEY}"


@pytest.fixture(scope="module", autouse=True)
def keys(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"victim:{KEY}\nattacker:attacker-key-0123456789\n# {KEY}-withdrawn\n")
    file.parent.chmod(0o755)
    file.chmod(0o644)
    stack.set(API_KEYS_FILE=str(file))
    yield file
    stack.set(API_KEYS_FILE="")


def test_no_guess_is_a_key(attackers: Attackers) -> None:
    def ask(guess: str) -> Answer:
        value = guess.format(key=KEY, upper=KEY.upper(), short=KEY[:-1], reversed=KEY[::-1])
        head = f"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {value}\r\n\r\n"
        return attackers.send(head.encode(), PATIENCE)

    answers = at_once(ask, GUESSES)
    right = {"Bearer  {key}", "bearer {key}"}
    assert not right & set(GUESSES)
    assert [(guess, answer.statuses) for guess, answer in answers if answer.statuses != [401]] == []


def test_a_thousand_guesses_a_second_cost_their_sender_alone(attackers: Attackers) -> None:
    def ask(number: int) -> Answer:
        head = f"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {number:020d}\r\n\r\n" * 50
        return attackers.send(head.encode(), 1.0)

    statuses = {status for _, answer in at_once(ask, range(200)) for status in answer.statuses}
    assert statuses == {401, 429}


def test_anothers_job_is_nobodys(attackers: Attackers) -> None:
    own = {"Authorization": "Bearer attacker-key-0123456789"}
    with attackers.client(headers={"Host": "localhost", "Authorization": VICTIMS_KEY}) as client:
        made = client.post("/api/v1/jobs", content=b"a@b.example", headers={"Content-Type": "text/plain"})
        where = made.headers["location"]
    with attackers.client(headers={"Host": "localhost"} | own) as client:
        assert client.get("/api/v1/jobs").json() == {"jobs": [], "next": None}
        asked = [
            (method, suffix) for method in ("GET", "DELETE") for suffix in ("", "/", "?x", "/result", "/../" + where)
        ]
        statuses = [client.request(method, where + suffix).status_code for method, suffix in asked]
        assert set(statuses) <= {404, 405, 307}
    with attackers.client(headers={"Host": "localhost", "Authorization": VICTIMS_KEY}) as client:
        assert client.get(where).status_code == 200
        assert client.delete(where).status_code in {202, 204}
