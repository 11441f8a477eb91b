"""Jobs through the edge while containers are killed over and over."""

# ruff: noqa: F401, F811  (fixtures)

import pytest

from tests.e2e.conftest import service
from tests.e2e.test_jobs import VALKEY, assert_none_is_lost
from tests.stack import Stack


@pytest.mark.parametrize("queue", ["", VALKEY], ids=["sqlite", "valkey"])
def test_no_accepted_job_is_lost_or_done_twice_whatever_is_killed(service: Stack, queue: str) -> None:
    assert_none_is_lost(service, queue, rounds=4)
