"""Applications of somebody else's (tests/apps) under a whole stack, and what is asked of them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.stack import ROOT, Stack, eventually, running_stack
from tests.support.drawing import PICTURES, Drawing, draw

DASHBOARDS = sorted((ROOT / "grafana/dashboards").glob("*.json"))
"""Those that any application has."""
PATHS = {
    "notes:create_app": ["/notes/7", "/notes/8", "/notes/files/a.txt", "/nowhere"],
    "polls.wsgi:application": ["/polls/7/results/", "/polls/news", "/articles/2024/", "/nowhere"],
}
"""By application, Flask's and Django's: what works."""
EMPTY: set[str] = set()
"""Faults of dashboards over an application that nothing is wrong with: none."""


@contextmanager
def somebodys(application: str, **settings: str) -> Iterator[Stack]:
    """Serve it in an image of its own, with monitoring."""
    own = {"API_CONTEXT": "./tests/apps", "APP": application, "JOBS_REPLICAS": "0"}
    with running_stack(profiles=["monitoring"], **own, **settings) as stack:
        yield stack


def ask(stack: Stack) -> None:
    """Send it a few requests, fewer than are limited."""
    with stack.client() as client:
        for path in PATHS[stack.settings["APP"]]:
            assert client.get(path).status_code in {200, 404}


def seen(stack: Stack) -> Drawing:
    """Return what is on the dashboards."""
    out = PICTURES / stack.settings["APP"].partition(":")[0]
    return draw(stack.prometheus_url, *DASHBOARDS, to=time.time(), minutes=5, out=out)


def assert_every_panel_is_filled(stack: Stack) -> None:
    """Draw each dashboard that any application has, and find no fault."""
    found: list[set[str]] = []

    def filled() -> bool:
        ask(stack)
        found[:] = [set(seen(stack).faults)]
        return found[0] <= EMPTY

    eventually(filled, lambda: found[0], longest_pause=2)
