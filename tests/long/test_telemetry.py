"""Every line is counted: through a long outage of the store, kills of the collector and of the store, a full disk."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.stack import Stack, docker, eventually, say
from tests.telemetry.stores import Telemetry, running

SERVICES = ("collector", "victoria-logs", "telemetry-door")
BATCH = 4000
"""Lines that a kill may bring twice."""
STORE_LOSES_SECONDS = 3


@pytest.fixture(scope="module")
def telemetry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Telemetry]:
    """The collector and its store alone."""
    with running(tmp_path_factory.mktemp("telemetry"), *SERVICES) as stack:
        yield stack


pytestmark = pytest.mark.timeout(3600)


def test_two_minutes_of_outage_and_eight_kills(telemetry: Telemetry) -> None:
    lines, kills = 48_000, 8
    with telemetry.emitting(lines, 400) as service:
        eventually(lambda: telemetry.counted(service)[1] > 0)
        telemetry.compose("stop", "victoria-logs")
        for _ in range(kills):
            time.sleep(120 / kills)
            telemetry.kill_collector()
        telemetry.compose("start", "victoria-logs")
        eventually(lambda: telemetry.counted(service)[1] == lines, lambda: str(telemetry.counted(service)), 600)
    kept, numbers = telemetry.counted(service)
    say(f"{lines} lines: {lines - numbers} missing, {kept - numbers} twice")
    assert numbers == lines
    assert kept - numbers <= kills * BATCH


def test_a_store_that_takes_nothing_more_for_want_of_disk(telemetry: Telemetry) -> None:
    """Its limit is raised over what any disk has free: it is read-only, as on a full disk, and then has room again."""
    full = telemetry.directory / "full.yml"
    full.write_text(
        "services: {victoria-logs: {command: ["
        "-storageDataPath=/victoria-logs-data, -storage.minFreeDiskSpaceBytes=1PB, -loggerFormat=json]}}"
    )
    files = ("--file", "docker-compose.prod.yml", "--file", str(full))
    telemetry.run("docker", "compose", *files, "--profile", "telemetry", "up", "--detach", "--no-deps", "victoria-logs")
    lines = 5000
    with telemetry.emitting(lines, 500) as service:
        time.sleep(20)
        assert telemetry.counted(service) == (0, 0)
        telemetry.kill_collector()
        telemetry.compose("up", "--detach", "--no-deps", "victoria-logs")
        eventually(lambda: telemetry.counted(service)[1] == lines, lambda: str(telemetry.counted(service)), 300)
    kept, numbers = telemetry.counted(service)
    assert numbers == lines
    assert kept - numbers <= BATCH


def test_an_hour_of_outage(telemetry: Telemetry) -> None:
    """What 100 lines a second are in an hour, written in six minutes while the store is away."""
    lines, rate = 360_000, 1000
    with telemetry.emitting(lines, rate) as service:
        eventually(lambda: telemetry.counted(service)[1] > 0)
        telemetry.compose("stop", "victoria-logs")
        time.sleep(lines / rate)
        telemetry.kill_collector()
        telemetry.compose("start", "victoria-logs")
        eventually(lambda: telemetry.counted(service)[1] == lines, lambda: str(telemetry.counted(service)), 900)
    kept, numbers = telemetry.counted(service)
    say(f"{lines} lines: {lines - numbers} missing, {kept - numbers} twice")
    assert numbers == lines
    assert kept - numbers <= BATCH


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of a size, which nobody but the store has; it outlives the store's restarts."""
    directory.mkdir()
    mounted = ("-t", "tmpfs", "-o", f"size={megabytes}m,uid=10001,gid=10001,mode=0700", "tmpfs", str(directory))
    subprocess.run(["mount", *mounted], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path, leave: int = 0) -> Path:
    """Write until so many bytes are free; 0: until there is no room for one more."""
    filler = directory / f"filler-{leave}"
    free = shutil.disk_usage(directory).free
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while not leave or free - file.tell() > leave:
            file.write(bytes(1 << 16))
    assert shutil.disk_usage(directory).free <= leave
    return filler


def stands(stack: Telemetry, service: str) -> bool:
    """Say whether no more lines come into the store."""
    before = stack.counted(service)
    time.sleep(5)
    return stack.counted(service) == before


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """It fills while lines come, to the last byte, and has room again."""
    lines, rate = 30_000, 500

    with small_disk(tmp_path / "disk", 400) as disk:

        def on_it(stack: Stack) -> None:
            bound = ("--opt", "type=none", "--opt", "o=bind", "--opt", f"device={disk}")
            of_compose = (f"--label=com.docker.compose.{what}" for what in (f"project={stack.project}", "volume=logs"))
            docker("volume", "create", *bound, *of_compose, f"{stack.project}_logs")

        with running(tmp_path / "stack", *SERVICES, prepare=on_it) as stack, stack.emitting(lines, rate) as service:
            eventually(lambda: stack.counted(service)[1] > 0)
            first = fill(disk, leave=200 << 20)  # below what the store wants to have free
            eventually(lambda: stands(stack, service))
            last = fill(disk)
            stack.kill_collector()
            time.sleep(lines / rate)  # the last line is written while it is full
            assert stands(stack, service)
            assert stack.counted(service)[1] < lines
            first.unlink()
            last.unlink()
            eventually(lambda: stack.counted(service)[1] == lines, lambda: str(stack.counted(service)), 300)
            kept, numbers = stack.counted(service)
    say(f"{lines} lines, a full disk: {lines - numbers} missing, {kept - numbers} twice")
    assert numbers == lines
    assert kept - numbers <= BATCH


def test_a_store_that_is_killed_loses_what_it_took_last(telemetry: Telemetry) -> None:
    lines, rate, kills = 10_000, 500, 3
    with telemetry.emitting(lines, rate) as service:
        for _ in range(kills):
            eventually(lambda: telemetry.counted(service)[1] > 0)
            time.sleep(3)
            telemetry.compose("kill", "--signal", "KILL", "victoria-logs")
            telemetry.compose("start", "victoria-logs")
        # The last line was written when all is over.
        eventually(lambda: bool(telemetry.lines(f'{{service.name="{service}"}} n:={lines - 1}')), deadline=300)
        time.sleep(10)
    kept, numbers = telemetry.counted(service)
    say(f"{kills} kills of the store: {lines - numbers} missing, {kept - numbers} twice")
    assert lines - numbers <= kills * STORE_LOSES_SECONDS * rate
