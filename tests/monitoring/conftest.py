"""The live Prometheus that several modules ask."""

import pytest

from monitoring.live import Prometheus
from tests.monitoring.test_queries import EMPTY_WHEN_HEALTHY, drive, empty_queries
from tests.stack import Stack, eventually


@pytest.fixture(scope="session")
def prometheus(stack: Stack) -> Prometheus:
    """The stack's Prometheus once traffic has shown in every panel."""
    prometheus = Prometheus(stack.prometheus_url)

    def warm() -> bool:
        drive(stack)
        return not empty_queries(prometheus) - EMPTY_WHEN_HEALTHY

    eventually(warm, lambda: f"no data: {sorted(empty_queries(prometheus) - EMPTY_WHEN_HEALTHY)}", deadline=120)
    return prometheus
