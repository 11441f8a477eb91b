"""What clients share, they share fairly: places, and the turns of the model's thread."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from api.main import create_app
from api.privacy.clients import client_at
from api.privacy.findings import Finding
from api.privacy.inference import Places
from api.privacy.predict import PATH as PREDICT
from api.privacy.process import PATH as PROCESS
from api.privacy.turns import REMEMBERED, Turns
from api.problem import ProblemError
from api.settings import Settings
from tests.support.service import StubModel, eventually

ME, YOU, OTHER = "@192.0.2.1", "@192.0.2.2", "@192.0.2.3"


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.1", "@192.0.2.1"),
        ("::ffff:192.0.2.1", "@192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "@2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "@2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "@2001:db8:1:3::/64"),
        ("fe80::1%eth0", "@fe80::/64"),
        ("testclient", "@testclient"),
        ("", "@"),
    ],
)
def test_a_client_is_its_address_or_network(host: str, client: str) -> None:
    assert client_at(host) == client


class Held:
    """Places and who holds them."""

    def __init__(self, places: int) -> None:
        self.places = Places(places, "texts")
        self.stack = ExitStack()

    def take(self, *clients: str) -> list[bool]:
        taken = []
        for client in clients:
            try:
                self.stack.enter_context(self.places.taken(client))
            except ProblemError:
                taken.append(False)
            else:
                taken.append(True)
        return taken


def test_a_client_alone_may_have_every_place_and_no_more() -> None:
    assert Held(3).take(ME, ME, ME, ME) == [True, True, True, False]


def test_whoever_holds_none_gets_in_while_others_hold_all() -> None:
    held = Held(3)
    held.take(ME, ME, ME)
    assert held.take(YOU, ME, YOU, OTHER, "@a", "@b") == [True, False, False, True, True, False]  # 6 of 2 * 3
    held.stack.close()
    assert held.take(YOU, YOU, YOU, YOU) == [True, True, True, False]


def test_who_has_less_than_an_even_part_gets_in_while_others_hold_all() -> None:
    held = Held(8)
    held.take(*[ME] * 8)
    assert held.take(*[YOU] * 5) == [True] * 4 + [False]
    assert held.take(*[OTHER] * 3) == [True, True, False]


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=60), st.integers(1, 5))
def test_never_twice_the_places_and_never_all_of_them_one_clients(clients: list[str], places: int) -> None:
    held = Held(places)
    taken = Counter(client for client in clients if held.take(client) == [True])
    assert sum(taken.values()) <= 2 * places
    assert max(taken.values(), default=0) <= places
    if len(set(clients)) <= places:
        assert set(taken) == set(clients)


@contextmanager
def paused(turns: Turns) -> Iterator[None]:
    """Hold the thread, so that steps wait; then let them run to their end."""
    go = threading.Event()
    turns.submit("", go.wait)
    yield
    go.set()


class Clock:
    """Tells what a test says that steps cost."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turns(clock: Clock) -> Iterator[Turns]:
    turns = Turns("test", clock)
    yield turns
    turns.stop()


class Log:
    """Steps that say whose they were."""

    def __init__(self, turns: Turns, clock: Clock) -> None:
        self.turns, self.clock = turns, clock
        self.said = ""

    def put(self, client: str, cost: float, steps: int = 1) -> Any:
        def step() -> None:
            self.said += client
            self.clock.now += cost

        return [self.turns.submit(client, step) for _ in range(steps)][-1]


def test_steps_of_equal_cost_take_turns_however_many_wait(turns: Turns, clock: Clock) -> None:
    log = Log(turns, clock)
    with paused(turns):
        log.put("a", 1, 20)
        last = log.put("b", 1, 3)
    last.result(30)
    assert log.said[:6] in ("ababab", "bababa")


def test_time_is_shared_and_not_the_number_of_steps(turns: Turns, clock: Clock) -> None:
    log = Log(turns, clock)
    with paused(turns):
        log.put("a", 10, 10)
        last = log.put("b", 1, 30)
    last.result(30)
    assert log.said.rstrip("a").count("a") in (3, 4)


def test_who_comes_back_has_not_saved_up(turns: Turns, clock: Clock) -> None:
    log = Log(turns, clock)
    log.put("b", 1).result(30)
    log.put("a", 1, 100).result(30)
    with paused(turns):
        log.put("a", 1, 5)
        last = log.put("b", 1, 5)
    last.result(30)
    assert log.said[101:].startswith(("bab", "abab"))


def test_a_failing_step_is_charged_and_stops_nobody(turns: Turns, clock: Clock) -> None:
    def fail() -> None:
        clock.now += 1
        raise KeyError

    with pytest.raises(KeyError):
        turns.run("a", fail)
    assert turns.run("a", lambda: 17) == 17
    log = Log(turns, clock)
    with paused(turns):
        turns.submit("a", fail)
        log.put("a", 1)
        last = log.put("b", 1, 2)
    last.result(30)
    assert log.said[0] == "b"


