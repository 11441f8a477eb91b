"""What is looked at while a new replica is judged, on a clock of its own."""

import json
import subprocess
from collections.abc import Callable

import pytest

from scripts import judging
from scripts.judging import Judgement, Watch
from scripts.verdict import Verdict
from tests.support.sleeping import sleep_here

NEW, OLD = ("new", "10.0.0.9:8000"), [("a", "10.0.0.1:8000"), ("b", "10.0.0.2:8000")]


class Machine:
    """Docker and the edge; what is told changes with each look."""

    def __init__(self) -> None:
        self.now = 0.0
        self.counts: Callable[[float], dict[str, int]] = lambda now: {
            "new number": int(10 * now), "new 4": int(10 * now), "others number": int(20 * now),
            "others 4": int(20 * now), NEW[1]: 1, "on": 1,
        }  # fmt: skip
        self.restarts: Callable[[float], dict[str, int]] = lambda now: {}
        self.ready: Callable[[float, str], bool] = lambda now, address: True
        self.under_way = {"new": 0, "a": 0, "b": 0}

    def edge(self, what: str, **arguments: str) -> str:
        assert what == "counted"
        return json.dumps(self.counts(self.now))

    def checked(self, *command: str) -> str:
        found = self.restarts(self.now)
        return json.dumps(
            [{"Id": one, "RestartCount": found.get(one, 3), "State": {"Running": True}} for one in command[2:]]
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        asked = command[command.index("sh", command.index("-c")) + 1 :]
        told = "\n".join("200" if self.ready(self.now, address) else "503" for address in asked)
        return subprocess.CompletedProcess(command, 0, told, "")

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def judge(self, seconds: int = 60) -> Judgement:
        return Watch(NEW, OLD, self.under_way.__getitem__).judge(seconds)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    for name in ("edge", "checked", "run"):
        monkeypatch.setattr(judging, name, getattr(made, name))
    monkeypatch.setattr("time.sleep", sleep_here(made.sleep))
    monkeypatch.setattr("time.monotonic", lambda: made.now)
    monkeypatch.setattr("scripts.running.project", lambda: "shop")
    return made


@pytest.mark.parametrize("seconds", [60, 10, 1, 600])
def test_one_that_is_as_good_is_watched_to_the_end(machine: Machine, seconds: int) -> None:
    expected = Verdict.AS_GOOD if seconds > 1 else Verdict.TOO_FEW
    assert machine.judge(seconds).verdict is expected
    assert machine.now == pytest.approx(seconds)


def test_one_that_fails_is_not_watched_any_longer(machine: Machine) -> None:
    machine.counts = lambda now: {"new number": 50, "new failed": 25, "others number": 100}
    told = machine.judge()
    assert (told.verdict, machine.now) == (Verdict.WORSE, 5)
    assert "25 of 50" in told.reason


def test_one_that_is_slow_is_worse_in_the_end(machine: Machine) -> None:
    machine.counts = lambda now: {"new number": 100, "new 20": 100, "others number": 200, "others 4": 200}
    machine.counts, late = lambda now: late(now) if now > 10 else {}, machine.counts
    told = machine.judge()
    assert (told.verdict, machine.now) == (Verdict.WORSE, 60)
    assert "longer than 40 ms: 100 of 100" in told.reason


def test_one_that_is_slow_at_first_is_not(machine: Machine) -> None:
    machine.counts = lambda now: {
        "new number": int(10 * now), "new 40": 100, "new 4": int(10 * now) - 100, "others number": int(20 * now),
        "others 4": int(20 * now),
    }  # fmt: skip
    assert machine.judge().verdict is Verdict.AS_GOOD


def test_one_that_answers_nothing_is_worse(machine: Machine) -> None:
    machine.counts = lambda now: {"others number": int(20 * now), "others 4": int(20 * now)}
    machine.under_way = {"new": 8, "a": 8, "b": 8}
    assert machine.judge().verdict is Verdict.WORSE


def test_one_on_which_some_requests_hang_is_worse(machine: Machine) -> None:
    machine.under_way = {"new": 66, "a": 0, "b": 0}
    assert machine.judge().verdict is Verdict.WORSE


def test_one_that_pauses_once_is_not(machine: Machine) -> None:
    machine.counts = lambda now: {
        "new number": int(10 * now), "new 4": int(10 * now) - (50 if now > 40 else 0), "new 40": 50 if now > 40 else 0,
        "others number": int(20 * now), "others 4": int(20 * now),
    }  # fmt: skip
    assert machine.judge().verdict is Verdict.AS_GOOD


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [({"new": 4}, Verdict.WORSE), ({"new": 4, "a": 4}, Verdict.AS_GOOD), ({"a": 9}, Verdict.AS_GOOD)],
)
def test_restarts_count_against_those_of_the_others(machine: Machine, counts: dict[str, int], verdict: Verdict) -> None:
    machine.restarts = lambda now: counts if now > 7 else {}
    assert machine.judge().verdict is verdict


@pytest.mark.parametrize(
    ("unready", "verdict"),
    [
        ({NEW[1]}, Verdict.WORSE),
        ({NEW[1], OLD[0][1], OLD[1][1]}, Verdict.AS_GOOD),  # what they all need is away
        ({NEW[1], OLD[0][1]}, Verdict.AS_GOOD),
        ({OLD[0][1]}, Verdict.AS_GOOD),
    ],
)
def test_readiness_counts_against_that_of_most_others(machine: Machine, unready: set[str], verdict: Verdict) -> None:
    machine.ready = lambda now, address: address not in unready
    assert machine.judge().verdict is verdict


def test_one_look_at_which_it_was_not_ready_is_none(machine: Machine) -> None:
    machine.ready = lambda now, address: now != 15
    assert machine.judge().verdict is Verdict.AS_GOOD


@pytest.mark.parametrize(("given", "expected"), [("", 60), ("0", 0), ("10", 10), ("600", 600)])
def test_the_window_is_a_number_of_seconds(given: str, expected: int) -> None:
    assert judging.window(given) == expected


@pytest.mark.parametrize("given", ["-1", "601", "1.5", "one", "٣", "60s", " "])
def test_any_other_is_refused_in_a_line(given: str) -> None:
    with pytest.raises(ValueError, match=r"^DEPLOY_JUDGE_SECONDS=.*: not allowed; expected .* from 0 to 600$"):
        judging.window(given)
