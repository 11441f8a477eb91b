"""Replaces the API's replicas, and the job processes after them, or changes their number, without a failed request.

The edge is pinned to the replicas that run, new ones are started beside them and must become healthy, the edge is
pinned to the new ones, and only when it has let go of the old ones, and they have answered, are those stopped. Whatever
fails before the new ones have the pin leaves everything as it was; from then on nothing interrupts. Standard library
only.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts.commands import ROOT, CommandError, checked, run, step

SERVICE = "api"
JOBS = "jobs"
FORMER_JOBS = "worker"  # of which none is left (docker/upgrade.yml)
PORT = 8000
METRICS_PORT = 9464
HEALTH_SECONDS = 240.0  # a new replica has to become healthy, after the start period of its health check
# Seconds until the edge sends nothing more to a replica it is no longer pinned to: NGINX's keepalive_min_timeout
# (docker/nginx/http/limits.conf), within which its old workers may still take a client's next request, and a margin.
LET_GO_SECONDS = 5 + 2
# Seconds that requests under way may take: NGINX's worker_shutdown_timeout (docker/nginx.conf), which ends them anyway.
LONGEST_REQUEST_SECONDS = 600.0
# Seconds until the edge knows that an address is gone: its resolver's `valid` (docker/nginx/http/upstream.conf), the
# second it rounds up by, and a margin.
FORGET_SECONDS = 2 + 1 + 1

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# In an image of the application's own, its Python by the overlay's name for it (docker/overlay).
PYTHON = 'PATH=/opt/sightglass:$PATH; exec python -c "$0"'
ASK_METRICS = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{METRICS_PORT}/metrics').read().decode())"


class DeployError(Exception):
    """What stops a deploy, for people."""


def main() -> int:
    """Deploy as the command line asks.

    Returns:
        0; 1 with the reason on stderr; 130 when interrupted.

    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, metavar="N", help="how many to end with (default: as many as run)")
    parser.add_argument("--scale-only", action="store_true", help="keep those that run, add or remove the difference")
    parser.add_argument("--no-build", action="store_true", help="use the image as it is")
    options = parser.parse_args()
    if options.replicas is not None and not 1 <= options.replicas <= 100:
        parser.error(f"--replicas {options.replicas}: not allowed; expected a whole number from 1 to 100")
    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    try:
        lock()
        running = replicas()
        wanted = options.replicas or len(running)
        check(running)
        if options.scale_only:
            scale(running, wanted)
        else:
            if not options.no_build:
                step("building")
                build()
            replace(running, wanted)
            follow()
        if options.replicas is not None:  # else the number is whatever ran, lost ones not counted
            expect(wanted)
    except DeployError as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    except CommandError as error:
        print(f"deploy: {error.line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("deploy: interrupted", file=sys.stderr)
        return 130
    step(f"done: {len(replicas())} running")
    return 0


def lock() -> None:
    """Keep others from deploying, or `make up`, until this process ends.

    Raises:
        DeployError: one does already.

    """
    try:
        fcntl.flock(os.open(ROOT, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DeployError("another deploy, or make up, is under way") from None


def check(running: Sequence[str]) -> None:
    """Refuse to begin where something is wrong already.

    Raises:
        DeployError: nothing runs, or NGINX does not take the configuration as it is now.
        CommandError: Compose does not.

    """
    if not running:
        raise DeployError(f"no replica of {SERVICE} runs; start the stack first: make up")
    compose("config", "--quiet")
    tested = run("docker", "compose", "exec", "-T", "nginx", "nginx", "-t", "-q", "-c", "/etc/sightglass/nginx.conf")
    if tested.returncode != 0:
        raise DeployError(f"NGINX refuses its configuration: {tested.stderr.strip()}")


def build() -> None:
    """Make the image to be served.

    Raises:
        DeployError: it cannot be; with what its build said.

    """
    result = run(sys.executable, "scripts/build.py")
    if result.returncode != 0:
        raise DeployError(result.stderr.strip() or result.stdout.strip())


def replace(old: Sequence[str], wanted: int) -> None:
    """Put `wanted` new replicas in the place of the old ones.

    Raises:
        DeployError: a new one did not become healthy; all new ones are gone again.

    """
    with pinned(old):
        with beside(old, wanted) as new:
            uninterruptible()
            pin(new)
        stop(old)


def follow() -> None:
    """Put the new image under the job processes too; they give back what they have begun.

    Raises:
        CommandError: it does not become healthy. The API's new replicas stay.

    """
    step("the job processes")
    compose("up", "--detach", "--no-deps", "--no-build", "--wait", JOBS)
    compose("up", "--detach", "--no-deps", "--no-build", FORMER_JOBS)


def scale(running: Sequence[str], wanted: int) -> None:
    """Add or remove the difference, the newest going first.

    Raises:
        DeployError: as for `replace`.

    """
    if wanted > len(running):
        with pinned(running), beside(running, wanted - len(running)):
            pass
    elif wanted < len(running):
        with pinned(running[:wanted]):
            uninterruptible()
            expect(wanted)
            stop(running[wanted:])


def expect(count: int) -> None:
    """Tell Prometheus, where it runs, how many replicas there must be from now on."""
    run("docker", "compose", "exec", "-T", "prometheus", "sh", "/etc/sightglass/prometheus/expect.sh", str(count))


@contextlib.contextmanager
def beside(running: Sequence[str], count: int) -> Iterator[list[str]]:
    """Start replicas and wait until they are healthy; gives their container ids, and removes them after any error.

    Raises:
        DeployError: one is not, or is gone, in time.

    """

    def others() -> list[str]:
        return [container for container in replicas(stopped=True) if container not in running]

    remove(others())  # Compose would start what an earlier end left stopped, with whatever image it has
    step(f"starting {count} beside {len(running)}")
    try:
        number = f"{SERVICE}={len(running) + count}"
        compose("up", "--detach", "--no-deps", "--no-recreate", "--no-build", "--scale", number, SERVICE)
        new = [container for container in replicas() if container not in running]
        wait_until_healthy(new)
        yield new
    except BaseException:
        uninterruptible()
        step("back to what ran before")
        remove(others())
        raise


def wait_until_healthy(containers: Sequence[str]) -> None:
    """Poll their health checks.

    Raises:
        DeployError: one has failed or did not answer in time; with the end of its log.

    """
    end = time.monotonic() + HEALTH_SECONDS + max(map(start_period, inspect(containers)), default=0.0)
    waiting = list(containers)
    while waiting:
        states = {item["Id"]: item["State"] for item in inspect(waiting)}
        for container, state in states.items():
            health = state.get("Health", {}).get(
                "Status", "healthy"
            )  # without a check, running is all there is to know
            if state["Restarting"] or not state["Running"] or health == "unhealthy" or time.monotonic() > end:
                log = run("docker", "logs", "--tail", "30", container)
                end_of_log = (log.stdout + log.stderr).strip()
                raise DeployError(f"a new replica is {health}, {state['Status']}; the end of its log:\n{end_of_log}")
        waiting = [c for c in waiting if states[c].get("Health", {}).get("Status", "healthy") != "healthy"]
        time.sleep(0.5)


def start_period(container: dict[str, Any]) -> float:
    """Return the seconds in which a container's failed health checks do not count."""
    return float((container["Config"].get("Healthcheck") or {}).get("StartPeriod", 0)) / 1e9


def stop(containers: Sequence[str]) -> None:
    """Wait until the edge has let go of replicas and they have answered, remove them and wait until it knows."""
    step(f"draining {len(containers)}")
    time.sleep(LET_GO_SECONDS)
    end = time.monotonic() + LONGEST_REQUEST_SECONDS
    while (left := sum(map(in_progress, containers))) and time.monotonic() < end:
        if sys.stdout.isatty():
            print(f"    {left} requests under way \r", end="", flush=True)
        time.sleep(1)
    checked("docker", "stop", *containers)  # their own stop_grace_period
    remove(containers)
    time.sleep(FORGET_SECONDS)


def in_progress(container: str) -> int:
    """Return how many requests a replica is answering; 0 where it does not say."""
    told = run("docker", "exec", container, "sh", "-c", PYTHON, ASK_METRICS).stdout
    return int(sum(float(n) for n in re.findall(r"^http_requests_in_progress\{.*\} (\S+)$", told, re.MULTILINE)))


@contextlib.contextmanager
def pinned(containers: Sequence[str]) -> Iterator[None]:
    """Have the edge use these replicas only, and in the end, whatever happened, all there are."""
    try:
        pin(containers)
        yield
    finally:
        uninterruptible()
        pin([])


def pin(containers: Sequence[str]) -> None:
    """Have the edge use these replicas only; none for all that Docker's DNS lists."""
    (nginx,) = inspect(compose("ps", "--quiet", "nginx").split())
    addresses = [f"{address(item, nginx)}:{PORT}" for item in inspect(containers)] if containers else []
    compose("exec", "-T", "nginx", "sh", "/etc/sightglass/nginx/pin.sh", *addresses)


def address(container: dict[str, Any], other: dict[str, Any]) -> str:
    """Return a container's address in the first network it shares with another.

    Raises:
        DeployError: it shares none.

    """
    networks: dict[str, dict[str, str]] = container["NetworkSettings"]["Networks"]
    for name in sorted(set(networks) & set(other["NetworkSettings"]["Networks"])):
        return networks[name]["IPAddress"]
    raise DeployError(f"{container['Name']} shares no network with {other['Name']}")


def replicas(*, stopped: bool = False) -> list[str]:
    """Return the container ids of the service, oldest first."""
    ids = compose("ps", "--quiet", *(["--all"] if stopped else []), SERVICE).split()
    return [item["Id"] for item in sorted(inspect(ids), key=lambda item: str(item["Created"]))]


def remove(containers: Sequence[str]) -> None:
    """Remove containers, running or not."""
    if containers:
        checked("docker", "rm", "--force", "--volumes", *containers)  # the anonymous ones


def inspect(containers: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the engine knows of containers."""
    found: list[dict[str, Any]] = json.loads(checked("docker", "inspect", *containers)) if containers else []
    return found


def compose(*arguments: str) -> str:
    """Run `docker compose` on the project of this directory."""
    return checked("docker", "compose", *arguments)


def uninterruptible() -> None:
    """From here on it is finished, whatever comes: a half would be worse than either."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