def test_what_waits_when_it_stops_is_cancelled(turns: Turns) -> None:
    with paused(turns):
        waits = turns.submit("a", lambda: None)
        turns.stop()
    with pytest.raises(CancelledError):
        waits.result(30)


def test_clients_that_are_gone_are_forgotten(turns: Turns, clock: Clock) -> None:
    log = Log(turns, clock)
    for number in range(10 * REMEMBERED):
        log.put(f"{number},", 1).result(30)
    assert len(turns._reached) <= 2 * REMEMBERED + 1


def test_who_comes_while_anothers_step_runs_does_not_wait_for_its_end(clock: Clock) -> None:
    turns = Turns("test", clock, threads=2)
    log = Log(turns, clock)
    with paused(turns):
        assert [log.put(client, 1).result(30) for client in "abab"] == [None] * 4
    turns.stop()
    assert log.said == "abab"


def test_a_client_has_one_thread_at_a_time(clock: Clock) -> None:
    turns = Turns("test", clock, threads=2)
    log = Log(turns, clock)
    go = threading.Event()
    first = turns.submit("a", go.wait)
    seconds = log.put("a", 1, 3)
    log.put("b", 1, 3).result(30)
    assert (log.said, first.done()) == ("bbb", False)
    assert turns.busy() > 0
    go.set()
    seconds.result(30)
    assert log.said == "bbbaaa"
    turns.stop()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=40), st.integers(1, 3))
def test_each_step_runs_once_in_its_clients_order_and_never_two_of_one_client(
    steps: list[tuple[str, int]], threads: int
) -> None:
    turns = Turns("test", threads=threads)
    ran: list[tuple[str, int]] = []
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()

    def step(client: str, number: int, pauses: int) -> None:
        running[client] += 1
        most[client] = max(most[client], running[client])
        for _ in range(pauses):
            threading.Event().wait(0)
        ran.append((client, number))
        running[client] -= 1

    futures = [
        turns.submit(client, partial(step, client, number, pauses)) for number, (client, pauses) in enumerate(steps)
    ]
    for future in futures:
        future.result(30)
    turns.stop()
    assert sorted(number for _, number in ran) == list(range(len(steps)))
    for client in "abc":
        own = [number for name, number in ran if name == client]
        assert own == sorted(own)
    assert set(most.values()) <= {1}


@pytest.mark.parametrize("path", [PREDICT, PROCESS])
def test_a_client_that_fills_all_places_is_in_nobodys_way(tmp_path: Path, path: str) -> None:
    """The fourth of its windows does not end by itself; then come another client's requests."""
    windows = threading.Semaphore(3)
    seen: list[str] = []

    def find(text: str) -> list[Finding]:
        seen.append(text)
        if "slow" in text:
            assert windows.acquire(timeout=60)
        return []

    def send(client: TestClient, text: str) -> Any:
        if path == PREDICT:
            return client.post(path, json={"text": text}).status_code
        return client.post(path, content=text, headers={"Content-Type": "text/plain"}).status_code

    app = create_app(
        Settings(runs_dir=tmp_path, inference_concurrency=2, document_concurrency=2), lambda _: StubModel(find)
    )
    with TestClient(app, client=("192.0.2.1", 1)) as hostile:
        eventually(lambda: app.state.inference.check() is None)
        statuses: list[int] = []
        slow = "slow " * 20_000
        threads = [threading.Thread(target=lambda: statuses.append(send(hostile, slow))) for _ in range(2)]
        for thread in threads:
            thread.start()
        places = app.state.inference.texts if path == PREDICT else app.state.inference.documents
        eventually(lambda: len(seen) == 4 and places.taken_by_all == 2)
        victim = TestClient(app, client=("192.0.2.2", 1))
        assert send(hostile, "more") == 503
        # None of them waits for the window under way.
        assert [send(victim, "quick") for _ in range(5)] == [200] * 5
        assert sum("slow" in text for text in seen) == 4
        windows.release(1000)
        for thread in threads:
            thread.join(60)
    assert statuses == [200, 200]


async def test_a_cancelled_step_gives_its_turn_up(tmp_path: Path) -> None:
    app = create_app(Settings(runs_dir=tmp_path), lambda _: StubModel())
    async with app.router.lifespan_context(app):
        inference = app.state.inference
        await inference.model()
        ran: list[int] = []
        go = threading.Event()
        with inference.work(inference.texts, ME) as work, inference.work(inference.texts, ME) as other:
            first = asyncio.ensure_future(work.step(go.wait))
            second = asyncio.ensure_future(other.step(lambda: ran.append(1)))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.wait([second])
            await asyncio.sleep(0)  # the executor's side of it is told by the loop
            go.set()
            await first
            await work.step(lambda: ran.append(2))
    assert ran == [2]
