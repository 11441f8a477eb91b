"""The stacks that tests share, and what is shown of them when a test fails."""

from collections.abc import Generator, Iterator

import pytest

from tests.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The production stack with monitoring, as `docker compose --profile monitoring up` starts it."""
    with running_stack(profiles=["monitoring"]) as running:
        yield running


# Tests that share a stack stay in one process (make test runs several); the longest work begins first.
SHARED = ("service", "stack", "made", "network")
LONGEST_FIRST = ("service", "stack", "test_observability", "made", "gunicorn", "test_deploy", "network", "test_any_app")


def group(item: pytest.Item) -> str:
    """Name what a test shares with others: a stack, or else its file."""
    if item.path.parent.name in ("server", "workers"):
        return "gunicorn"  # they look at what all servers of this machine leave in /dev/shm
    fixtures = getattr(item, "fixturenames", ())
    return next((name for name in SHARED if name in fixtures), item.path.stem)


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell the processes apart, the longest work first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(group(item), len(order)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the logs of the stack a failed test used."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Stack):
                report.sections.append((f"containers of {value.project}", value.logs()))
    return report
