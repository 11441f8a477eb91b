"""A browser gets a page with all its parts; who asks as an API client does is refused as ever."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.edge.containers import Edge, eventually
from tests.support.browsing import browser

PARTS = 40


def ask(edge: Edge, destination: str | None, method: str = "GET", count: int = PARTS) -> Counter[int]:
    """Ask as a browser does, all at once down one connection."""
    headers = {} if destination is None else {"Sec-Fetch-Dest": destination}

    async def gathered() -> Counter[int]:
        async with httpx.AsyncClient(http2=True, verify=edge.context(), base_url=edge.url, timeout=60) as client:
            requests = [client.build_request(method, f"/part/{number}.js", headers=headers) for number in range(count)]
            for request in requests:  # or httpcore ends an empty body apart, and fails where the answer was faster
                request.headers.pop("Content-Length", None)
            return Counter(answer.status_code for answer in await asyncio.gather(*map(client.send, requests)))

    return asyncio.run(gathered())


@pytest.mark.parametrize("destination", ["script", "style", "image", "font"])
def test_the_parts_of_a_page_wait_instead_of_being_refused(start_edge: Callable[..., Edge], destination: str) -> None:
    edge = start_edge()
    assert ask(edge, destination) == {200: PARTS}
    eventually(lambda: sum(edge.counts("edge_http_requests_total", "status").values()) == PARTS)
    assert edge.counts("rate_limit_exceeded_total") == {}
    waited = PARTS - sum(edge.counts("edge_http_request_duration_seconds_count", "route").values())
    assert 0 < waited < PARTS - 20  # 1 and the burst of 20 did not


@pytest.mark.parametrize(
    ("destination", "method"),
    [(None, "GET"), ("empty", "GET"), ("document", "GET"), ("iframe", "GET"), ("scripts", "GET"), ("script", "POST")],
)
def test_all_else_is_refused_beyond_the_burst(
    start_edge: Callable[..., Edge], destination: str | None, method: str
) -> None:
    edge = start_edge(RATE_LIMIT="1")
    statuses = ask(edge, destination, method)
    assert statuses[429] > 0
    assert statuses.total() - statuses[429] >= 21


def test_waiting_has_a_bound(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="5", RATE_BURST="2", RATE_PAGE_BURST="4")
    assert ask(edge, "script")[429] > 0


def test_it_can_be_switched_off(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="1", RATE_PAGE_BURST="0")
    assert ask(edge, "script")[429] > 0


def visit(edge: Edge, profile: Path) -> list[tuple[str, int]]:
    """Have a browser load the page; returns paths and statuses of all that it asked for."""

    def asked() -> list[tuple[str, int]]:
        return [(line["path"], line["status"]) for line in edge.log()]

    url = f"https://localhost:8443/page/{PARTS}"
    with browser(profile, url, within=edge.network_of_its_own()):
        eventually(lambda: any(path.startswith("/loaded/") for path, _ in asked()), edge.errors)
    return asked()


def test_a_browser_shows_a_page_of_forty_parts(start_edge: Callable[..., Edge], tmp_path: Path) -> None:
    edge = start_edge()
    asked = visit(edge, tmp_path)
    assert {(f"/part/{number}.js", 200) for number in range(PARTS)} <= set(asked)
    assert (f"/loaded/{PARTS}", 404) in asked
    assert edge.counts("rate_limit_exceeded_total") == {}
