"""As many clients as it takes, each with as much under way as it may have: nothing runs out of memory."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.attacks import AT_LENGTH
from tests.attacks.sending import Attackers
from tests.attacks.test_floods import head

CLIENTS = 40 if AT_LENGTH else 8
CONNECTIONS = 90
"""Of a client, which may have 100."""
SENT = 1_100_000
"""Bytes of each body that are sent; then nothing more comes."""
BODIES = (("/api/v1/predict", "application/json"), ("/api/v1/process", "text/plain"), ("/api/v1/jobs", "text/plain"))
pytestmark = pytest.mark.timeout(1800)


def test_bodies_that_never_end(attackers: Attackers) -> None:
    length = f"Content-Length: {SENT + 90_000}"
    begun = [head(path, kind, length) + b' {"text": "' + b"x" * SENT for path, kind in BODIES]

    def hold(address: str) -> int:
        """Have bodies begin, down a connection each; returns how many."""
        held = 0
        for number in range(CONNECTIONS):
            with contextlib.suppress(OSError):
                connection = stack.enter_context(attackers.connect(address=address))
                connection.settimeout(5)
                connection.sendall(begun[number % len(begun)])
                held += 1
            time.sleep(0.1)  # within its rate
        return held

    with ExitStack() as stack, ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(hold, attackers.addresses[:CLIENTS])) >= CLIENTS * CONNECTIONS // 2
        time.sleep(3)
