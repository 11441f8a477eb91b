"""Gives a secret of the stack another value, without a failed request, and tries that the old one is refused.

Usage: rotate.py [SECRET [--file FILE] [--owner OWNER [--withdraw]]]

Without SECRET, lists them: who reads each, whether old and new are both right for a while, whether something has to be
restarted, and how old it is. Each rotation writes the new value beside the old one first, then tells whoever has to
know, and only then takes the old one away (scripts/rotating.py): cut off at any point, the next run goes on from there.
Standard library only.
"""

import argparse
import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import environment, rotating
from scripts.commands import ROOT, CommandError, checked
from scripts.interrupts import interruptible
from scripts.preflight import refusal
from scripts.rotating import RotateError

API_KEYS = "api-keys"
DAY = 86400
OLD_DAYS = 365
"""Days after which `make doctor` says that a secret is old."""
VALUE = re.compile(r"[A-Za-z0-9._~+/=@%:,-]{16,128}")
"""What a value given in a file may be: what needs quoting nowhere."""


@dataclass(frozen=True)
class Secret:
    """One secret.

    Attributes:
        readers: who reads it.
        overlap: for how long old and new are both right.
        restart: what has to be restarted, which serves no request.
        place: the volume it is in, and the file there, as a shell's pattern; or the variable that names a file of the
            host.

    """

    readers: str
    overlap: str
    restart: str
    place: tuple[str, str] | str


SECRETS: Mapping[str, Secret] = {
    "operators": Secret("operators' doors (NGINX), you", "none", "nothing", ("operators", "password")),
    "grafana": Secret("Grafana, you", "none", "nothing", ("credentials", "grafana_admin_password")),
    "tls": Secret("NGINX", "connections there are", "nothing", ("tls", "tls.key")),
    "acme-account": Secret("lego", "none", "lego", ("acme", "acme/*/accounts/*/*/keys/*.key")),
    API_KEYS: Secret("API, its clients", "until WITHDRAW=1", "nothing", "API_KEYS_FILE"),
    "valkey": Secret("API, job processes, Valkey", "while it is told", "nothing", ("queue-credentials", "password")),
    "backup": Secret("restic, you", "while it is told", "nothing", ("backup", "password")),
    "jobs-db": Secret(
        "API, job processes, PostgreSQL and its exporter",
        "while it is told",
        "exporter",
        ("database-credentials", "sightglass"),
    ),
    "mlflow-db": Secret("MLflow, PostgreSQL", "none", "nothing", ("mlflow-credentials", "mlflow")),
}


