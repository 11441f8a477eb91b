"""Looks at the settings before `make up` changes anything: one line for each that cannot do, and nothing is started.

Only what the containers cannot say themselves: variables that have another name now, files and directories of this
machine that are not there (who may read them, docker/setup.sh finds out), and how long to wait. Standard library only.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import environment, hooks, profiles
from scripts.commands import ROOT, say

RENAMED = {"WORKER_REPLICAS": "JOBS_REPLICAS"}
"""Since the last release; the Compose files refuse the old names too (docker/upgrade.yml)."""
MOVED = {"docker-compose.http3.yml": "docker/nginx/http3.yml"}
"""Compose files that COMPOSE_FILE may still call by their old name, for one release."""
STACK = "docker-compose.prod.yml"
"""What COMPOSE_FILE names at least."""
ACME = ("ACME_EMAIL", "SERVER_NAME")
"""What has to go together; docker/acme/start.sh says more."""
START_PERIOD_SECONDS, LONGEST_START_PERIOD_SECONDS = 120, 86400
"""Seconds: the default of API_START_PERIOD, and the most."""


def port(text: str) -> bool:
    """Say whether that is a port's number."""
    return re.fullmatch(r"0*[0-9]{1,5}", text) is not None and int(text) <= 65535


def bound_port(text: str) -> bool:
    """Say whether that is a port, of one address of this machine or of all."""
    address, bound, number = text.rpartition(":")
    return port(number) and (not bound or re.fullmatch(r"[0-9.]+|\[[0-9a-fA-F:]+\]", address) is not None)


def formed(form: str) -> Callable[[str], bool]:
    """Return what says whether a text has a form."""
    return lambda text: re.fullmatch(form, text) is not None


PORT = (port, "a port")
WHOLE = (formed(r"[0-9]{1,6}"), "a whole number")
PROCESSORS = (formed(r"[0-9]{1,4}(\.[0-9]*)?|\.[0-9]+"), "a number of processors, such as 1.5")
MEMORY = (formed(r"[0-9]+(\.[0-9]+)? ?([kKmMgGtT]i?)?[bB]?"), "bytes, or such as 512m or 2g")
COMPOSED: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "HTTP_PORT": (bound_port, "a port, or 127.0.0.1:8080"),
    **dict.fromkeys(("HTTPS_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT"), PORT),
    **dict.fromkeys(("LOGS_PORT", "TRACES_PORT", "MLFLOW_PORT"), PORT),
    **dict.fromkeys(("API_REPLICAS", "JOBS_REPLICAS", "API_CPU_SHARES", "API_STOP_GRACE"), WHOLE),
    **dict.fromkeys(("API_CPUS", "JOBS_CPUS", "NGINX_CPUS", "PROMETHEUS_CPUS"), PROCESSORS),
    **dict.fromkeys(("API_MEMORY", "API_MEMORY_RESERVATION", "JOBS_MEMORY"), MEMORY),
    **dict.fromkeys(("NGINX_MEMORY", "PROMETHEUS_MEMORY"), MEMORY),
}
"""What Compose itself makes numbers of, without naming the variable where it cannot: what will do, and its name."""


def directory(path: Path) -> str | None:
    """Say what is expected instead, if that is no directory."""
    return None if path.is_dir() else "a directory of this machine"


def file(path: Path) -> str | None:
    """Say what is expected instead, if that is no file."""
    return None if path.is_file() else "a file of this machine"


def lent(path: Path) -> str | None:
    """Say what is expected instead, if that is no file that image builds can read."""
    inside = path.resolve().is_relative_to(ROOT) and path.is_file() and os.access(path, os.R_OK)
    return None if inside else f"a file you may read, inside {ROOT}: Compose's builder reads no other"


def context(path: Path) -> str | None:
    """Say what is expected instead, if nothing can be built there; an address is Docker's to judge."""
    return None if path.is_dir() or re.search(r"https?:/|ssh:/|git@|\.git(#|$)", str(path)) else directory(path)


PATHS: Mapping[str, Callable[[Path], str | None]] = {
    "APP_DIR": directory,
    "MODELS_DIR": directory,
    "DATA_DIR": directory,
    "SITE_DIR": directory,
    "ALERT_SECRETS_DIR": directory,
    "STATE_SECRETS_DIR": directory,
    "APP_ENV_FILE": file,
    "API_KEYS_FILE": file,
    "TLS_CERT": file,
    "TLS_KEY": file,
    "GRAFANA_PASSWORD_FILE": file,
    "CA_BUNDLE": lent,
    "PIP_CONFIG_FILE": lent,
    "API_CONTEXT": context,
}


def main() -> int:
    """Look at everything.

    Returns:
        0; 1 when something cannot do, with a line for each on stderr.

    """
    given = settings()
    for name in compose_files(given):
        if name in MOVED:
            say(f"COMPOSE_FILE: {name} is {MOVED[name]} now; the old name goes with the next release")
    wrong = problems(given) or hooks.problems(hooks.directory(given)) or refused_by_compose(given)
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


