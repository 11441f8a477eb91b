"""The stack of the shipped service's own tests."""

from collections.abc import Iterator

import pytest

from tests.stack import Stack, running_stack


@pytest.fixture(scope="session")
def service() -> Iterator[Stack]:
    """The service with two workers and Valkey beside it, without monitoring; the edge's limits are out of the way."""
    with running_stack(
        profiles=["valkey"], RATE_LIMIT="100000", RATE_BURST="100000", CONNECTION_LIMIT="1000",
        WORKER_REPLICAS="2", JOB_ATTEMPTS="100",
    ) as running:  # fmt: skip
        yield running
