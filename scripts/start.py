"""Starts the stack and waits until every service is healthy, saying meanwhile what it waits for, and why it failed.

Standard library only.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import environment, hooks, preflight, profiles
from scripts.commands import ROOT, CommandError, checked, run, say
from scripts.preflight import refusal, start_period
from scripts.running import named, remove, uploads_forgotten

TELEMETRY = ("collector", "victoria-logs", "jaeger", "telemetry-door", "telemetry-setup")
"""The services of the profile that TELEMETRY=true starts."""
PAUSE_SECONDS = 10.0
"""Seconds between two lines of progress."""
BESIDES_SECONDS = 240
"""Seconds that everything may take besides the API's start period."""
LINES = 15
"""The most that is shown of a log."""
PROGRESS = (" Container", " Network", " Volume")
"""How Compose's own lines begin."""
CHECKS: Mapping[str, tuple[str, ...]] = {
    # In an image of the application's own, its Python by the overlay's name for it, and what it lacks (docker/overlay).
    "api": (
        "sh", "-c",
        "export PATH=/opt/sightglass:$PATH PYTHONPATH=${PYTHONPATH:-}:/opt/sightglass:/opt/sightglass/site; "
        "python -c 'from sightglass.server.settings import *; load_settings_or_exit()'",
    ),
    "nginx": ("sh", "/etc/sightglass/nginx/start.sh", "--check"),
    "operators": ("sh", "/etc/sightglass/operators/start.sh", "--check"),
    "collector": ("/otelcol-contrib", "validate", "--config=/etc/sightglass/telemetry/collector.yml"),
    "prometheus": ("sh", "/etc/sightglass/prometheus/start.sh", "--check"),
    "alertmanager": (
        "sh", "-c", "sh /etc/sightglass/alertmanager/start.sh --version && amtool check-config /tmp/alertmanager/*.yml",
    ),
}  # fmt: skip
"""What says, in a container of its own, whether a service would start on its configuration as it is now."""
SECRETS = """for file in /run/secrets/*; do
    [ -r "$file" ] && continue
    echo "secrets: ${file##*/}: not allowed; expected a file that user $(id -u), who runs $0, may read" >&2 && exit 2
done"""
"""What says whether a service may read the secrets it is given: Compose leaves files of the host as they are."""
NO_LONGER_MOUNTED = {"app": "APP_DIR", "models": "MODELS_DIR", "alert_secrets": "ALERT_SECRETS_DIR"}
"""Volumes of the last release, and what names the directory that is mounted in their place."""


def main() -> int:
    """Start everything.

    Returns:
        0; 1 when something did not start, with the reasons on stderr.

    """
    given = preflight.settings()
    config = json.loads(output(*compose(), "config", "--format", "json"))
    hooks.prepare(hooks.directory(given))
    wrong = left_behind(config, given) or refused(config)
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    if "collector" not in config["services"]:
        end_telemetry()
    end_those_of_none(config)
    end_those_that_loop()
    timeout = str((start_period(given) or 0) + BESIDES_SECONDS)
    with tempfile.TemporaryFile("w+") as said:
        command = [*compose(), "up", "--detach", "--quiet-pull", "--wait", "--wait-timeout", timeout]
        starting = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        begun = time.monotonic()
        while True:
            try:
                status = starting.wait(PAUSE_SECONDS)
                break
            except subprocess.TimeoutExpired:
                say(f"{time.monotonic() - begun:.0f} s: waiting for {waited_for() or 'Docker'}")
        if status != 0:
            said.seek(0)
            report(said.read(), given)
            return 1
    # As many as .env says again, whatever a `make scale` has said.
    replicas = str(config["services"]["api"].get("deploy", {}).get("replicas", 1))
    output(*named("exec", "-T", "prometheus", "sh", "/etc/sightglass/prometheus/expect.sh", replicas))
    # What a deploy that was killed may have left: sends requests to all replicas again, or changes nothing.
    checked(*named("exec", "-T", "nginx", "sh", "/etc/sightglass/nginx/pin.sh"))
    wrong = hooks.take_up(named(), output(*named("ps", "--services", "--status", "running")).split())
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
    return int(bool(wrong))