def main() -> int:
    """Do what the command line asks for.

    Returns:
        0; 1 with the reason on stderr, 2 where what is asked for is not understood; 130 when interrupted.

    """
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("secret", nargs="?", default="", metavar="SECRET", help=", ".join(SECRETS))
    arguments.add_argument("--file", default="", help="holds the new value (default: one is made)")
    arguments.add_argument("--owner", default="", help="whose API key")
    arguments.add_argument("--withdraw", action="store_true", help="take the owner's older API keys away")
    options = arguments.parse_args()
    interruptible()
    try:
        wrong = problem(options.secret, options.file, options.owner, withdraw=options.withdraw)
        if wrong:
            print(wrong, file=sys.stderr)
            return 2
        if not options.secret:
            print(table(ages(), time.time()))
            return 0
        lock()
        value = read(options.file) if options.file else ""
        if options.secret == API_KEYS:
            rotating.api_keys(options.owner, value, withdraw=options.withdraw)
        else:
            ROTATIONS[options.secret](value)
    except (RotateError, CommandError) as error:
        print(f"rotate: {error.line if isinstance(error, CommandError) else error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"rotate: interrupted; make rotate SECRET={options.secret} goes on from there", file=sys.stderr)
        return 130
    return 0


ROTATIONS = {
    "operators": rotating.operators,
    "grafana": rotating.grafana,
    "tls": rotating.tls,
    "acme-account": rotating.acme_account,
    "valkey": rotating.valkey,
    "backup": rotating.backup,
    "jobs-db": rotating.jobs_db,
    "mlflow-db": rotating.mlflow_db,
}
MADE_ELSEWHERE = ("tls", "acme-account")
"""Keys, which are no value of a line."""


def problem(secret: str, file: str, owner: str, *, withdraw: bool) -> str | None:
    """Say in a line what is wrong with what is asked for."""
    if secret not in ("", *SECRETS):
        return refusal("SECRET", secret, f"one of {', '.join(SECRETS)}")
    if secret == API_KEYS:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", owner):
            return refusal("OWNER", owner, "whose API key: 1 to 64 letters, digits, '.', '_' or '-'")
        if withdraw and file:
            return refusal("FILE", file, "none with WITHDRAW=1")
    elif owner or withdraw:
        return refusal("OWNER" if owner else "WITHDRAW", owner or "1", "nothing: it is of api-keys")
    if file:
        if not secret or secret in MADE_ELSEWHERE:
            return refusal("FILE", file, f"none for SECRET={secret}")
        try:
            fits = VALUE.fullmatch(Path(file).read_text().removesuffix("\n"))
        except (OSError, UnicodeDecodeError):
            fits = None
        if not fits:
            return refusal("FILE", file, "a file of one line, 16 to 128 letters, digits and . _ ~ + / = @ % : , -")
    return None


def read(file: str) -> str:
    """Return the value in a file that was looked at."""
    return Path(file).read_text().removesuffix("\n")


def lock() -> None:
    """Keep others from rotating, and from `make up` and `make deploy`, until this process ends.

    Raises:
        RotateError: one is under way.

    """
    try:
        fcntl.flock(os.open(ROOT, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RotateError("another rotation, a deploy or make up is under way") from None


def ages() -> dict[str, float]:
    """Return when each secret that is in use got its value, in seconds since the epoch.

    Raises:
        CommandError: Docker or Compose does not answer.

    """
    config: dict[str, Any] = json.loads(checked("docker", "compose", "--profile", "*", "config", "--format", "json"))
    there = set(checked("docker", "volume", "ls", "--format", "{{.Name}}").split())
    names = {name: volume["name"] for name, volume in config.get("volumes", {}).items() if volume["name"] in there}
    found: dict[str, float] = {}
    places = {name: secret.place for name, secret in SECRETS.items() if isinstance(secret.place, tuple)}
    mounted = sorted({volume for volume, _ in places.values() if volume in names})
    if mounted:
        looks = [f"stat -c '{n} %Y' /seen/{place[0]}/{place[1]} 2>/dev/null" for n, place in places.items()]
        told = checked(
            # Root without a network, which may read everything and write nothing: each file is its service's own.
            "docker", "run", "--rm", "--network", "none", "--read-only", "--user", "0:0", "--cap-drop", "ALL",
            "--cap-add", "DAC_READ_SEARCH", "--security-opt", "no-new-privileges", "--entrypoint", "sh",
            *(f"--volume={names[volume]}:/seen/{volume}:ro" for volume in mounted),
            config["services"]["setup"]["image"], "-c", "; ".join([*looks, "true"]),
        )  # fmt: skip
        for line in told.splitlines():
            name, when = line.split()
            found[name] = max(float(when), found.get(name, 0.0))
    keys = environment.read("API_KEYS_FILE").get("API_KEYS_FILE")
    if keys and (path := ROOT / Path(keys).expanduser()).is_file():
        found[API_KEYS] = path.stat().st_mtime
    return found


def table(when: Mapping[str, float], now: float) -> str:
    """Return the list for people."""
    rows: list[Sequence[str]] = [("SECRET", "read by", "old and new both right", "restarts", "age")]
    for name, secret in SECRETS.items():
        age = f"{max(0, int((now - when[name]) // DAY))} days" if name in when else "not in use"
        rows.append((name, secret.readers, secret.overlap, secret.restart, age))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
