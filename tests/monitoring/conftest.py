"""The live Prometheus that several modules ask."""

import pytest

from monitoring.live import Prometheus
from tests.monitoring.test_queries import EMPTY_WHEN_HEALTHY, drive, empty_queries
from tests.stack import Stack, eventually


@pytest.fixture(scope="session")
def prometheus(stack: Stack) -> Prometheus:
    """The stack's Prometheus once traffic has shown in every panel."""
    prometheus = Prometheus(stack.prometheus_url)

    def cold() -> set[tuple[str, str, str]]:
        drive(stack)
        return empty_queries(prometheus) - EMPTY_WHEN_HEALTHY

    # Not oftener: it is hundreds of queries, and what they ask for comes with a scrape.
    eventually(lambda: not cold(), lambda: f"no data: {sorted(cold())}", longest_pause=5)
    return prometheus
