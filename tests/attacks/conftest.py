"""The stack that is attacked, who attacks it, and the other client, which must not notice."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.attacks import AT_LENGTH
from tests.attacks.memory import Memory
from tests.attacks.sending import Attackers, addresses
from tests.attacks.victim import Watch, victim
from tests.edge.outside import Outside, outside
from tests.stack import Stack, say

collect_ignore = [] if AT_LENGTH else ["test_keys.py"]  # whose stack is another one
ATTACKERS = 100
"""Addresses of attackers: each has the limits of one client, as everywhere."""


@pytest.fixture(scope="session")
def cable() -> Iterator[Outside]:
    """The cable on one end of which the attackers are, and on the other the victim."""
    with outside() as made:
        yield made


@pytest.fixture(scope="session")
def attackers(stack: Stack, cable: Outside) -> Iterator[Attackers]:
    """Clients of the stack as it comes: with all its limits, and without keys."""
    with addresses(cable.host, ATTACKERS) as made:
        yield Attackers(cable.host, int(stack.settings["HTTPS_PORT"]), made)


@pytest.fixture(scope="session")
def watch(stack: Stack, cable: Outside) -> Callable[..., AbstractContextManager[Watch]]:
    """Have the other client ask, with a key of its own or without, for a `with` block."""

    def asking(authorization: str = "") -> AbstractContextManager[Watch]:
        inside = ["ip", "netns", "exec", cable.namespace]
        return victim(inside, cable.host, int(stack.settings["HTTPS_PORT"]), authorization)

    return asking


@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever the test does: each request of the other client is answered 200, and nothing runs out of memory."""
    if "attackers" not in request.fixturenames:
        yield
        return
    stack: Stack = request.getfixturevalue("stack")
    asking = request.getfixturevalue("watch")
    with Memory(stack) as memory, asking(getattr(request.module, "VICTIMS_KEY", "")) as seen:
        yield
    answers = seen.answers
    worst = {service: f"{held.most / held.limit:.0%}" for service, held in memory.held.items() if held.limit}
    say(f"the other client: {answers.statuses.total()} requests, at most {max(answers.seconds):.2f} s; memory {worst}")
    assert answers.failures == []
    assert set(answers.statuses) == {200}
    assert {service: held.killed for service, held in memory.held.items() if held.killed} == {}
    assert {service: held for service, held in memory.held.items() if held.most > held.limit * 0.95} == {}
