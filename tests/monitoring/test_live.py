"""The stand-in for Grafana: what it sends, and how it shows numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.draw import series_name, text
from monitoring.live import Series, Window, interpolate


@pytest.mark.parametrize(("step", "interval"), [(1, 40), (10, 40), (30, 40), (31, 41), (300, 310)])
def test_the_rate_interval_is_never_below_four_scrapes(step: int, interval: int) -> None:
    assert interpolate("rate(a[$__rate_interval])", Window(0, 600, step), {}) == f"rate(a[{interval}s])"


def test_variables_stand_for_what_is_chosen() -> None:
    expr = 'increase(a{job=~"$job",status="$1"}[$__range])'
    assert interpolate(expr, Window(0, 600), {"job": "x|y"}) == 'increase(a{job=~"x|y",status="$1"}[600s])'


def test_an_unknown_variable_is_not_passed_over() -> None:
    with pytest.raises(KeyError):
        interpolate('a{b="$missing"}', Window(0, 600), {})


def test_a_label_that_a_series_lacks_is_nothing_in_its_name() -> None:
    target = {"legendFormat": "{{job}} {{instance}} {{worker}}"}
    assert series_name(target, Series({"job": "api", "instance": "a", "worker": "0"}, ())) == "api a 0"
    assert series_name(target, Series({"job": "jobs", "instance": "j"}, ())) == "jobs j"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0, "s", "0 s"),
        (0.0005, "s", "500 µs"),
        (0.25, "s", "250 ms"),
        (90, "s", "1.5 min"),
        (86400 * 30, "s", "30 d"),
        (0.9995, "percentunit", "99.95 %"),
        (1536, "bytes", "1.5 KiB"),
        (0, "bytes", "0 B"),
        (2_500_000, "short", "2.5 M"),
        (7, "reqps", "7 req/s"),
        (float("nan"), "s", "-"),
        (float("inf"), "s", "∞"),
    ],
)
def test_numbers_are_shown_with_their_unit(value: float, unit: str, shown: str) -> None:
    assert text(value, unit) == shown


@given(st.floats(), st.sampled_from(["s", "percentunit", "bytes", "short", "reqps", "ops"]))
def test_every_number_can_be_shown(value: float, unit: str) -> None:
    assert text(value, unit)
