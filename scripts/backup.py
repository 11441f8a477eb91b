"""Backs everything up that is data, now, or lists what there is (docs/backup.md). Standard library only."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts.commands import ROOT, CommandError, checked, run, say
from scripts.interrupts import INTERRUPTS, interruptible, uninterruptible
from scripts.running import project

COMPOSE = ("docker", "compose", "--profile", "backup")
END_SECONDS = 60
"""What restic has to end in when it is interrupted."""
RESTIC = (*COMPOSE, "run", "--rm", "--no-deps", "--quiet-pull", "-T", "restic")


def main() -> int:
    """Do what the command line asks for.

    Returns:
        0; 1 with the reason on stderr; 130 when interrupted.

    """
    # What is ignored, as nohup has it, stays so.
    interruptible(number for number in INTERRUPTS if signal.getsignal(number) is not signal.SIG_IGN)
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", choices=("now", "check", "list", "password"), nargs="?", default="now")
    what = arguments.parse_args().what
    if what == "password":
        if kept():
            print(f"Backups: {checked(*RESTIC, 'password').strip()} (keep it elsewhere too)")
        return 0
    if run(sys.executable, "scripts/images.py", "restic").returncode != 0:
        print("backup: restic's image is missing; run: make images", file=sys.stderr)
        return 1
    if what != "now":
        return subprocess.run([*RESTIC, what], cwd=ROOT, check=False).returncode
    new = not kept()
    with copies(), jaeger_stopped():
        status = back_up()
    if new and status == 0:
        say("Without its password, which is new, nobody can read the backup. Keep it elsewhere: make credentials")
    return status


def back_up() -> int:
    """Have restic do it; returns its status."""
    with subprocess.Popen([*RESTIC, "once"], cwd=ROOT, start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            uninterruptible()
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            raise


def kept() -> bool:
    """Say whether there is the volume with the backup's password."""
    return run("docker", "volume", "inspect", f"{project()}_backup").returncode == 0


@contextmanager
def copies() -> Iterator[None]:
    """Have who makes the copies run meanwhile."""
    running = checked(*COMPOSE, "ps", "--quiet", "backup-copies")
    try:
        if not running:
            checked(*COMPOSE, "up", "--detach", "--wait", "--no-deps", "backup-copies")
        yield
    finally:
        uninterruptible()
        if not running:
            run(*COMPOSE, "rm", "--stop", "--force", "backup-copies")


@contextmanager
def jaeger_stopped() -> Iterator[None]:
    """Stop Jaeger meanwhile, whose files change in place; the collector keeps spans for it."""
    telemetry = ("docker", "compose", "--profile", "telemetry")
    running = checked(*telemetry, "ps", "--quiet", "jaeger")
    try:
        if running:
            checked(*telemetry, "stop", "jaeger")
        yield
    finally:
        uninterruptible()
        if running:
            checked(*telemetry, "start", "jaeger")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CommandError as error:
        sys.exit(f"backup: {error}")
    except KeyboardInterrupt:
        print("backup: interrupted", file=sys.stderr)
        sys.exit(130)
