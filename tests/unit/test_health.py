"""Liveness, readiness and the checks they ask."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from sightglass.asgi.health import Check, Health


@pytest.fixture
def health() -> Health:
    return Health(version="1.2.3")


@pytest.fixture(autouse=True)
def bound(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set how long a check may take; longer than a busy machine needs, where a test says nothing."""

    def seconds(allowed: float) -> None:
        # The package's attribute `health` is the process's instance, not the module.
        monkeypatch.setattr(sys.modules[Health.__module__], "CHECK_SECONDS", allowed)

    seconds(30)
    return seconds


async def test_without_checks_the_process_is_healthy_and_ready(health: Health) -> None:
    status, body = await health.liveness()
    assert status == 200
    assert body.pop("uptime") >= 0
    assert body == {"status": "healthy", "version": "1.2.3", "model_loaded": False}
    assert await health.readiness() == (200, {"ready": True})


async def _passes() -> bool:
    return True


async def _fails() -> str:
    return "too few"


@pytest.mark.parametrize("check", [lambda: None, lambda: True, _passes, lambda: _passes()])
async def test_passing_check_keeps_ready(health: Health, check: Check) -> None:
    health.add_check("database", check)
    assert await health.readiness() == (200, {"ready": True})


def _raises() -> None:
    raise ConnectionError("with a password in it")


@pytest.mark.parametrize(
    ("check", "reason"),
    [(lambda: False, "failed"), (lambda: "gone", "gone"), (_fails, "too few"), (_raises, "ConnectionError")],
)
async def test_failing_check_is_named_with_its_reason(health: Health, check: Check, reason: str) -> None:
    health.add_check("cache", lambda: True)
    health.add_check("database", check)
    assert await health.readiness() == (503, {"ready": False, "reasons": [f"database: {reason}"]})
    assert (await health.liveness())[0] == 200


async def test_check_of_the_same_name_replaces(health: Health) -> None:
    health.add_check("database", lambda: False)
    health.add_check("database", lambda: True)
    assert (await health.readiness())[0] == 200


@pytest.mark.parametrize("loaded", [True, False])
async def test_model_check_decides_model_loaded_but_not_life(health: Health, loaded: bool) -> None:
    health.add_check("model", lambda: loaded)
    status, body = await health.liveness()
    assert (status, body["status"], body["model_loaded"]) == (200, "healthy", loaded)
    assert (await health.readiness())[0] == (200 if loaded else 503)


async def test_live_check_decides_life(health: Health) -> None:
    health.add_check("loop", lambda: False, live=True)
    status, body = await health.liveness()
    assert (status, body["status"]) == (503, "unhealthy")


async def test_shutting_down_fails_readiness_whatever_the_checks_say(health: Health) -> None:
    health.add_check("database", lambda: True)
    health.set_shutting_down()
    assert await health.readiness() == (503, {"ready": False, "reasons": ["shutting down"]})
    assert (await health.liveness())[0] == 200


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_blocking_check_fails_in_time_and_runs_once_until_it_ends(
    health: Health, release: threading.Event, bound: Callable[[float], None]
) -> None:
    bound(0.2)
    runs = 0

    def blocks() -> bool:
        nonlocal runs
        runs += 1
        return release.wait(60)

    health.add_check("disk", blocks)
    expected = (503, {"ready": False, "reasons": ["disk: no answer within 0.2 s"]})
    assert [await health.readiness() for _ in range(3)] == [expected] * 3
    assert runs == 1
    bound(30)
    release.set()
    async with asyncio.timeout(60):
        while (await health.readiness())[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("then", "now", "status"), [("down", None, 200), (None, "down", 503)])
async def test_what_a_check_found_too_late_is_no_later_probes_answer(
    health: Health, bound: Callable[[float], None], then: str | None, now: str | None, status: int
) -> None:
    bound(0.2)
    state, released, ended = then, asyncio.Event(), asyncio.Event()

    async def check() -> str | None:
        found = state
        await released.wait()
        ended.set()
        return found

    health.add_check("peer", check)
    assert (await health.readiness())[1]["reasons"] == ["peer: no answer within 0.2 s"]
    released.set()
    await ended.wait()
    state = now
    bound(30)
    assert (await health.readiness())[0] == status


async def test_hanging_coroutine_fails_in_time(health: Health, bound: Callable[[float], None]) -> None:
    bound(0.2)
    health.add_check("peer", asyncio.Event().wait)
    assert (await health.readiness())[1]["reasons"] == ["peer: no answer within 0.2 s"]


async def test_probes_at_the_same_time_share_one_run(health: Health, release: threading.Event) -> None:
    runs = 0

    def check() -> bool:
        nonlocal runs
        runs += 1
        return release.wait(60)

    health.add_check("disk", check)
    release_soon = asyncio.get_running_loop().call_later(0.05, release.set)
    answers = await asyncio.gather(*(health.readiness() for _ in range(5)))
    release_soon.cancel()
    assert answers == [(200, {"ready": True})] * 5
    assert runs == 1
