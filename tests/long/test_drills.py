"""Faults of the whole stack, and what is told of them."""

from collections.abc import Iterator

import pytest

from monitoring.live import Prometheus
from tests.stack import Stack, docker, eventually, running_stack

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def two() -> Iterator[Stack]:
    with running_stack(profiles=["monitoring"], API_REPLICAS="2") as stack:
        eventually(lambda: stack.value('sum(up{job="api"})') == 2, lambda: str(stack.query("up")))
        yield stack


@pytest.mark.parametrize("how", ["rm", "stop"])
def test_a_replica_that_is_gone_is_a_ticket(two: Stack, how: str) -> None:
    prometheus = Prometheus(two.prometheus_url)
    assert "ReplicaMissing" not in prometheus.firing()
    lost = two.inspect("api")[0]["Id"]
    docker(how, *(["--force"] if how == "rm" else []), lost)
    try:
        eventually(lambda: "ReplicaMissing" in prometheus.firing(), lambda: str(two.query("up")), deadline=120)
    finally:
        two.compose("up", "--detach", "--wait")
    eventually(lambda: "ReplicaMissing" not in prometheus.firing(), lambda: str(two.query("up")))


def test_another_number_by_make_scale_is_no_ticket(two: Stack) -> None:
    for number in (3, 1):
        assert two.run("make", "scale", f"N={number}").returncode == 0
        two.wait_for_value('stack:replicas:expected{job="api"}', number)
    assert "ReplicaMissing" not in Prometheus(two.prometheus_url).firing()
