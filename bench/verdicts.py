"""How often a deploy is judged wrongly (scripts/verdict.py), over simulated deploys of which the truth is known.

`python -m bench.verdicts` prints the table of docs/deployment.md. The seed is fixed: one rule gives one table.

Each deploy has three old replicas and a new one, looked at twelve times. Between two deploys differ how many requests
come (log-normal, around 20 a second in all), how long they take (80 % around 20 ms to 200 ms, the others ten times as
long), how fast each replica happens to be, and what fails anyway: up to 2 % of the requests at every replica, and in a
quarter of the deploys something that all of them need is away for one look, and half of the requests fail.
"""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts import judging
from scripts.verdict import PER_DOUBLE, QUICK_SECONDS, SLOWEST, Answers, Verdict, failures, slowness

DEPLOYS = 1000
SEED = 20261127
LOOKS = 12
OLD = 3
VERDICTS = tuple(Verdict)


@dataclass(frozen=True)
class Truth:
    """What is different about the new replica.

    Attributes:
        failing: share of its requests that fails because of it.
        slower: factor of all its durations.
        stuck: share of its requests that takes thirty times as long.
        cold: share of those in its first look that takes twenty times as long.
        paused: whether all that it answers in one look takes twenty times as long.
        traffic: factor of the number of requests.

    """

    failing: float = 0.0
    slower: float = 1.0
    stuck: float = 0.0
    cold: float = 0.0
    paused: bool = False
    traffic: float = 1.0


TRUTHS: Mapping[str, tuple[Truth, bool]] = {
    "the same": (Truth(), False),
    "the same, a fifth of its first answers slow": (Truth(cold=0.2), False),
    "the same, slow for 5 s": (Truth(paused=True), False),
    "the same, 2 requests a second": (Truth(traffic=0.1), False),
    "10 % slower": (Truth(slower=1.1), False),
    "every request fails": (Truth(failing=1.0), True),
    "10 % fail": (Truth(failing=0.1), True),
    "5 % fail": (Truth(failing=0.05), True),
    "three times as slow": (Truth(slower=3.0), True),
    "twice as slow": (Truth(slower=2.0), True),
    "10 % take thirty times as long": (Truth(stuck=0.1), True),
    "every request fails, 2 requests a second": (Truth(failing=1.0, traffic=0.1), True),
}
"""What is simulated, and whether it should be called worse."""


def classes(factor: float) -> float:
    """Return how many classes of duration (docker/nginx/judging.js) a factor of it is."""
    return PER_DOUBLE * math.log2(factor)


def simulate(truth: Truth, chance: random.Random) -> Verdict:
    """Judge one deploy."""
    draw, gauss, ceil = chance.random, chance.gauss, math.ceil  # a million requests in each table
    per_look = max(1.0, 20 * 60 / LOOKS * truth.traffic * math.exp(gauss(0, 0.7)))
    typical = 0.02 * 10 ** draw()
    anyway = 0.02 * draw() ** 3
    speeds = [math.exp(gauss(0, 0.1)) for _ in range(OLD + 1)]
    away_at = chance.randrange(LOOKS) if draw() < 0.25 else None
    paused_at = chance.randrange(LOOKS) if truth.paused else None
    numbers, failed = [0, 0], [0, 0]
    durations = [[0] * (SLOWEST + 1), [0] * (SLOWEST + 1)]
    spread, if_stuck, if_cold = 0.5 * classes(math.e), classes(30), classes(20)
    warm: judging.Durations = ({}, {})
    middle: judging.Durations = ({}, {})
    halves: list[judging.Durations] = []
    for look in range(LOOKS):
        for replica, speed in enumerate(speeds):
            new = replica == OLD
            fails = 0.5 if look == away_at else anyway
            fails += (1 - fails) * truth.failing * new
            pace = typical * speed * (truth.slower if new else 1) * (20 if new and look == paused_at else 1)
            quick, slow = classes(pace / QUICK_SECONDS), classes(10 * pace / QUICK_SECONDS)
            first, told = new and look == 0, durations[new]
            number = int(per_look / (OLD + 1) * (0.8 + 0.4 * draw()) + draw())
            numbers[new] += number
            for _ in range(number):
                if draw() < fails:
                    failed[new] += 1
                    continue
                longer = if_stuck if new and draw() < truth.stuck else 0.0
                if first and draw() < truth.cold:
                    longer += if_cold
                place = ceil((quick if draw() < 0.8 else slow) + longer + spread * gauss(0.0, 1.0))
                told[min(max(place, 0), SLOWEST)] += 1
        counts = [{place: count for place, count in enumerate(told) if count} for told in durations]
        others, one = (Answers(*of) for of in zip(numbers, failed, counts, strict=True))
        if look + 1 == LOOKS * judging.WARM_UP:
            warm = dict(one.durations), dict(others.durations)
        if look + 1 == LOOKS * judging.MIDDLE:
            middle = dict(one.durations), dict(others.durations)
            halves = [(one.since(warm[0]), others.since(warm[1]))]
        if failures(one, others).worse:
            return Verdict.WORSE
    halves.append((one.since(middle[0]), others.since(middle[1])))
    late = slowness(one.since(warm[0]), others.since(warm[1]), halves)
    return judging.decide([failures(one, others), *late]).verdict


def counted(truth: Truth, deploys: int = DEPLOYS) -> Counter[Verdict]:
    """Return how often each verdict is given."""
    chance = random.Random(SEED)
    return Counter(simulate(truth, chance) for _ in range(deploys))


def table(results: Sequence[tuple[str, bool, Counter[Verdict]]]) -> str:
    """Return the table for the docs."""
    lines = ["| the new replica | worse | as good | too few requests | wrong |", "|---|--:|--:|--:|--:|"]
    for name, bad, verdicts in results:
        wrong = verdicts[Verdict.AS_GOOD if bad else Verdict.WORSE]
        told = (verdicts[Verdict.WORSE], verdicts[Verdict.AS_GOOD], verdicts[Verdict.TOO_FEW])
        lines.append(f"| {name} | {' | '.join(map(str, told))} | {wrong} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    print(table([(name, bad, counted(truth)) for name, (truth, bad) in TRUTHS.items()]))


if __name__ == "__main__":
    main()
