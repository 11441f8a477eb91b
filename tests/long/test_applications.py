"""Each application behind the stack: named alike at both sides, whatever is asked of it, and while it is dead."""

import secrets
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.apps.asking import API, EDGE, agree, counted
from tests.apps.cases import OTHERS, RELEASED, WRITTEN
from tests.apps.conftest import unmodified as unmodified
from tests.stack import Stack, eventually
from tests.support.browsing import BROWSERS
from tests.support.talking import talk

CASES = WRITTEN | RELEASED | OTHERS
RANDOM_PATHS = 10_000
AT_ONCE = 4
DEAD = 5

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module", params=CASES)
def served(request: pytest.FixtureRequest, unmodified: Stack) -> tuple[Stack, str]:
    """The stack with one application after the other."""
    if unmodified.settings["APP"] != request.param:
        unmodified.set(APP=request.param)
    return unmodified, request.param


def routes(stack: Stack, side: tuple[str, str]) -> set[str]:
    return {route for route, _ in counted(stack, side)}


def test_both_sides_count_alike(served: tuple[Stack, str]) -> None:
    stack, app = served
    agree(stack, CASES[app])


def test_ten_thousand_random_paths_are_one_route_more_at_most(served: tuple[Stack, str]) -> None:
    stack, _ = served
    before = {side: routes(stack, side) for side in (API, EDGE)}
    total = {side: sum(counted(stack, side).values()) for side in (API, EDGE)}

    def ask(count: int) -> None:
        with stack.client() as client:
            for _ in range(count):
                client.get("/" + "/".join(secrets.token_urlsafe(9) for _ in range(6)))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(ask, [RANDOM_PATHS // AT_ONCE] * AT_ONCE))
    for side in (API, EDGE):
        eventually(lambda side=side: sum(counted(stack, side).values()) == total[side] + RANDOM_PATHS)  # type: ignore[misc]
        assert len(routes(stack, side) - before[side]) <= 1


@pytest.fixture
def dead(served: tuple[Stack, str]) -> Iterator[tuple[Stack, str]]:
    """The application's containers are gone."""
    stack, app = served
    stack.compose("kill", "api")
    yield stack, app
    stack.compose("up", "--detach", "--wait")


def test_what_the_edge_answers_for_the_dead_has_their_routes(dead: tuple[Stack, str]) -> None:
    stack, app = dead
    before = counted(stack, EDGE)
    expected: Counter[str] = Counter()
    with stack.client() as client:
        for path, route, _ in CASES[app]:
            for _ in range(DEAD):
                answer = client.get(path, headers={"X-Sightglass-Route": "/forged"})
                assert answer.status_code in (502, 504), answer.text
            expected[route] += DEAD

    def seen() -> Counter[str]:
        found: Counter[str] = Counter()
        for (route, status), count in (counted(stack, EDGE) - before).items():
            assert status in ("502", "504")
            found[route] += count
        return found

    eventually(lambda: seen() == expected, lambda: f"{seen()}, not {expected}")


def test_a_websocket_of_quarts_passes_by_its_name(unmodified: Stack) -> None:
    unmodified.set(APP="of_quart:app")
    before = counted(unmodified, EDGE)
    with talk(f"{unmodified.https_url.replace('https', 'wss')}/rooms/7/talk", unmodified.tls) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"
    eventually(lambda: (counted(unmodified, EDGE) - before) == {("/rooms/{room}/talk", "101"): 1})


def test_a_browser_shows_pages_of_real_applications_within_the_default_limits(
    unmodified: Stack, tmp_path: Path
) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert browser is not None, "no Chromium: scripts/draw.sh installs it"
    limits = {name: unmodified.settings[name] for name in ("RATE_LIMIT", "RATE_BURST")}
    try:
        for app, path in {"tables:app": "/library/books", "httpbin:app": "/"}.items():
            unmodified.set(APP=app, RATE_LIMIT="10", RATE_BURST="20")
            before = counted(unmodified, EDGE)
            shown = subprocess.run(
                [
                    browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                    "--ignore-certificate-errors", f"--user-data-dir={tmp_path / app}", "--dump-dom",
                    "--virtual-time-budget=20000", f"{unmodified.https_url}{path}",
                ],
                capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            assert "No. 7" in shown or "httpbin" in shown
            asked = counted(unmodified, EDGE) - before
            assert sum(asked.values()) > 3, asked
            assert not [status for _, status in asked if status in ("429", "502", "503", "504")], asked
    finally:
        unmodified.set(**limits)
