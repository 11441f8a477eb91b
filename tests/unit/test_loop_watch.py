"""What blocked the event loop is told: the stack that stood there, for which request, how often, and how long."""

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from monitoring.alerts import EVENT_LOOP_LAG
from sightglass.asgi import loop_watch
from sightglass.asgi.loop_watch import BLOCKED, LoopWatch
from sightglass.context import RequestContext, current_request
from sightglass.settings import Settings
from tests.support.waiting import eventually
from tests.unit.observed import Client, Observed, http

TOLD = "the event loop was blocked"


class Told(logging.Handler):
    """Keeps the records, and the request they were written for."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[Any, RequestContext | None]] = []
        self.one = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append((record, current_request.get()))
        self.one.set()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    handler = Told()
    monkeypatch.setattr(loop_watch, "logger", logging.Logger("watch", logging.INFO))
    loop_watch.logger.addHandler(handler)
    return handler


def count() -> float:
    return float(BLOCKED._value.get())


def stand_still(until: Callable[[], bool]) -> None:
    private = "private4711"  # a value; never in a line
    while not until():
        time.sleep(0.002)
    del private


async def watched(block: Callable[[], object], told: Told) -> None:
    """Watch the loop while something blocks it, until that is told."""
    watch = LoopWatch(0.02)
    watch.start()
    try:
        block()
        await asyncio.to_thread(told.one.wait, 30)
    finally:
        watch.stop()


async def test_the_stack_that_stood_there_is_told(told: Told) -> None:
    before = count()
    await watched(lambda: stand_still(lambda: count() > before), told)
    record, request = told.records[0]
    assert (record.getMessage(), record.levelname, request) == (TOLD, "WARNING", None)
    assert record.duration > 0
    assert [re.fullmatch(r".+:\d+ in .+", frame) for frame in record.stack].count(None) == 0
    assert record.stack[-1].startswith(f"{record.pathname}:{record.lineno} in ")
    assert record.stack[-1].endswith(record.funcName)
    inner = [frame.rpartition(" ")[2] for frame in record.stack]
    assert inner.index("watched") < inner.index("stand_still") >= len(inner) - 4  # it may have been asking
    assert "private4711" not in str(record.__dict__)


async def test_a_busy_loop_is_told_of_like_a_sleeping_one(told: Told) -> None:
    before = count()

    def burn() -> None:
        while count() == before:
            pass

    await watched(burn, told)
    assert any(frame.endswith("burn") for frame in told.records[0][0].stack[-10:])


async def test_a_long_stack_is_told_from_its_inner_end(told: Told) -> None:
    before = count()

    def deeper(levels: int) -> None:
        if levels:
            deeper(levels - 1)
        else:
            stand_still(lambda: count() > before)

    await watched(lambda: deeper(200), told)
    stack = told.records[0][0].stack
    assert len(stack) == 50
    assert any(frame.endswith("in stand_still") for frame in stack[-4:])


async def test_each_time_counts_and_lines_are_few(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_watch, "LINE_SECONDS", 3600)
    before = count()
    watch = LoopWatch(0.02)
    watch.start()
    for more in range(1, 4):
        stand_still(lambda more=more: count() >= before + more)  # type: ignore[misc]
        await asyncio.sleep(0.01)
    assert await asyncio.to_thread(told.one.wait, 30)
    await asyncio.to_thread(eventually, lambda: watch._untold + len(told.records) == count() - before)
    assert len(told.records) == 1
    watch._told_at = float("-inf")  # ten seconds later
    told.one.clear()
    untold = watch._untold
    at = count()
    stand_still(lambda: count() > at)
    assert await asyncio.to_thread(told.one.wait, 30)
    watch.stop()
    assert told.records[1][0].untold >= untold >= 2


async def test_a_loop_that_stands_for_long_is_told_of_while_it_stands(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_watch, "_PATIENCE_SECONDS", 0.01)
    await watched(lambda: told.one.wait(30), told)  # goes on when it is told
    assert len(told.records) == 1


async def test_the_request_is_named(told: Told) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = count()
        stand_still(lambda: count() > before)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    watch = LoopWatch(0.02)
    watch.start()
    client = Client()
    await Observed(app).app(http(headers=[("x-request-id", "mine-1")]), client.receive, client.send)
    assert await asyncio.to_thread(told.one.wait, 30)
    watch.stop()
    request = told.records[0][1]
    assert request is not None
    assert (request.request_id, len(request.trace_id or "")) == ("mine-1", 32)


async def test_the_request_of_a_task_of_its_own_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tasks tell since Python 3.12: theirs is the context that they were made in."""

    mine = RequestContext("mine-1")
    token = current_request.set(mine)
    context = copy_context()
    current_request.reset(token)
    task = SimpleNamespace(get_context=lambda: context)
    monkeypatch.setattr(asyncio, "current_task", lambda _: task)
    assert loop_watch._look(asyncio.get_running_loop(), threading.get_ident()).request is mine


@pytest.mark.parametrize(
    ("elapsed", "used", "starved"),
    [
        (0.26, 0.0, False),  # it sleeps, and the thread woke in time
        (0.26, 0.26, False),
        (1.0, 0.99, False),  # native code held the interpreter
        (1.0, 0.01, True),  # stopped, or without CPU
        (3600.0, 1.0, True),
    ],
)
def test_a_process_without_cpu_is_not_blocked(elapsed: float, used: float, starved: bool) -> None:
    assert LoopWatch(0.25)._starved(elapsed, used) is starved


def test_a_stopped_process_tells_nothing() -> None:
    """As whoever suspends a virtual machine does."""
    code = """
import asyncio, logging, sys
from sightglass.asgi.loop_watch import BLOCKED, LoopWatch
logging.basicConfig(stream=sys.stdout)
async def main():
    LoopWatch(0.25).start()  # a busy machine lets a loop wait for less
    print("up", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.sleep(0.6)
    print(BLOCKED._value.get(), flush=True)
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(1)
    os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate("\n", timeout=30)
    assert output == "0.0\n"


async def test_it_watches_again_once_it_was_stopped(told: Told) -> None:
    before = count()
    watch = LoopWatch(0.02)
    watch.start()
    watch.stop()
    watch.start()
    stand_still(lambda: count() > before)
    told_of = await asyncio.to_thread(told.one.wait, 10)
    watch.stop()
    assert told_of


async def test_it_ends_with_the_loop() -> None:
    watch = LoopWatch(0.01)

    def run() -> threading.Thread:
        loop = asyncio.new_event_loop()
        thread = loop.run_until_complete(_start(watch))
        loop.close()
        return thread

    thread = await asyncio.to_thread(run)
    await asyncio.to_thread(thread.join, 30)
    assert not thread.is_alive()


async def _start(watch: LoopWatch) -> threading.Thread:
    before = set(threading.enumerate())
    watch.start()
    (thread,) = (one for one in set(threading.enumerate()) - before if one.name == "loop-watch")
    return thread


def test_the_line_comes_where_the_alert_does() -> None:
    assert Settings().event_loop_blocked_seconds == EVENT_LOOP_LAG
