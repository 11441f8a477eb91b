"""Replaces the API's replicas, and the job processes after them, or changes their number, without a failed request.

With what is built, with an image of a registry's, or with an earlier release (scripts/releases.py), whose settings come
back with it. `.env` learns of it when it serves: until then Compose is given a copy.

The edge is pinned to the replicas that run, new ones are started beside them and must become healthy, the edge is
pinned to the new ones, and only when it has let go of the old ones, and they have answered, are those stopped. Whatever
fails before the new ones have the pin leaves everything as it was; from then on nothing interrupts. Where two or more
run, the first new one is judged beside the old ones before the others are started (scripts/judging.py). Standard
library only.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import environment, evaluate, images, judging, pulling, releases
from scripts.commands import ROOT, CommandError, checked, replace_file, run, say, step
from scripts.interrupts import interruptible, uninterruptible
from scripts.preflight import refusal
from scripts.releases import Release, ReleaseError
from scripts.running import named, project
from scripts.running import remove as remove_containers
from scripts.verdict import Verdict

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
ATTEMPTS_TO_ASK = 5  # a machine that is busy enough may refuse the first
# Seconds until the edge knows that an address is gone: its resolver's `valid` (docker/nginx/http/upstream.conf), the
# second it rounds up by, and a margin.
FORGET_SECONDS = 2 + 1 + 1

CLEARLY_WORSE = 3  # the exit status
MOST_REPLICAS = 100

# In an image of the application's own, its Python by the overlay's name for it (docker/overlay).
PYTHON = 'PATH=/opt/sightglass:$PATH; exec python -c "$0"'
ASK_METRICS = (
    "import urllib.request as u;"
    f" print(u.urlopen('http://127.0.0.1:{METRICS_PORT}/metrics', timeout=5).read().decode())"
)


class DeployError(Exception):
    """What stops a deploy, for people."""


class WorseError(DeployError):
    """The first new replica is clearly worse than the old ones; with the numbers."""


def main() -> int:
    """Deploy as the command line asks.

    Returns:
        0; 1 with the reason on stderr; 2 with a line there where an argument cannot be; 3 where the new one was judged
        worse; 130 when interrupted.

    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", metavar="N", help="how many to end with (default: as many as run)")
    parser.add_argument("--scale-only", action="store_true", help="keep those that run, add or remove the difference")
    parser.add_argument("--no-build", action="store_true", help="use the image as it is")
    parser.add_argument("--image", metavar="IMAGE", default="", help="pull this image and serve it, by its digest")
    parser.add_argument("--canary", metavar="SHARE", help="refused: the first new replica's share is even")
    parser.add_argument("--allow-worse", action="store_true", help="even if its model is worse")
    parser.add_argument(
        "--rollback", nargs="?", const="", metavar="TO", help="bring a release back (default: the last)"
    )
    options = parser.parse_args()
    if line := refused(options.replicas, options.canary):
        print(line, file=sys.stderr)
        return 2
    interruptible()
    try:
        lock()
        running = replicas()
        wanted = int(options.replicas or len(running))
        check(running)
        if options.scale_only:
            scale(running, wanted)
            of_before(replicas())  # what an earlier deploy left is gone, or said again
        elif before := of_before(running):
            raise DeployError(
                f"a deploy was cut off, and {before} of the {len(running)} replicas ran before it; "
                f"first: make scale N={before}, which keeps those"
            )
        elif options.rollback is not None:
            roll_back(running, wanted, options.rollback)
        else:
            deploy(running, wanted, options.image, build_it=not options.no_build, allow_worse=options.allow_worse)
        if options.replicas is not None:  # else the number is whatever ran, lost ones not counted
            expect(wanted)
    except (DeployError, ReleaseError, evaluate.EvaluateError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return CLEARLY_WORSE if isinstance(error, WorseError) else 1
    except CommandError as error:
        print(f"deploy: {error.line}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("deploy: interrupted", file=sys.stderr)
        return 130
    step(f"done: {len(replicas())} running")
    return 0


def refused(count: str | None, canary: str | None) -> str | None:
    """Return the line that refuses a number of replicas, or a share for the first new one; none where there is none."""
    if canary is not None:
        expected = (
            "no such setting: beside N replicas, two or more, the first new one takes an even share, 1/(N+1), and is "
            "judged for DEPLOY_JUDGE_SECONDS"
        )
        return refusal("CANARY", canary, expected)
    if count is not None and not (re.fullmatch("[0-9]{1,3}", count) and 1 <= int(count) <= MOST_REPLICAS):
        return refusal("N", count, f"a whole number from 1 to {MOST_REPLICAS}")
    return None


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
    tested = run(*named("exec", "-T", "nginx", "nginx", "-t", "-q", "-c", "/etc/sightglass/nginx.conf"))
    if tested.returncode != 0:
        raise DeployError(f"NGINX refuses its configuration: {tested.stderr.strip()}")


def of_before(running: Sequence[str]) -> int:
    """Return how many run of those before a deploy that was cut off, beside others; 0, and forget it, where none do."""
    mark = releases.under_way()
    before = set(mark.read_text().split()) if mark.exists() else set()
    kept = before.intersection(running)
    if kept and len(kept) < len(running):
        return len(kept)
    mark.unlink(missing_ok=True)
    return 0


@contextlib.contextmanager
def marked(old: Sequence[str]) -> Iterator[None]:
    """Keep on the disk which replicas ran before: where the machine ends meanwhile, Docker starts both sets again."""
    mark = releases.under_way()
    mark.parent.mkdir(mode=0o700, exist_ok=True)
    with mark.open("w") as file:
        file.write("\n".join(old))
        file.flush()
        os.fsync(file.fileno())
    try:
        yield
    finally:
        with contextlib.suppress(CommandError):  # an engine that ends keeps the mark
            of_before(replicas())


def deploy(running: Sequence[str], wanted: int, image: str, *, build_it: bool, allow_worse: bool) -> None:
    """Put what is built, or a registry's image, in the place of what runs, and keep it as a release.

    Raises:
        DeployError: the image cannot be had, its model is worse, DEPLOY_BEFORE failed, or a new replica did not become
            healthy or was judged worse: what ran runs. Or DEPLOY_AFTER failed: the new ones serve.

    """
    seconds = judged_for()
    remember(running)
    with candidate(ROOT / ".env") as env:
        if image:
            set_variables(env, API_IMAGE=pull(image), API_CONTEXT="")
        if build_it:
            step("building")
            build()
        measured = compare_models(allow_worse=allow_worse)
        hook("DEPLOY_BEFORE")
        replace(running, wanted, seconds)
        accept(env)
    keep()
    follow()
    hook("DEPLOY_AFTER")
    if measured:
        evaluate.keep(measured)


def compare_models(*, allow_worse: bool) -> dict[str, Any] | None:
    """Measure the new image's model beside the one that serves, where EVALUATE_DATA names the texts for it.

    Raises:
        DeployError: it is worse, or could not be measured.

    """
    data = environment.read(evaluate.VARIABLE).get(evaluate.VARIABLE)
    if not data:
        return None
    step("measuring the new model")
    try:
        measured, worse = evaluate.compare(evaluate.file_of(evaluate.VARIABLE, data))
    except evaluate.EvaluateError as error:
        raise DeployError(f"{error}; nothing was changed") from None
    if worse and not allow_worse:
        raise DeployError("the new model is worse than what serves; nothing was changed. All the same: ALLOW_WORSE=1")
    return measured


def roll_back(running: Sequence[str], wanted: int, to: str) -> None:
    """Bring an earlier release back, settings included; hooks are not for that.

    Raises:
        DeployError: it did not become healthy: what ran runs.
        ReleaseError: there is no such release.

    """
    kept = releases.load()
    release = releases.choose(kept, to)
    step(f"back to release {release.number}, {release.version}")
    with candidate(release.env) as env:
        own = releases.app_files()  # as it names them
        setup = releases.variables(release.env).get("SETUP_IMAGE")
        set_variables(env, SERVED_IMAGE=releases.tag(release.number), **({"SETUP_IMAGE": setup} if setup else {}))
        # The application's own variables come from where they are kept, as long as the others serve.
        told = os.environ.get("APP_ENV_FILE")
        os.environ["APP_ENV_FILE"] = str(joined(release, own))
        try:
            replace(running, wanted)
        finally:
            Path(os.environ["APP_ENV_FILE"]).unlink()
            del os.environ["APP_ENV_FILE"]
            if told is not None:
                os.environ["APP_ENV_FILE"] = told
        put_back(ROOT / ".env", env)
        for name, path in own.items():
            if name != releases.SITE_ENV or release.site_env.exists():  # else nothing is known of it
                put_back(path, release.directory / name)
        env.unlink()
    releases.serve(release, kept)
    follow()


def joined(release: Release, own: Mapping[str, Path]) -> Path:
    """Write what a release had of the application's own variables into one file, and return it.

    Args:
        release: what is kept; of SITE_DIR's, what is there now counts where nothing is.
        own: where each file is.

    """
    site = release.site_env if release.site_env.exists() else own.get(releases.SITE_ENV)
    parts = [path.read_bytes() for path in (site, release.app_env) if path is not None and path.exists()]
    file = releases.directory() / "candidate-app.env"
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(b"\n".join(parts))
    return file


def put_back(path: Path, kept: Path) -> None:
    """Write a file of settings as it was; as it is now, it stays beside, unless there is no difference."""
    before = path.read_bytes() if path.exists() else None
    after = kept.read_bytes() if kept.exists() else None
    if kept.name == releases.SITE_ENV:
        after = after or None  # kept empty where there was none
    if before is not None and before != after:
        aside = path.with_name(path.name + ".before-rollback")
        aside.touch(mode=0o600)
        aside.write_bytes(before)
        say(f"{path.name} is as it was then; as it was until now, it is {aside.name}")
    if after is None:
        path.unlink(missing_ok=True)
    elif before != after:
        path.write_bytes(after)  # in place: a container may have this very file mounted


@contextlib.contextmanager
def candidate(source: Path) -> Iterator[Path]:
    """Have Compose read a copy of a `.env`, whose path this gives, instead of `.env`."""
    releases.directory().mkdir(mode=0o700, exist_ok=True)
    env = releases.directory() / "candidate"
    env.unlink(missing_ok=True)
    env.touch(mode=0o600)
    env.write_bytes(source.read_bytes() if source.exists() else b"")
    os.environ["COMPOSE_ENV_FILES"] = str(env)
    try:
        yield env
    finally:
        del os.environ["COMPOSE_ENV_FILES"]
        env.unlink(missing_ok=True)


def accept(env: Path) -> None:
    """Put a candidate in the place of `.env`, keeping that one's owner and mode."""
    target = ROOT / ".env"
    if not target.exists() or target.read_bytes() != env.read_bytes():
        replace_file(target, env.read_bytes())


def set_variables(env: Path, **given: str) -> None:
    """Set variables of a `.env` file; lines that set them before go."""
    lines = re.compile(rf"^[ \t]*(?:{'|'.join(given)})[ \t]*=.*(?:\n|\Z)", re.MULTILINE)
    images.write_env(env, lines.sub("", images.text_of(env)), given)


def pull(image: str) -> str:
    """Pull an image, by the credentials Docker has, and return its name with the digest that came.

    An image that is of no registry, built on this machine, is taken as it is.

    Raises:
        DeployError: it cannot be pulled.

    """
    if "//" in image or not re.fullmatch(r"[a-z0-9][\w.:/-]*(@sha256:[0-9a-f]{64})?", image):
        raise DeployError(refusal("IMAGE", image, "the name of an image, as docker pull takes it"))
    local = images.present(image) and not images.by_digest(image)
    result = pulling.Registries(say).pull(image) if not local else pulling.Pull(pulling.Outcome.PULLED)
    if result.outcome is not pulling.Outcome.PULLED:
        raise DeployError(f"{image} cannot be pulled: {result.reason}")
    if local or "@" in image:
        return image
    digest = images.digest(image)
    return f"{image}@{digest}" if digest else image


def remember(running: Sequence[str]) -> None:
    """Keep what serves now, if `make up` or Compose put it to work, so that there is a way back to it.

    Raises:
        ReleaseError: an earlier record cannot be read.

    """
    releases.note(inspect(running)[0]["Image"], releases.asked_for(), settings=False, who="-")


def keep() -> Release:
    """Keep what serves now as a release, and say so."""
    (container, *_) = inspect(replicas())
    release = releases.record(releases.asked_for(), container["Image"], ROOT / ".env")
    step(f"release {release.number}: {release.version}")
    return release


def hook(name: str) -> None:
    """Run a command of the settings' in a container of its own, from the new image, with the application's variables.

    Raises:
        DeployError: it failed; with the end of what it wrote.

    """
    command = environment.read(name).get(name)
    if not command:
        return
    step(f"{name}: {command}")
    container = f"{project()}-deploy-hook"
    run("docker", "rm", "--force", container)  # of a deploy that was killed
    alone = ("--rm", "--no-deps", "-T", "--name", container, "--entrypoint", "sh")
    try:
        result = run("docker", "compose", "run", *alone, SERVICE, "-c", command)
    finally:
        run("docker", "rm", "--force", container)
    written = (result.stdout + result.stderr).strip().splitlines()
    if result.returncode != 0:
        end = "\n".join(written[-30:])
        then = "the new release serves" if name == "DEPLOY_AFTER" else "nothing was changed"
        raise DeployError(f"{name} failed with status {result.returncode}, {then}; the end of what it wrote:\n{end}")


def build() -> None:
    """Make the image to be served.

    Raises:
        DeployError: it cannot be; with what its build said.

    """
    command = (sys.executable, "scripts/build.py", "--anew")
    # What it says is heard at once: it may be that another's build has to be waited for.
    result = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False, start_new_session=True)
    if result.returncode != 0:
        raise DeployError(result.stderr.strip())


def replace(old: Sequence[str], wanted: int, seconds: int = 0) -> None:
    """Put `wanted` new replicas in the place of the old ones, the first of them judged for so many seconds.

    Raises:
        DeployError: a new one did not become healthy, or was judged worse; all new ones are gone again.

    """
    with marked(old), pinned(old):
        judging_for = seconds if len(old) > 1 and wanted > 1 else 0
        with judged(old, judging_for) as first, beside([*old, *first], wanted - len(first)) as others:
            uninterruptible()
            pin([*first, *others], there=[*first, *others])
        stop(old)


@contextlib.contextmanager
def judged(old: Sequence[str], seconds: int) -> Iterator[list[str]]:
    """Start one replica that takes its share beside the old ones, and have it judged; gives it, or none for 0 s.

    Raises:
        WorseError: it is clearly worse. As after any error it has answered what it was given, and is gone.

    """
    if not seconds:
        yield []
        return
    with beside(old, 1) as first:
        try:
            new, *others = zip([*first, *old], addresses([*first, *old]), strict=True)
            judging.edge("start", new=new[1])
            pin([*old, *first], there=first)
            judgement = judging.judge(judging.Watch(new, others, in_progress), seconds)
            if judgement.verdict is Verdict.WORSE:
                raise WorseError(f"the new one is clearly worse, the old ones serve: {judgement.reason}")
            yield first
        except BaseException:
            uninterruptible()
            pin(old)
            stop(first)
            raise


def judged_for() -> int:
    """Return the seconds of DEPLOY_JUDGE_SECONDS.

    Raises:
        DeployError: it is no number of seconds.

    """
    name = "DEPLOY_JUDGE_SECONDS"
    try:
        return judging.window(environment.read(name).get(name, ""))
    except ValueError as error:
        raise DeployError(str(error)) from None


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
    run(*named("exec", "-T", "prometheus", "sh", "/etc/sightglass/prometheus/expect.sh", str(count)))


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
    """Wait until the edge has let go of replicas and they have answered, and remove them."""
    step(f"draining {len(containers)}")
    time.sleep(LET_GO_SECONDS)
    end = time.monotonic() + LONGEST_REQUEST_SECONDS
    while (left := sum(map(in_progress, containers))) and time.monotonic() < end:
        if sys.stdout.isatty():
            print(f"    {left} requests under way \r", end="", flush=True)
        time.sleep(1)
    checked("docker", "stop", *containers)  # their own stop_grace_period
    remove(containers)


def in_progress(container: str) -> int:
    """Return how many requests a replica is answering; 0 where it does not say, asked more than once."""
    for _ in range(ATTEMPTS_TO_ASK):
        told = run("docker", "exec", container, "sh", "-c", PYTHON, ASK_METRICS)
        if told.returncode == 0:
            counts = re.findall(r"^http_requests_in_progress\{.*\} (\S+)$", told.stdout, re.MULTILINE)
            return int(sum(map(float, counts)))
        time.sleep(1)
    return 0


@contextlib.contextmanager
def pinned(containers: Sequence[str]) -> Iterator[None]:
    """Have the edge use these replicas only, and in the end, whatever happened, all there are."""
    try:
        pin(containers)
        yield
    finally:
        uninterruptible()
        pin([])


def pin(containers: Sequence[str], *, there: Sequence[str] = ()) -> None:
    """Have the edge use these replicas only; none for all that Docker's DNS lists.

    Raises:
        DeployError: one that has to be there has ended.

    """
    found = dict(zip(containers, addresses(containers), strict=True)) if containers else {}
    # One that Docker is about to start again has no address; of old ones the DNS tells where they are then.
    ended = {one for one, at in found.items() if at.startswith(":")}
    if ended.intersection(there):
        raise DeployError("a new replica has ended again")
    at = [at for one, at in found.items() if one not in ended]
    checked(*named("exec", "-T", "nginx", "sh", "/etc/sightglass/nginx/pin.sh", *at))


def addresses(containers: Sequence[str]) -> list[str]:
    """Return where the edge reaches replicas, ADDRESS:PORT, in their order."""
    (nginx,) = inspect(checked(*named("ps", "--quiet", "nginx")).split())
    return [f"{address(item, nginx)}:{PORT}" for item in inspect(containers)]


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
    ids = checked(*named("ps", "--quiet", *(["--all"] if stopped else []), SERVICE)).split()
    return [item["Id"] for item in sorted(inspect(ids), key=lambda item: str(item["Created"]))]


def remove(containers: Sequence[str]) -> None:
    """Remove containers, running or not, and wait until the edge knows."""
    if containers:
        remove_containers(containers)
        time.sleep(FORGET_SECONDS)


def inspect(containers: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the engine knows of containers."""
    found: list[dict[str, Any]] = json.loads(checked("docker", "inspect", *containers)) if containers else []
    return found


def compose(*arguments: str) -> str:
    """Run `docker compose` on the project of this directory."""
    return checked("docker", "compose", *arguments)


if __name__ == "__main__":
    sys.exit(main())