def settings() -> dict[str, str]:
    """Read what is looked at, as Compose does."""
    own = ("COMPOSE_FILE", "COMPOSE_PATH_SEPARATOR", "API_START_PERIOD", "MLFLOW", *profiles.VARIABLES)
    return environment.read(*own, *ACME, *RENAMED, *PATHS, *COMPOSED)


def problems(given: Mapping[str, str]) -> list[str]:
    """Return a line for each setting that cannot do: its name, its value and what is expected."""
    lines = [refusal(old, given[old], f"{new}, its new name") for old, new in RENAMED.items() if given.get(old)]
    for name, missing in PATHS.items():
        value = given.get(name)
        # As Compose resolves it: from where the Compose file is.
        if value and (expected := missing(ROOT / Path(value).expanduser())):
            lines.append(refusal(name, value, expected))
    for name, (will_do, expected) in COMPOSED.items():
        value = given.get(name)
        if value and not will_do(value):
            lines.append(refusal(name, value, expected))
    if given.get("TELEMETRY") not in (None, "", "true", "false"):
        lines.append(refusal("TELEMETRY", given["TELEMETRY"], "true or false"))
    if given.get("MLFLOW") not in (None, "", "true"):
        lines.append(refusal("MLFLOW", given["MLFLOW"], "true, or no such line"))
    if given.get("ACME_EMAIL"):
        if value := given.get("TLS_CERT"):
            lines.append(refusal("TLS_CERT", value, "none where ACME_EMAIL is set, which gets a certificate by itself"))
        if not given.get("SERVER_NAME"):
            lines.append(refusal("SERVER_NAME", "", "the names of the certificate that ACME_EMAIL gets"))
    if start_period(given) is None:
        allowed = f"whole seconds from 1 to {LONGEST_START_PERIOD_SECONDS}"
        lines.append(refusal("API_START_PERIOD", given["API_START_PERIOD"], allowed))
    return lines


def compose_files(given: Mapping[str, str]) -> list[str]:
    """Return the names in COMPOSE_FILE."""
    return list(filter(None, given.get("COMPOSE_FILE", "").split(given.get("COMPOSE_PATH_SEPARATOR", ":"))))


def refused_by_compose(given: Mapping[str, str]) -> list[str]:
    """Return a line where Compose does not take its files, an override of the user's among them."""
    value = given.get("COMPOSE_FILE", "")
    if not compose_files(given):  # Compose would look for a file of its own names, in the directories above too
        return [refusal("COMPOSE_FILE", value, f"{STACK}, as in .env.template")]
    for name in compose_files(given):
        if not (ROOT / name).is_file():
            return [refusal("COMPOSE_FILE", value, f"files that are there, which {name} is not")]
    command = ("docker", "compose", "--profile", "*", "config", "--format=json")
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return more_than_there_is(json.loads(result.stdout)["services"], given, os.cpu_count() or 1)
    said = " ".join(line.strip() for line in result.stderr.splitlines() if " level=warning " not in line)
    return [f"COMPOSE_FILE={value}: Compose does not take it: {said}"]


def more_than_there_is(services: Mapping[str, Any], given: Mapping[str, str], processors: int) -> list[str]:
    """Return a line for each limit above the machine's processors: of such a service Docker makes no container.

    Args:
        services: Compose's, of all profiles; what is not to be started is not looked at.
        given: the settings.
        processors: how many this machine has.

    """
    started, lines = set(profiles.chosen(given)), []
    for name, service in services.items():
        deploy, only = service.get("deploy", {}), service.get("profiles")
        limit = deploy.get("resources", {}).get("limits", {}).get("cpus", 0)
        if float(limit) <= processors or deploy.get("replicas") == 0 or (only and not started & set(only)):
            continue
        variable = f"{name.upper()}_CPUS"
        by_variable = variable in COMPOSED and float(given.get(variable) or limit) == float(limit)
        said = variable if by_variable else f"services.{name}.deploy.resources.limits.cpus"
        lines.append(refusal(said, str(limit), f"at most {processors}, as many as this machine has"))
    return lines


def start_period(given: Mapping[str, str]) -> int | None:
    """Return the seconds the API has to become ready; none where what is set is no such number."""
    value = given.get("API_START_PERIOD") or str(START_PERIOD_SECONDS)
    return (
        int(value) if re.fullmatch(r"[0-9]{1,5}", value) and 1 <= int(value) <= LONGEST_START_PERIOD_SECONDS else None
    )


def refusal(name: str, value: str, expected: str) -> str:
    """Return the line that refuses a setting; a line it stays, whatever the value holds."""
    return f"{name}={re.sub(r'[^ -~]', '?', value)[:200]}: not allowed; expected {expected}"


if __name__ == "__main__":
    sys.exit(main())
