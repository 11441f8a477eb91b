"""The rule by which a new replica is called worse, and how often it is wrong."""

import re
from collections import Counter
from fractions import Fraction
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import verdicts
from scripts import judging, verdict
from scripts.verdict import SLOWEST, Answers, Comparison, Verdict, chance, failures, slowness

ROOT = Path(__file__).resolve().parents[2]
FILES = (ROOT / "docker/nginx/judging.js", ROOT / "docs/deployment.md")


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_the_chance_is_fisher_s(hits: int, misses: int, others_hits: int, others_misses: int) -> None:
    new, others = (hits, hits + misses), (others_hits, others_hits + others_misses)
    marked, total = hits + others_hits, new[1] + others[1]
    ways = sum(comb(marked, k) * comb(total - marked, new[1] - k) for k in range(hits, min(marked, new[1]) + 1))
    assert chance(new, others) == pytest.approx(float(Fraction(ways, comb(total, new[1]))), rel=1e-9)


def test_large_numbers_are_no_trouble() -> None:
    assert chance((20_000, 1_000_000), (20_000, 1_000_000)) == pytest.approx(0.5, abs=0.01)
    assert chance((30_000, 1_000_000), (20_000, 1_000_000)) < 1e-300


@pytest.mark.parametrize(
    ("new", "others", "worse"),
    [
        ((20, 20), (0, 60), True),
        ((5, 100), (0, 300), True),
        ((2, 100), (0, 300), False),  # may be chance
        ((100, 100), (300, 300), False),  # all fail alike
        ((150, 10_000), (90, 10_000), False),  # surely more, but not by a hundredth
        ((0, 300), (200, 300), False),  # better
        ((3, 3), (0, 0), False),
        ((0, 0), (0, 300), False),
    ],
)
def test_worse_is_more_by_a_share_that_matters_and_not_by_chance(
    new: tuple[int, int], others: tuple[int, int], *, worse: bool
) -> None:
    assert failures(Answers(new[1], new[0]), Answers(others[1], others[0])).worse is worse


QUICK, USUAL = 0, 12  # classes: up to 10 ms, up to 80 ms


@pytest.mark.parametrize(
    ("new", "others", "worse"),
    [
        ({USUAL: 100}, {USUAL: 300}, [False, False]),
        ({USUAL + 4: 100}, {USUAL: 300}, [False, False]),  # twice as long is not more than that
        ({USUAL + 5: 100}, {USUAL: 300}, [True, True]),
        ({USUAL: 90, 40: 10}, {USUAL: 300}, [False, True]),  # a tenth hangs
        ({4: 100}, {QUICK: 300}, [False, False]),  # up to 20 ms for up to 10
        ({SLOWEST: 4}, {USUAL: 500}, [True, True]),  # four are under way, none was answered
        ({SLOWEST: 100}, {SLOWEST: 300}, [False, False]),
        ({}, {USUAL: 300}, [False, False]),
        ({USUAL: 300}, {}, [False, False]),
    ],
)
def test_slower_is_more_than_twice_what_the_others_take(
    new: dict[int, int], others: dict[int, int], worse: list[bool]
) -> None:
    assert [one.worse for one in slowness(new, others)] == worse


@pytest.mark.parametrize(
    ("first", "second", "worse"),
    [
        ({USUAL: 90, 40: 10}, {USUAL: 90, 40: 10}, True),
        ({USUAL: 80, 40: 20}, {USUAL: 100}, False),  # one pause
        ({USUAL: 100}, {USUAL: 80, 40: 20}, False),
        ({}, {USUAL: 90, 40: 10}, True),  # a half without answers says nothing
        ({USUAL: 98, 40: 2}, {USUAL: 85, 40: 15}, True),  # in each half, by half the share
        ({USUAL: 99, 40: 1}, {USUAL: 85, 40: 15}, False),
    ],
)
def test_slower_is_slower_in_each_half_of_the_window(
    first: dict[int, int], second: dict[int, int], *, worse: bool
) -> None:
    whole = {duration: first.get(duration, 0) + second.get(duration, 0) for duration in {*first, *second}}
    tail = slowness(whole, {USUAL: 600}, [(first, {USUAL: 300}), (second, {USUAL: 300})])[1]
    assert tail.worse is worse


def test_the_numbers_are_told() -> None:
    told = str(failures(Answers(40, 10), Answers(200, 1)))
    assert told == "5xx or no whole answer: 10 of 40 (25.0%) of the new one's, 1 of 200 (0.5%) of the others'"


@pytest.mark.parametrize(
    ("new", "others", "expected"),
    [
        ((0, 50), (0, 50), Verdict.AS_GOOD),
        ((0, 49), (0, 5000), Verdict.TOO_FEW),
        ((0, 5000), (0, 49), Verdict.TOO_FEW),
        ((0, 0), (0, 0), Verdict.TOO_FEW),
        ((20, 20), (0, 49), Verdict.WORSE),  # enough to tell that
    ],
)
def test_too_few_requests_tell_nothing_good(new: tuple[int, int], others: tuple[int, int], expected: Verdict) -> None:
    assert judging.decide([Comparison("5xx", new, others, 0.01)]).verdict is expected


def test_the_edge_counts_in_the_classes_of_the_rule() -> None:
    told = dict(re.findall(r"^const ([A-Z_]+) = ([\d.]+);", FILES[0].read_text(), re.MULTILINE))
    assert float(told["QUICK"]) == verdict.QUICK_SECONDS
    assert (int(told["PER_DOUBLE"]), int(told["SLOWEST"])) == (verdict.PER_DOUBLE, verdict.SLOWEST)


@pytest.mark.parametrize("name", ["the same", "the same, slow for 5 s", "10 % fail"])
def test_a_thousand_deploys_are_judged_as_the_docs_say(name: str) -> None:
    truth, bad = verdicts.TRUTHS[name]
    told: Counter[Verdict] = verdicts.counted(truth)
    assert verdicts.table([(name, bad, told)]).splitlines()[-1] in FILES[1].read_text().splitlines()
