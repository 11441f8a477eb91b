"""Says whether a new replica is clearly worse than the others, by how they answered beside each other.

One rule for all that is compared: the new one has more of something bad than the others, by at least a stated share of
its answers, and Fisher's exact test (one-sided) gives that no more than CHANCE if they were alike. How long answers
take is to differ in each half of the window, by half the share: one pause of a busy machine makes many slow at once.
Standard library only; what it does to deploys of which the truth is known is in bench/verdicts.py.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate

CHANCE = 1e-3
"""Above it, a difference may be chance."""
ENOUGH = 50
"""Answers of the new one, and of the others, below which a deploy is not told to be as good."""

# How long answers took, in classes as docker/nginx/judging.js counts them.
QUICK_SECONDS = 0.01  # the first class ends here: below, no two answers differ
PER_DOUBLE = 4  # classes from a duration to its double
SLOWEST = 56  # the last class; what is still under way is in it

MORE_FAILURES = 0.01
"""Share of the answers by which more have to be 5xx, or no whole answer."""
SLOWER = ((0.5, 0.2), (0.95, 0.03))
"""Quantiles of the others' durations, and the share by which more of the new one's have to be over twice as long."""


class Verdict(StrEnum):
    """What is said of a new replica; the values are those of the metric's label."""

    WORSE = "worse"
    AS_GOOD = "as_good"
    TOO_FEW = "too_few_requests"


@dataclass(frozen=True)
class Answers:
    """How one replica, or several together, answered.

    Attributes:
        number: attempts that the edge made there.
        failed: of these, those without a whole answer or with a 5xx.
        durations: the others, by class.

    """

    number: int = 0
    failed: int = 0
    durations: Mapping[int, int] = field(default_factory=dict)

    def since(self, earlier: Mapping[int, int]) -> dict[int, int]:
        """Return the durations that came after others."""
        return {duration: n - earlier.get(duration, 0) for duration, n in self.durations.items()}


@dataclass(frozen=True)
class Comparison:
    """One thing that is compared.

    Attributes:
        what: it is, for people.
        new: how many of the new one's, and of how many.
        others: the same of the others.
        more: the share that has to be between them.
        halves: the same in each half of the window, where both are to agree.

    """

    what: str
    new: tuple[int, int]
    others: tuple[int, int]
    more: float
    halves: tuple["Comparison", ...] = ()

    @property
    def worse(self) -> bool:
        """Whether the new one is, by the rule."""
        lasting = all(half.exceeds for half in self.halves if half.new[1])
        return self.exceeds and lasting and chance(self.new, self.others) <= CHANCE

    @property
    def exceeds(self) -> bool:
        """Whether the new one has more by the share, be it chance or not."""
        if not self.new[1] or not self.others[1]:
            return False
        return self.new[0] / self.new[1] - self.others[0] / self.others[1] >= self.more

    def __str__(self) -> str:
        """Return the numbers, for people."""
        return f"{self.what}: {_share(*self.new)} of the new one's, {_share(*self.others)} of the others'"


def failures(new: Answers, others: Answers) -> Comparison:
    """Compare how much failed."""
    what = "5xx or no whole answer"
    return Comparison(what, (new.failed, new.number), (others.failed, others.number), MORE_FAILURES)


def slowness(
    new: Mapping[int, int],
    others: Mapping[int, int],
    halves: Sequence[tuple[Mapping[int, int], Mapping[int, int]]] = (),
) -> list[Comparison]:
    """Compare how long it took, in classes: what most of the others' take, and what few exceed.

    Args:
        new: durations of the new one's.
        others: of the others'.
        halves: the same of both, in each half of the window; none where it was too short to have two.

    """
    compared = []
    for quantile, more in SLOWER:
        longest = _class_of(others, quantile) + PER_DOUBLE
        what = f"longer than {milliseconds(longest):.0f} ms"
        each = tuple(Comparison(what, _over(a, longest), _over(b, longest), more / 2) for a, b in halves)
        compared.append(Comparison(what, _over(new, longest), _over(others, longest), more, each))
    return compared


def milliseconds(duration: int) -> float:
    """Return where a class of durations ends."""
    return float(1000 * QUICK_SECONDS * 2 ** (duration / PER_DOUBLE))


def chance(new: tuple[int, int], others: tuple[int, int]) -> float:
    """Return how probable at least so many of the new one's are if both are alike: Fisher's exact test, one-sided.

    Args:
        new: how many, and of how many.
        others: the same.

    """
    hits, drawn = new
    marked, total = hits + others[0], drawn + others[1]
    all_ways = _log_choose(total, drawn)
    most = min(marked, drawn)
    logs = (_log_choose(marked, k) + _log_choose(total - marked, drawn - k) - all_ways for k in range(hits, most + 1))
    return min(1.0, math.fsum(map(math.exp, logs)))


def _log_choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _class_of(durations: Mapping[int, int], quantile: float) -> int:
    """Return the class in which a quantile is."""
    classes = sorted(durations)
    wanted = quantile * sum(durations.values())
    so_far = accumulate(durations[one] for one in classes)
    return next((one for one, n in zip(classes, so_far, strict=True) if n >= wanted), SLOWEST)


def _over(durations: Mapping[int, int], longest: int) -> tuple[int, int]:
    return sum(n for duration, n in durations.items() if duration > longest), sum(durations.values())


def _share(hits: int, of: int) -> str:
    return f"{hits} of {of} ({hits / of:.1%})" if of else "none of none"