@cache
def compose() -> tuple[str, ...]:
    """Return Compose's command with the profiles that are to run."""
    chosen = profiles.chosen(environment.read(*profiles.VARIABLES))
    return ("docker", "compose", *(word for profile in chosen for word in ("--profile", profile)))


def refused(config: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the configuration of what runs: it goes on with the one it has.

    Where nothing runs yet, nothing can be lost, and what is wrong shows when it starts; but for secrets, where an
    application may say it in many ways.
    """
    running = output(*named("ps", "--services", "--status", "running")).split()
    # What a profile had that is not to run any more is ended later.
    checks = [(name, CHECKS[name]) for name in CHECKS if name in running and name in config["services"]]
    secret = [name for name in ("api", "jobs") if given_secrets(config["services"][name])]
    checks += [(name, ("sh", "-c", SECRETS, name)) for name in secret]
    services = {name: dict(config["services"][name]) for name, _ in checks}
    for service in services.values():
        for key in ("networks", "ports", "depends_on", "healthcheck", "profiles", "build"):
            service.pop(key, None)
        # Compose would change the project's networks to what they are to be.
        service |= {"network_mode": "none", "deploy": service["deploy"] | {"replicas": 1}}
    lent = {kind: config.get(kind, {}) for kind in ("volumes", "secrets", "configs")}
    alone = {"name": config["name"], "services": services, **lent}

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(alone, file)
        file.flush()
        alone_with = ("docker", "compose", "--file", file.name, "--project-directory", str(ROOT))

        def check(one: tuple[str, tuple[str, ...]]) -> list[str]:
            name, command = one
            run = ("run", "--rm", "--no-deps", "-T", "--entrypoint", command[0], name, *command[1:])
            environment = os.environ | {"COMPOSE_IGNORE_ORPHANS": "true"}
            said = subprocess.run([*alone_with, *run], env=environment, capture_output=True, text=True, check=False)
            if said.returncode == 0:
                return []
            lines = [line for line in (said.stdout + said.stderr).splitlines() if line.strip()]
            return [line for line in lines if not line.startswith(PROGRESS)][-3:] or [f"{name}: refused"]

        with ThreadPoolExecutor() as pool:
            return [line for lines in pool.map(check, checks) for line in lines]


def given_secrets(service: Mapping[str, Any]) -> bool:
    """Say whether a service that runs is given secrets."""
    return bool(service.get("secrets")) and service.get("deploy", {}).get("replicas") != 0


def left_behind(config: Mapping[str, Any], given: Mapping[str, str]) -> list[str]:
    """Return a line for each volume of the last release that holds files and is no longer mounted."""
    lines = []
    for volume, name in NO_LONGER_MOUNTED.items():
        if given.get(name):
            continue
        labels = {"project": config["name"], "volume": volume}
        filters = [f"--filter=label=com.docker.compose.{label}={value}" for label, value in labels.items()]
        for full in output("docker", "volume", "ls", "--quiet", *filters).split():
            image = config["services"]["api"]["image"]
            look = ("--rm", "--network=none", "--user=0", "--cap-drop=ALL", f"--volume={full}:/old:ro")
            if output("docker", "run", *look, "--entrypoint=ls", image, "-A", "/old"):
                expected = (
                    f"a directory of this machine with the files of the volume {full}, which is no longer mounted "
                    f"(docker run --rm -v {full}:/old --user 0 {image} tar -C /old -c . | tar -xC DIRECTORY), "
                    f"or that volume removed"
                )
                lines.append(refusal(name, "", expected))
    return lines


def end_telemetry() -> None:
    """End what runs of the profile telemetry, which is not to run: it would go on with nobody to see it."""
    if set(TELEMETRY) & set(output(*named("ps", "--all", "--services")).split()):
        say("TELEMETRY is not true: ending what keeps logs and traces; its data stays")
        output("docker", "compose", "--profile", "telemetry", "rm", "--stop", "--force", *TELEMETRY)


def end_those_of_none(config: Mapping[str, Any]) -> None:
    """End what still runs of services that are to have no container: `up --wait` ends them too, but then fails."""
    none = [name for name, service in config["services"].items() if service.get("deploy", {}).get("replicas") == 0]
    if set(none) & set(output(*named("ps", "--services")).split()):
        with uploads_forgotten(output(*named("ps", "--all", "--quiet", *none)).split()):
            output(*compose(), "up", "--detach", "--no-deps", "--no-build", *none)


def end_those_that_loop() -> None:
    """Remove what starts again and again: Docker would let it wait, for longer each time, although it might do now."""
    for container in containers():
        if container["RestartCount"] > 0 and not finished(container["State"]):
            print(f"    {service(container)}: it failed {container['RestartCount'] + 1} times; made anew", flush=True)
            remove([container["Id"]])


def waited_for() -> str:
    """Name what is not healthy yet, and what its health check said last."""
    parts = []
    for container in containers():
        state = container["State"]
        if finished(state):
            continue
        checks = state.get("Health", {}).get("Log") or [{"Output": state["Status"]}]
        last = (str(checks[-1]["Output"]).strip().splitlines() or [""])[-1]
        parts.append(f"{service(container)} ({last[:160]})" if last else service(container))
    return ", ".join(parts)


def report(said: str, given: Mapping[str, str]) -> None:
    """Say what did not start and why: by each service that is not well, or by Compose where it made no container."""
    unwell = [container for container in containers() if not finished(container["State"])]
    reasons = {service(one): reason for one in unwell if (reason := why(one))}
    # What the engine refuses ends the wait for the others, which were starting well.
    by_engine = [line for line in said.splitlines() if line.startswith("Error response from daemon")]
    if by_engine:
        print(*by_engine, sep="\n", file=sys.stderr)
        return
    if not reasons:
        print("\n".join(said.strip().splitlines()[-3:]), file=sys.stderr)
    for name, lines in sorted(reasons.items()):
        print(f"{name} did not start; the end of its log:", *lines, sep="\n    ", file=sys.stderr)
    if any(service(c) == "api" and c["State"].get("Health", {}).get("Status") == "unhealthy" for c in unwell):
        line = f"API_START_PERIOD={start_period(given)}: not enough for the API; more, if time is what it needs"
        print(line, file=sys.stderr)


def why(container: Mapping[str, Any]) -> list[str]:
    """Return the lines of a container's log that tell most likely why it is not well, oldest first."""
    log = ("docker", "logs", "--tail", "500", str(container["Id"]))
    result = subprocess.run(log, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return telling(result.stdout.splitlines())


def telling(log: Sequence[str]) -> list[str]:
    """Return the last lines that are an error or no JSON at all, each once; the very last where there is none.

    A container that was started again has said the same each time, and what its server says of its own end, by one
    line for each process, comes after the line with the reason.
    """
    chosen = [text for line in log if (text := as_error(line))]
    last_of_each = list(dict.fromkeys(reversed(chosen)))[:LINES]
    return last_of_each[::-1] or list(log[-3:])


def as_error(line: str) -> str | None:
    """Return what a log line says if it may be a reason: for people, where it is JSON."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line.rstrip() or None
    if not isinstance(entry, dict):
        return line
    if entry.get("level") not in ("ERROR", "CRITICAL"):
        return None
    exception = entry.get("exception") or {}
    if entry.get("logger") == "gunicorn.error" and not exception:
        return None  # that a worker ended, and that it ends therefore
    stack = exception.get("stack") or [""]
    return " ".join(filter(None, (str(entry.get("message")), str(exception.get("type", "")), str(stack[-1]))))


def containers() -> list[dict[str, Any]]:
    """Return what the engine knows of the project's containers."""
    ids = output(*compose(), "ps", "--all", "--quiet").split()
    found: list[dict[str, Any]] = json.loads(output("docker", "inspect", *ids) or "[]") if ids else []
    return found


def finished(state: Mapping[str, Any]) -> bool:
    """Say whether a container is as it should be: healthy, or ended without an error."""
    if state["Status"] == "exited":
        return bool(state["ExitCode"] == 0)
    health = state.get("Health", {}).get("Status", "healthy")
    return (state["Status"], health) == ("running", "healthy")


def service(container: Mapping[str, Any]) -> str:
    """Return the name of a container's service."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def output(*command: str) -> str:
    """Return what a command prints; what it cannot say is left out."""
    return run(*command).stdout


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CommandError as error:
        sys.exit(str(error))
