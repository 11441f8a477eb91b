"""The stacks that tests share, and what is shown of them when a test fails."""

import gc
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import NodeManager

from tests.stack import SERVED, Stack, running_stack
from tests.support.patience import be_patient

be_patient()

gc.disable()  # what is imported and collected stays


def pytest_collection_finish() -> None:
    """Look for garbage from here on."""
    gc.freeze()
    gc.enable()


def pytest_xdist_setupnodes() -> None:
    """The same in the process that collects nothing itself; it lets the others tear down what they have."""
    gc.enable()
    NodeManager.EXIT_TIMEOUT = 20  # seconds, and then it kills them; they end themselves after 15


# No test depends on how fast the machine is. `make test` and `make test-long` ask for the thorough profile.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=100)
hypothesis.settings.load_profile("quick")


def end(*_: object) -> None:
    """End as after ^C, with everything torn down; xdist's own interrupt, five seconds later, would cut that short."""
    signal.signal(signal.SIGINT, lambda *_: None)
    raise KeyboardInterrupt


def pytest_configure(config: pytest.Config) -> None:
    """Have images that stacks may share be noted, by all processes of this run, each of which SIGTERM ends in order."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
    if not hasattr(config, "workerinput"):
        handle, os.environ[SERVED] = tempfile.mkstemp(prefix="sightglass-served-")
        os.close(handle)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove them: the last stack is down."""
    if not hasattr(config, "workerinput"):
        noted = Path(os.environ.pop(SERVED))
        images = set(noted.read_text().split())
        noted.unlink()
        if images:
            subprocess.run(["docker", "image", "rm", *images], capture_output=True, check=False)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The production stack with monitoring, as `docker compose --profile monitoring up` starts it."""
    with running_stack(profiles=["monitoring"]) as running:
        yield running


# Tests that share a stack stay in one process (make test runs several); the groups with the longest work come first.
GROUPS = {
    "logs and traces": r"telemetry/",  # on a new machine it begins with a build of minutes
    "the service": r"e2e/test_(jobs|process|privacy|api_fuzz|rotation)",
    "the stack": r"(monitoring/|attacks/"
    r"|e2e/test_(alone|backup|doctor|edge|hardening|image|limits|monitoring|operators|predict|quality|setup))",
    "observability": r"e2e/test_observability",
    "make up": r"e2e/test_(up|readme)",
    "gunicorn": r"server/test_(?!limits|supervisor|job_processes)",  # they look at what all leave in /dev/shm
    "deploys": r"edge/test_deploy",
    "the certificate": r"acme/",
    "the edge": r"edge/",
    "the state": r"state/",
    "any app": r"e2e/",
    "unmodified apps": r"apps/",
    "the dashboards": r"dashboards/",
    "the linters": r"unit/test_lint",  # of the unit tests, what takes longest without a cache
    "simulated deploys": r"unit/test_verdict",
}


def group(nodeid: str) -> str:
    """Name the group of a test; one that shares nothing is in its file's."""
    return next(
        (name for name, path in GROUPS.items() if re.search(f"^tests/{path}", nodeid)), nodeid.partition("::")[0]
    )


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """Gives a group to one process as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Schedule by group; xdist's own groups, by marker, do not come through to it with pytest 9.2."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest work first."""
    order = {name: place for place, name in enumerate(GROUPS)}
    # What attacks a stack comes after all else that uses it.
    items.sort(key=lambda item: (order.get(group(item.nodeid), len(order)), "/attacks/" in item.nodeid))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End a group's stacks with its last test: idle ones would slow down all that comes after."""
    if nextitem and group(item.nodeid) in GROUPS and group(item.nodeid) != group(nextitem.nodeid):
        item.session._setupstate.teardown_exact(None)  # what the next ones need is made anew


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the logs of the stack a failed test used."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Stack) and value.directory.exists():  # it may have been the end of it that failed
                report.sections.append((f"containers of {value.project}", value.logs()))
    return report
