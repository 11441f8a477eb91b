"""Watches how a new replica does beside the old ones, at the edge, and says what comes of it. Standard library only."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from scripts.commands import checked, run, say, step
from scripts.preflight import refusal
from scripts.running import named
from scripts.verdict import ENOUGH, SLOWEST, Answers, Comparison, Verdict, failures, slowness

DEFAULT_SECONDS = 60
MOST_SECONDS = 600  # docker/nginx/http/metrics.conf forgets a deploy that was killed after twice as long
LOOK_SECONDS = 5.0  # from one look to the next
WARM_UP = 1 / 6
"""Share of the window in which how long answers take does not count: caches are filled, connections opened."""
MIDDLE = (WARM_UP + 1) / 2
"""Share of the window after which half is over of what counts."""
ASK_READY = 'for at in "$@"; do curl -s -o /dev/null -m 2 -w "%{http_code}\\n" "http://$at/ready" || true; done'

Durations = tuple[Mapping[int, int], Mapping[int, int]]
"""How long answers took, by class: the new one's and the others'."""


@dataclass
class Judgement:
    """What was seen, and what is said of it."""

    verdict: Verdict
    reason: str
    compared: list[Comparison] = field(default_factory=list)


def window(given: str) -> int:
    """Return how many seconds of DEPLOY_JUDGE_SECONDS; 0 is not to judge.

    Raises:
        ValueError: it is none; with a line for people.

    """
    if not given:
        return DEFAULT_SECONDS
    if not (given.isascii() and given.isdigit() and int(given) <= MOST_SECONDS):
        expected = f"a whole number of seconds from 0 to {MOST_SECONDS}"
        raise ValueError(refusal("DEPLOY_JUDGE_SECONDS", given, expected))
    return int(given)


class Watch:
    """A look at one new replica and the old ones, again and again.

    Args:
        new: the new one's container and its ADDRESS:PORT.
        others: those of the old ones.
        under_way: says how many requests a container is answering.

    """

    def __init__(
        self, new: tuple[str, str], others: Sequence[tuple[str, str]], under_way: Callable[[str], int]
    ) -> None:
        self.new = new
        self.others = others
        self.under_way = under_way
        self.restarts = self._restarts()
        self.unready = 0  # looks in a row

    def judge(self, seconds: float) -> Judgement:
        """Look until the window is over, or the new one is clearly worse."""
        begun = time.monotonic()
        warm: Durations | None = None
        middle: Durations | None = None
        halves: list[Durations] = []
        looks = max(1, round(seconds / LOOK_SECONDS))
        for look in range(1, looks + 1):
            time.sleep(max(0.0, begun + look * seconds / looks - time.monotonic()))
            new, others = self.counted()
            if warm is None and look >= looks * WARM_UP and look < looks:
                warm = new.durations, others.durations
            if warm and middle is None and looks * MIDDLE <= look < looks:
                middle = new.durations, others.durations
                halves = [self._late(new, others, warm, self._waiting())]
            if reason := self._broken():
                return Judgement(Verdict.WORSE, reason, [failures(new, others)])
            if (failed := failures(new, others)).worse:
                return Judgement(Verdict.WORSE, str(failed), [failed])
        waiting = self._waiting()
        late = self._late(new, others, warm or ({}, {}), waiting)
        if middle:
            halves.append(self._late(new, others, middle, waiting))
        return decide([failed, *slowness(*late, halves)])

    def counted(self) -> tuple[Answers, Answers]:
        """Return what the edge has counted since it was told to: of the new one, of the others."""
        told: dict[str, int] = json.loads(edge("counted"))
        return _side(told, "new"), _side(told, "others")

    def _waiting(self) -> tuple[int, int]:
        """Return how many requests the new one, and the others, are answering."""
        return self.under_way(self.new[0]), sum(self.under_way(container) for container, _ in self.others)

    def _late(self, new: Answers, others: Answers, since: Durations, waiting: tuple[int, int]) -> Durations:
        """Return the durations that came since, and as the longest what is still being answered: it may hang."""
        late = new.since(since[0]), others.since(since[1])
        for durations, number in zip(late, waiting, strict=True):
            durations[SLOWEST] = durations.get(SLOWEST, 0) + number
        return late

    def _broken(self) -> str:
        """Say what is wrong with the new one itself, and not with the old ones as well."""
        more = [now - then for now, then in zip(self._restarts(), self.restarts, strict=True)]
        if more[0] > max(more[1:]):
            return f"it ended or restarted {more[0]} times, each of the others {max(more[1:])} at most"
        self.unready = 0 if self._ready([self.new]) else self.unready + 1
        if self.unready > 1:
            ready = self._ready(self.others)
            if 2 * ready > len(self.others):
                return f"it is not ready, {ready} of the {len(self.others)} others are"
        return ""

    def _restarts(self) -> list[int]:
        """Return how often each has restarted, the new one first; one that does not run has once more."""
        containers = [container for container, _ in (self.new, *self.others)]
        inspected: list[dict[str, Any]] = json.loads(checked("docker", "inspect", *containers))
        found = {item["Id"]: item["RestartCount"] + (not item["State"]["Running"]) for item in inspected}
        return [found[container] for container in containers]

    def _ready(self, replicas: Sequence[tuple[str, str]]) -> int:
        """Return how many of these tell the edge that they are ready."""
        addresses = [address for _, address in replicas]
        asked = run(*named("exec", "-T", "nginx", "sh", "-c", ASK_READY, "sh", *addresses))
        return asked.stdout.split().count("200")


def decide(compared: list[Comparison]) -> Judgement:
    """Say what comes of the comparisons at the end of the window."""
    if worse := [str(one) for one in compared if one.worse]:
        return Judgement(Verdict.WORSE, "; ".join(worse), compared)
    fewest = min(compared[0].new[1], compared[0].others[1])
    if fewest < ENOUGH:
        return Judgement(Verdict.TOO_FEW, f"too few requests to tell: {fewest}, of {ENOUGH} at least", compared)
    return Judgement(Verdict.AS_GOOD, "as good as the others", compared)


def judge(watch: Watch, seconds: int) -> Judgement:
    """Have the edge count, watch, and make the verdict known: here, in the edge's log and in its metrics.

    The new replica has its share from then on that `watch` was made.
    """
    step(f"judging it beside {len(watch.others)}, for {seconds} s")
    judgement = watch.judge(seconds)
    for comparison in judgement.compared:
        say(str(comparison))
    say(f"verdict: {judgement.verdict}: {judgement.reason}")
    message = f"A new replica was judged: {judgement.verdict}: {judgement.reason}"
    edge("end", verdict=judgement.verdict, message=message)
    return judgement


def edge(what: str, **arguments: str) -> str:
    """Ask the edge's own listener (docker/nginx/judging.js)."""
    url = f"http://127.0.0.1:9113/judging/{what}?{urlencode(arguments)}"
    return checked(*named("exec", "-T", "nginx", "curl", "-fsS", url))


def _side(told: Mapping[str, int], side: str) -> Answers:
    counts = {key.removeprefix(f"{side} "): n for key, n in told.items() if key.startswith(f"{side} ")}
    durations = {int(key): n for key, n in counts.items() if key.isdigit()}
    return Answers(counts.get("number", 0), counts.get("failed", 0), durations)
