"""A job process that hangs, is stopped or ends is replaced by itself, and its counts go on."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from api.privacy.jobs.routes import PATH
from tests.support.service import StubModel, serving
from tests.support.waiting import awaited, eventually

ROOT = Path(__file__).resolve().parent.parent.parent


class Supervised:
    """A supervisor, and the processes that it has had."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.log = directory / "supervisor.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.supervised", kind, str(directory / "runs")],
                cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip

    def said(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.log.read_text())

    def children(self) -> list[int]:
        return [int(child) for child in self.said(r"child (\d+)")]

    def child(self, number: int) -> int:
        return awaited(self.children, lambda children: len(children) >= number)[number - 1]

    def succeeded(self) -> float:
        (port,) = awaited(lambda: self.said(r"metrics (\d+)"))
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        return sum(map(float, re.findall(r'jobs_total\{[^}]*status="succeeded"[^}]*\} (\S+)', text)))

    def end(self) -> None:
        self.process.kill()
        self.process.wait(30)
        for child in self.children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[[str], Supervised]]:
    started: list[Supervised] = []

    def start(kind: str) -> Supervised:
        started.append(Supervised(kind, tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.end()


def gone(process: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_is_stopped_or_killed_is_replaced_and_its_counts_go_on(
    supervised: Callable[[str], Supervised], tmp_path: Path, number: signal.Signals
) -> None:
    jobs = supervised("jobs")
    with serving(lambda _: StubModel(), runs_dir=tmp_path / "runs") as client:

        def done() -> None:
            where = client.post(PATH, content=b"Zaphod", headers={"Content-Type": "text/plain"}).headers["location"]
            eventually(lambda: client.get(where).json()["status"] == "succeeded")

        for _ in range(3):
            done()
        awaited(jobs.succeeded, lambda count: count == 3)
        first = jobs.child(1)
        os.kill(first, number)
        assert jobs.child(2) != first
        assert gone(first)
        done()
        awaited(jobs.succeeded, lambda count: count == 4)
    assert len(jobs.children()) == 2
    expected = "gives no sign of life" if number == signal.SIGSTOP else f"ended: {number.name}"
    assert len(jobs.said(expected)) == 1


def test_a_process_that_hangs_in_a_step_is_replaced(supervised: Callable[[str], Supervised]) -> None:
    hangs = supervised("hangs")
    assert len({hangs.child(number) for number in (1, 2, 3)}) == 3
    assert gone(hangs.child(1))


def test_a_process_that_ends_is_started_again(supervised: Callable[[str], Supervised]) -> None:
    ends = supervised("ends")
    assert len({ends.child(number) for number in (1, 2, 3)}) == 3
    assert ends.said("ended: status 0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_stops_the_supervisor_stops_both(
    supervised: Callable[[str], Supervised], number: signal.Signals
) -> None:
    jobs = supervised("jobs")
    child = jobs.child(1)
    awaited(lambda: jobs.said("job process started"))
    jobs.process.send_signal(number)
    assert jobs.process.wait(30) == 0
    assert gone(child)
    assert jobs.children() == [child]


def test_a_supervisor_that_is_killed_leaves_nobody_behind(supervised: Callable[[str], Supervised]) -> None:
    jobs = supervised("jobs")
    child = jobs.child(1)
    awaited(lambda: jobs.said("job process started"))
    jobs.process.kill()
    eventually(lambda: gone(child))


def test_a_supervisor_that_was_suspended_with_its_process_kills_nobody(
    supervised: Callable[[str], Supervised],
) -> None:
    """As a paused container or machine: no beat is missed while nobody looks."""
    jobs = supervised("jobs")
    child = jobs.child(1)
    awaited(lambda: jobs.said("job process started"))
    for _ in range(3):
        os.kill(jobs.process.pid, signal.SIGSTOP)
        os.kill(child, signal.SIGSTOP)
        os.kill(child, signal.SIGCONT)
        os.kill(jobs.process.pid, signal.SIGCONT)
    jobs.process.send_signal(signal.SIGTERM)
    assert jobs.process.wait(30) == 0
    assert jobs.children() == [child]
    assert not jobs.said("no sign of life")
