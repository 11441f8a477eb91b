"""A deploy that is interrupted, or fails, at any step: all old or all new replicas serve, and nothing stays pinned."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from scripts import deploy, judging, releases
from scripts.commands import ROOT, CommandError
from scripts.deploy import DeployError
from scripts.judging import Judgement, Watch
from scripts.verdict import Verdict
from tests.support.sleeping import sleep_here

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
BEFORE = ["DEPLOY_BEFORE", "pin old", "up", "healthy"]
JUDGED = ["DEPLOY_BEFORE", "pin old", "up", "healthy", "ps", "start", "pin old", "judge", "up", "healthy"]
AFTER = ["pin new", "let go", "stop", "rm", "forget", "unpin"]


class Machine:
    """What deploy.py does to Docker and the edge; `on` is called before each step."""

    def __init__(self) -> None:
        self.running = ["old"]
        self.stopped: list[str] = []
        self.pinned: list[str] | None = None
        self.kept: list[str] = []
        self.shared: list[str] = []
        self.verdict = Verdict.AS_GOOD
        self.on: Callable[[str], None] = lambda step: None

    def hook(self, name: str) -> None:
        self.on(name)

    def compose(self, *arguments: str) -> str:
        self.on(arguments[0])
        if arguments[0] == "up" and "--scale" in arguments:
            assert self.stopped == []  # Compose would start them again
            count = int(arguments[arguments.index("--scale") + 1].partition("=")[2])
            names = (name for name in ("new", "newer", "newest", *"abcd") if name not in self.running)
            self.running += [next(names) for _ in range(count - len(self.running))]
        return ""

    def checked(self, *command: str) -> str:
        self.on(command[4] if command[1] == "compose" else command[1])
        if command[1] == "stop":
            self.running = [name for name in self.running if name not in command]
            self.stopped += command[2:]
        return ""

    def remove(self, containers: Sequence[str]) -> None:
        self.on("rm")
        self.running = [name for name in self.running if name not in containers]
        self.stopped = [name for name in self.stopped if name not in containers]

    def pin(self, containers: Sequence[str], *, there: Sequence[str] = ()) -> None:
        assert set(there) <= set(containers)
        self.on(f"pin {containers[0]}" if containers else "unpin")
        self.pinned = list(containers) or None

    def edge(self, what: str, **arguments: str) -> str:
        self.on(what)
        return ""

    def judge(self, watch: Watch, seconds: int) -> Judgement:
        self.on("judge")
        self.shared = self.pinned or []
        return Judgement(self.verdict, "5xx: 9 of 10")

    def inspect(self, containers: Sequence[str]) -> list[dict[str, str]]:
        return [{"Id": name} for name in containers] or [{"Id": "nginx"}]

    def sleep(self, seconds: float) -> None:
        self.on({deploy.LET_GO_SECONDS: "let go", deploy.FORGET_SECONDS: "forget"}.get(int(seconds), "poll"))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    made = Machine()
    monkeypatch.setattr("sys.argv", ["deploy.py", "--no-build"])
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    monkeypatch.setattr(releases, "ROOT", tmp_path)
    monkeypatch.setattr(deploy, "remember", lambda _: None)
    monkeypatch.setattr(deploy, "keep", lambda: made.kept.append(made.running[-1]))
    monkeypatch.setattr(deploy, "hook", made.hook)
    monkeypatch.setattr(deploy, "lock", lambda: None)
    monkeypatch.setattr("scripts.running.project", lambda: "shop")
    monkeypatch.setattr("scripts.environment.read", lambda *_names: {})
    monkeypatch.setattr(deploy, "check", lambda _: None)
    monkeypatch.setattr(deploy, "compose", made.compose)
    monkeypatch.setattr(deploy, "checked", made.checked)
    monkeypatch.setattr(deploy, "pin", made.pin)
    monkeypatch.setattr(deploy, "replicas", lambda *, stopped=False: made.running + (made.stopped if stopped else []))
    monkeypatch.setattr(deploy, "wait_until_healthy", lambda _: made.on("healthy"))
    monkeypatch.setattr(deploy, "in_progress", lambda _: 0)
    monkeypatch.setattr(deploy, "judged_for", lambda: 60)
    monkeypatch.setattr(deploy, "inspect", made.inspect)
    monkeypatch.setattr(deploy, "remove_containers", made.remove)
    monkeypatch.setattr(deploy, "address", lambda container, _: container["Id"])
    monkeypatch.setattr(judging, "edge", made.edge)
    monkeypatch.setattr(judging, "Watch", lambda new, others, under_way: (new, others))
    monkeypatch.setattr(judging, "judge", made.judge)
    monkeypatch.setattr("time.sleep", sleep_here(made.sleep))
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield made
    for number, handler in handlers.items():
        signal.signal(number, handler)


def at(step: str, action: Callable[[], None]) -> Callable[[str], None]:
    return lambda now: action() if now == step else None


def fail() -> None:
    raise DeployError("refused")


def test_a_deploy_takes_every_step(machine: Machine) -> None:
    steps: list[str] = []
    machine.on = steps.append
    assert deploy.main() == 0
    # The job processes, then none under their former name.
    assert steps == [*BEFORE, *AFTER, "up", "up", "DEPLOY_AFTER"]
    assert machine.kept == ["new"]
    assert (machine.running, machine.stopped, machine.pinned) == (["new"], [], None)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("step", BEFORE)
def test_a_signal_before_the_new_ones_serve_leaves_the_old(machine: Machine, step: str, number: signal.Signals) -> None:
    machine.on = at(step, lambda: os.kill(os.getpid(), number))
    assert deploy.main() == 130
    assert (machine.running, machine.stopped, machine.pinned) == (["old"], [], None)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("step", AFTER)
def test_a_signal_after_that_changes_nothing(machine: Machine, step: str, number: signal.Signals) -> None:
    machine.on = at(step, lambda: os.kill(os.getpid(), number))
    assert deploy.main() == 0
    assert (machine.running, machine.stopped, machine.pinned) == (["new"], [], None)


def test_what_an_earlier_end_left_stopped_is_not_started_again(machine: Machine) -> None:
    machine.stopped = ["of an older image"]
    assert deploy.main() == 0
    assert (machine.running, machine.stopped) == (["new"], [])


@pytest.mark.parametrize("step", ["DEPLOY_BEFORE", "up", "healthy", "pin new"])
def test_a_step_that_fails_leaves_the_old(machine: Machine, step: str) -> None:
    machine.on = at(step, fail)
    assert deploy.main() == 1
    assert (machine.running, machine.stopped, machine.pinned) == (["old"], [], None)
    assert machine.kept == []


def test_the_edge_forgets_one_that_did_not_become_healthy_before_it_follows_the_dns_again(machine: Machine) -> None:
    steps: list[str] = []

    def act(step: str) -> None:
        steps.append(step)
        if step == "healthy":
            fail()

    machine.on = act
    assert deploy.main() == 1
    assert steps[steps.index("healthy") + 1 :] == ["rm", "forget", "unpin"]


def test_what_is_to_run_after_it_changes_nothing_by_failing(machine: Machine) -> None:
    machine.on = at("DEPLOY_AFTER", fail)
    assert deploy.main() == 1
    assert (machine.running, machine.kept, machine.pinned) == (["new"], ["new"], None)


def test_requests_under_way_are_waited_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([2, 1, 0])
    steps: list[str] = []
    machine.on = steps.append
    monkeypatch.setattr(deploy, "in_progress", lambda _: next(left))
    assert deploy.main() == 0
    assert steps[steps.index("let go") : steps.index("stop")] == ["let go", "poll", "poll"]


@pytest.mark.parametrize(("refusals", "expected"), [(0, 3), (4, 3), (5, 0)])
def test_a_replica_that_does_not_say_at_once_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, refusals: int, expected: int
) -> None:
    gauge = 'http_requests_in_progress{worker="0"} 1\nhttp_requests_in_progress{worker="1"} 2.0\nother 7\n'
    answers = iter([(1, "")] * refusals + [(0, gauge)])
    monkeypatch.setattr(deploy, "run", lambda *command: subprocess.CompletedProcess(command, *next(answers)))
    monkeypatch.setattr("time.sleep", sleep_here(lambda _: None))
    assert deploy.in_progress("api-1") == expected


@pytest.mark.parametrize(("at", "pinned"), [("10.0.0.2", ["10.0.0.2:8000"]), ("", [])])
def test_a_replica_that_docker_is_about_to_start_again_has_no_address(
    monkeypatch: pytest.MonkeyPatch, at: str, pinned: list[str]
) -> None:
    asked: list[tuple[str, ...]] = []

    def checked(*command: str) -> str:
        asked.append(command)
        return "nginx"

    monkeypatch.setattr("scripts.running.project", lambda: "shop")
    monkeypatch.setattr(deploy, "checked", checked)
    monkeypatch.setattr(deploy, "inspect", lambda _: [{"Id": "one"}])
    monkeypatch.setattr(deploy, "address", lambda *_: at)
    deploy.pin(["one"])
    assert asked[-1][-len(pinned) - 1 :] == ("/etc/sightglass/nginx/pin.sh", *pinned)
    asked.clear()
    if at:
        deploy.pin(["one"], there=["one"])
    else:
        with pytest.raises(DeployError, match="ended again"):
            deploy.pin(["one"], there=["one"])
        assert not [command for command in asked if "exec" in command]


def test_one_deploys_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    deploy.lock()
    with pytest.raises(DeployError, match="under way"):
        deploy.lock()


@pytest.fixture
def two(machine: Machine) -> Machine:
    """Two replicas run."""
    machine.running = ["old", "older"]
    return machine


def test_the_first_of_several_is_judged_beside_the_old(two: Machine) -> None:
    steps: list[str] = []
    two.on = steps.append
    assert deploy.main() == 0
    assert steps == [*JUDGED, *AFTER, "up", "up", "DEPLOY_AFTER"]
    assert two.shared == ["old", "older", "new"]
    assert (two.running, two.stopped, two.pinned) == (["new", "newer"], [], None)


@pytest.mark.parametrize("verdict", [Verdict.AS_GOOD, Verdict.TOO_FEW])
def test_what_is_not_clearly_worse_is_deployed(two: Machine, verdict: Verdict) -> None:
    two.verdict = verdict
    assert deploy.main() == 0
    assert two.kept == ["newer"]


def test_one_that_is_worse_is_let_go_of_and_then_removed(two: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[str] = []
    two.verdict, two.on = Verdict.WORSE, steps.append
    assert deploy.main() == 3
    assert steps[steps.index("judge") :] == ["judge", "pin old", "let go", "stop", "rm", "forget", "unpin"]
    assert (two.running, two.stopped, two.pinned, two.kept) == (["old", "older"], [], None, [])
    assert "clearly worse, the old ones serve: 5xx: 9 of 10" in capsys.readouterr().err


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_it_is_judged_takes_it_back(two: Machine, number: signal.Signals) -> None:
    two.on = at("judge", lambda: os.kill(os.getpid(), number))
    assert deploy.main() == 130
    assert (two.running, two.stopped, two.pinned) == (["old", "older"], [], None)


@pytest.mark.parametrize("step", ["start", "judge", "pin new"])
def test_a_step_of_several_that_fails_leaves_the_old(two: Machine, step: str) -> None:
    two.on = at(step, fail)
    assert deploy.main() == 1
    assert (two.running, two.stopped, two.pinned) == (["old", "older"], [], None)


def test_a_second_one_that_fails_takes_the_first_along(two: Machine) -> None:
    steps: list[str] = []

    def act(step: str) -> None:
        steps.append(step)
        if steps.count("healthy") == 2 and step == "healthy":
            fail()

    two.on = act
    assert deploy.main() == 1
    assert (two.running, two.stopped, two.pinned) == (["old", "older"], [], None)


@pytest.mark.parametrize("arguments", [["--replicas", "1"], ["--rollback"]])
def test_what_is_not_judged(two: Machine, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", ["deploy.py", "--no-build", *arguments])
    monkeypatch.setattr(deploy, "roll_back", lambda running, wanted, to: deploy.replace(running, wanted))
    monkeypatch.setattr(deploy, "expect", lambda _: None)
    two.verdict = Verdict.WORSE
    assert deploy.main() == 0
    assert two.shared == []


def test_with_0_seconds_nothing_is(two: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "judged_for", lambda: 0)
    two.verdict = Verdict.WORSE
    assert deploy.main() == 0
    assert two.shared == []


def cut_off(machine: Machine, step: str) -> None:
    """Deploy, the power failing at a step: Docker starts again what ran then, and the disk has what it had then."""
    disk: list[tuple[list[str], str]] = []
    mark = releases.under_way()
    machine.on = at(step, lambda: disk.append((list(machine.running), mark.read_text())))
    deploy.main()
    machine.on = lambda step: None
    machine.running, machine.stopped, machine.pinned = disk[0][0], [], None
    machine.kept.clear()
    mark.write_text(disk[0][1])


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["deploy.py", "--no-build", *arguments])
    monkeypatch.setattr(deploy, "roll_back", lambda running, wanted, to: deploy.replace(running, wanted))
    monkeypatch.setattr(deploy, "expect", lambda _: None)
    return deploy.main()


@pytest.mark.parametrize("step", ["healthy", "judge", "pin new", "let go"])
def test_after_a_power_cut_nothing_is_deployed_before_one_set_of_replicas_is_left(
    two: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    cut_off(two, step)
    left = list(two.running)
    assert len(left) in (3, 4)
    for arguments in ([], ["--rollback"], ["--replicas", "2"]):
        capsys.readouterr()
        assert call(monkeypatch, *arguments) == 1
        assert capsys.readouterr().err == (
            f"deploy: a deploy was cut off, and 2 of the {len(left)} replicas ran before it; "
            "first: make scale N=2, which keeps those\n"
        )
        assert (two.running, two.kept, two.pinned) == (left, [], None)
    assert call(monkeypatch, "--scale-only", "--replicas", "2") == 0
    assert two.running == ["old", "older"]
    assert call(monkeypatch, "--scale-only", "--replicas", "3") == 0  # of more there are now, none is of a deploy's
    assert call(monkeypatch) == 0
    assert len(two.running) == 3
    assert not {"old", "older"} & set(two.running)


def test_a_number_that_keeps_some_of_a_deploy_that_was_cut_off_is_not_enough(
    two: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(two, "pin new")
    assert call(monkeypatch, "--scale-only", "--replicas", "3") == 0
    assert call(monkeypatch) == 1
    assert call(monkeypatch, "--scale-only", "--replicas", "1") == 0
    assert call(monkeypatch) == 0
    assert len(two.running) == 1


@pytest.mark.parametrize("step", ["none", "healthy", "judge", "pin new"])
def test_after_a_deploy_that_ended_by_itself_any_replicas_are_deployed_over(
    two: Machine, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    two.on = at(step, fail)
    assert deploy.main() == (0 if step == "none" else 1)
    two.on = lambda step: None
    two.running.append("by docker compose up --scale")
    assert call(monkeypatch) == 0
    assert len(two.running) == 3


def test_an_engine_that_ends_with_the_machine_takes_no_note_of_it_along(
    two: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(**_: bool) -> list[str]:
        raise CommandError(["docker", "ps"], "Cannot connect to the Docker daemon")

    def end() -> None:
        ending.setattr(deploy, "replicas", gone)
        fail()

    with monkeypatch.context() as ending:
        two.on = at("healthy", end)
        with pytest.raises(CommandError):
            deploy.replace(two.running, 2)
    two.on = lambda step: None
    two.running = ["old", "older", "new"]
    assert call(monkeypatch) == 1


Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Run make's own command where Docker and ssh do nothing."""
    for name in ("docker", "ssh"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 9\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("MAKEFLAGS", raising=False)  # of the make that runs the tests
    command = ("make", "--no-print-directory")
    return lambda *given: subprocess.run([*command, *given], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments", [(), ("N=",), ("N=two",), ("N=0",), ("N=101",), ("N=-1",), ("N=1 2",), ("N=--x",)]
)
def test_no_number_of_replicas_is_one_line(make: Make, arguments: tuple[str, ...]) -> None:
    result = make("scale", *arguments)
    first, *others = result.stderr.splitlines()
    given = arguments[0] if arguments else "N="
    assert first == f"{given}: not allowed; expected a whole number from 1 to 100"
    assert (result.stdout, len(others), result.returncode) == ("", 1, 2)  # the other is make's own
    assert "Error 2" in others[0]


@pytest.mark.parametrize("more", [(), ("IMAGE=team/app:1",), ("MACHINE=shop:/srv/shop",)])
def test_a_share_for_the_first_new_one_is_refused_in_one_line(make: Make, more: tuple[str, ...]) -> None:
    result = make("deploy", "CANARY=10%", *more)
    first, *others = result.stderr.splitlines()
    assert first.startswith("CANARY=10%: not allowed; expected no such setting: ")
    assert "DEPLOY_JUDGE_SECONDS" in first
    assert (result.stdout, len(others), result.returncode) == ("", 1, 2)
