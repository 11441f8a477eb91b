"""The stacks that tests share, and what is shown of them when a test fails."""

from collections.abc import Generator, Iterator

import pytest

from tests.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The production stack with monitoring, as `docker compose --profile monitoring up` starts it."""
    with running_stack(profiles=["monitoring"]) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the logs of the stack a failed test used."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Stack):
                report.sections.append((f"containers of {value.project}", value.logs()))
    return report
