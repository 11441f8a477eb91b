"""What is asked of Prometheus in Grafana's place."""

import pytest

from monitoring.live import Window, interpolate


@pytest.mark.parametrize(("step", "interval"), [(1, 40), (10, 40), (30, 40), (31, 41), (300, 310)])
def test_the_rate_interval_is_never_below_four_scrapes(step: int, interval: int) -> None:
    assert interpolate("rate(a[$__rate_interval])", Window(0, 600, step), {}) == f"rate(a[{interval}s])"


def test_variables_stand_for_what_is_chosen() -> None:
    expr = 'increase(a{job=~"$job",status="$1"}[$__range]) / $__range_s'
    assert interpolate(expr, Window(0, 600), {"job": "x|y"}) == 'increase(a{job=~"x|y",status="$1"}[600s]) / 600'


def test_an_unknown_variable_is_not_passed_over() -> None:
    with pytest.raises(KeyError):
        interpolate('a{b="$missing"}', Window(0, 600), {})
