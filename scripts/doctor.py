"""Ticks the production checklist (docs/deployment.md): a line a check, ✓ as it should be, ! to look at, ✗ to mend.

What could not be looked at is a ! that says so. Standard library only.
"""

import ctypes
import json
import os
import re
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import environment, images, releases, rotate
from scripts.commands import ROOT, CommandError, checked, last_line, run
from scripts.releases import ReleaseError

COMPOSE = ("docker", "compose", "--profile", "*")
GOOD, LOOK, BAD = "✓", "!", "✗"
DAY = 86400
RECEIVERS = ("ALERT_WEBHOOK_URL", "ALERT_WEBHOOK_URL_FILE", "ALERT_SLACK_WEBHOOK_FILE", "ALERT_EMAIL_TO")
SETTINGS = (*RECEIVERS, "SERVER_NAME", "OPERATORS_ANONYMOUS", "BACKUP_HOURS", "HTTP_PORT", "HTTPS_PORT")
OF_EVERYBODY = re.compile(
    r"changeme|change-me|password\d*|passw0rd|secret|admin|root|test|example|12345\d*|letmein|qwerty", re.IGNORECASE
)
"""Values of passwords that are nobody's secret."""
NAMED_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY", re.IGNORECASE)
TIME_ERROR = 5
"""What adjtimex(2) returns where the clock follows no other."""
LISTEN = "0A"
"""The state of a socket that listens, in /proc/net/tcp."""
TEST_ALERT = "DoctorTest"


class UnknownError(Exception):
    """Why something could not be looked at; one line."""


@dataclass(frozen=True)
class Finding:
    """What a check found: its state, what is so, and what to do about it, if anything."""

    state: str
    what: str
    todo: str = ""


class Machine:
    """What the checks ask of this machine and of the stack on it."""

    @cached_property
    def given(self) -> dict[str, str]:
        """The settings that count."""
        return environment.read(*SETTINGS)

    @cached_property
    def services(self) -> dict[str, dict[str, Any]]:
        """The services as Compose has them."""
        config: dict[str, Any] = json.loads(checked(*COMPOSE, "config", "--format", "json"))
        services: dict[str, dict[str, Any]] = config["services"]
        return services

    @cached_property
    def running(self) -> list[str]:
        """The services that run."""
        return checked(*COMPOSE, "ps", "--services", "--status", "running").split()

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    def processors(self) -> int:
        """Return how many there are."""
        return os.cpu_count() or 1

    def memory(self) -> int:
        """Return the machine's, in bytes."""
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def disk(self) -> tuple[int, int]:
        """Return the bytes of the disk that Docker keeps everything on, and those free."""
        usage = shutil.disk_usage(checked("docker", "info", "--format", "{{.DockerRootDir}}").strip())
        return usage.total, usage.free

    def clock(self) -> int:
        """Return what adjtimex(2) does."""
        return int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512)))

    def addresses(self, name: str) -> list[str]:
        """Return the addresses that a name leads to; none where it leads nowhere."""
        try:
            return sorted({str(found[4][0]) for found in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)})
        except OSError:
            return []

    def listening(self) -> set[int]:
        """Return the TCP ports that are listened at on other addresses than this machine's own."""
        ports = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in images.text_of(Path(table)).splitlines()[1:]:
                local, _, state = line.split()[1:4]
                address, _, port = local.partition(":")
                # In the machine's byte order, four bytes at a time.
                loopback = address.endswith("7F") if len(address) == 8 else address in LOOPBACK_6
                if state == LISTEN and not loopback:
                    ports.add(int(port, 16))
        return ports

    def filtered(self) -> bool:
        """Say whether anything decides which connections this machine takes.

        Raises:
            UnknownError: that cannot be asked.

        """
        told = [run(program, *options) for program, *options in FILTERS if shutil.which(program)]
        if not told or any(one.returncode for one in told):
            raise UnknownError("neither nft nor iptables says what is filtered")
        rules = "\n".join(one.stdout for one in told)
        return FILTERED.search(rules) is not None

    def certificate(self, name: str | None) -> int:
        """Return when the certificate that the edge presents ends, in seconds since the epoch.

        Raises:
            ssl.SSLCertVerificationError: this machine does not trust it.
            UnknownError: the edge does not answer.

        """
        context = ssl.create_default_context()
        context.check_hostname = name is not None
        try:
            port = int(checked(*COMPOSE, "port", "nginx", "8443").rpartition(":")[2])
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname=name or "localhost") as connection,
            ):
                return int(ssl.cert_time_to_seconds(str((connection.getpeercert() or {})["notAfter"])))
        except ssl.SSLCertVerificationError:
            raise
        except (OSError, ValueError, CommandError) as error:
            raise UnknownError(f"the edge does not answer: {last_line(str(error))}") from None

    def value(self, query: str) -> float | None:
        """Return the one number that Prometheus has for a query; None where it has none.

        Raises:
            UnknownError: it cannot be asked.

        """
        told = run(*COMPOSE, "exec", "-T", "prometheus", "promtool", "query", "instant", "http://127.0.0.1:9090", query)
        if told.returncode != 0:
            raise UnknownError(f"Prometheus cannot be asked: {last_line(told.stderr)}")
        found = re.search(r"=> (\S+) @", told.stdout)
        return float(found[1]) if found else None

    def send_alert(self) -> None:
        """Hand Alertmanager an alert that ends by itself.

        Raises:
            UnknownError: it does not take it.

        """
        end = (datetime.fromtimestamp(self.now(), UTC) + timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = run(
            *COMPOSE, "exec", "-T", "alertmanager",
            "amtool", "--alertmanager.url=http://127.0.0.1:9093", "alert", "add",
            f"alertname={TEST_ALERT}", "severity=ticket", f"--end={end}",
            "--annotation=summary=make doctor asks whether alerts arrive; nothing is wrong",
        )  # fmt: skip
        if told.returncode != 0:
            raise UnknownError(f"Alertmanager takes no alert: {last_line(told.stderr)}")

    def ages(self) -> dict[str, float]:
        """Return when each secret got its value, in seconds since the epoch."""
        return rotate.ages()

    def own_variables(self) -> dict[str, str]:
        """Return the variables of `.env` and of the application's."""
        paths = (ROOT / ".env", *releases.app_files().values())
        return {name: value for path in paths for name, value in releases.variables(path).items()}

    def scanned(self) -> float | None:
        """Return when `make scan` last found nothing that can be mended; None where it never did."""
        try:
            return (ROOT / ".build" / "scanned").stat().st_mtime
        except FileNotFoundError:
            return None

    def releases(self) -> list[releases.Release]:
        """Return what was deployed."""
        return releases.load()


LOOPBACK_6 = ("0" * 24 + "01000000", "0" * 16 + "FFFF0000" + "0100007F")
FILTERED = re.compile(r"hook input[^}]*(policy drop|\b(drop|reject)\b)|^-P INPUT DROP|^-A INPUT ", re.MULTILINE)
FILTERS = (("nft", "list", "ruleset"), ("iptables", "-S", "INPUT"))


def certificate(machine: Machine) -> Finding:
    """Look whether clients trust it, and for how long."""
    names = machine.given.get("SERVER_NAME", "").split()
    get_one = "ACME_EMAIL and SERVER_NAME, or TLS_CERT and TLS_KEY (docs/edge.md#tls)"
    try:
        days = min(machine.certificate(name) for name in names or [None])  # type: ignore[list-item]
    except ssl.SSLCertVerificationError as error:
        return Finding(BAD, f"not trusted: {error.verify_message}", get_one)
    left = int((days - machine.now()) // DAY)
    if left < 14:
        return Finding(BAD if left < 2 else LOOK, f"trusted, {left} days left", "docs/runbook.md#certificateexpiring")
    return Finding(GOOD, f"trusted, {left} days left")


def disk(machine: Machine) -> Finding:
    """Look how much is free."""
    total, free = machine.disk()
    share = 100 * free // total
    what = f"{share} % free, {free / 1e9:.1f} GB"
    todo = "docker image prune, less retention (PROMETHEUS_RETENTION_SIZE, LOGS_RETENTION_SIZE), or a larger disk"
    return Finding(GOOD, what) if share >= 20 else Finding(LOOK if share >= 10 else BAD, what, todo)


def clock(machine: Machine) -> Finding:
    """Look whether it follows another."""
    state = machine.clock()
    if state < 0:
        raise UnknownError("the kernel does not say")
    if state == TIME_ERROR:
        return Finding(LOOK, "the kernel knows of nothing that sets it", "apt-get install chrony")
    return Finding(GOOD, "set by another")


def dns(machine: Machine) -> Finding:
    """Look where the names lead."""
    names = machine.given.get("SERVER_NAME", "").split()
    if not names:
        return Finding(LOOK, "SERVER_NAME is not set: the edge answers by any name", "SERVER_NAME in .env")
    found = {name: machine.addresses(name) for name in names}
    lost = [name for name, addresses in found.items() if not addresses]
    if lost:
        return Finding(BAD, f"nowhere: {', '.join(lost)}", "an A or AAAA record for each name of SERVER_NAME")
    here = [
        name for name, addresses in found.items() if all(one.startswith("127.") or one == "::1" for one in addresses)
    ]
    if here:
        return Finding(LOOK, f"to this machine itself only: {', '.join(here)}", "look where clients find them")
    return Finding(GOOD, ", ".join(f"{name} is {' '.join(addresses)}" for name, addresses in found.items()))


def ports(machine: Machine) -> Finding:
    """Look what else than the edge listens to the world."""
    expected = {22, *(int(machine.given.get(n) or d) for n, d in (("HTTP_PORT", 80), ("HTTPS_PORT", 443)))}
    others = sorted(machine.listening() - expected)
    if others:
        return Finding(
            LOOK, f"open beside the edge's and 22: {' '.join(map(str, others))}", "ss -ltnp says whose they are"
        )
    return Finding(GOOD, "none but the edge's and 22")


def firewall(machine: Machine) -> Finding:
    """Look whether anything is filtered."""
    if machine.filtered():
        return Finding(GOOD, "something is filtered")
    return Finding(
        LOOK, "nothing is filtered here", "a firewall, here or in front, for 22, HTTP_PORT and HTTPS_PORT alone"
    )


def secrets(machine: Machine) -> Finding:
    """Look for secrets that are everybody's, or old."""
    if machine.given.get("OPERATORS_ANONYMOUS") == "true":
        return Finding(BAD, "the operators' door asks for none", "OPERATORS_ANONYMOUS=false")
    common = sorted(
        name for name, value in machine.own_variables().items()
        if NAMED_SECRET.search(name) and OF_EVERYBODY.fullmatch(value.strip("\"'"))
    )  # fmt: skip
    if common:
        return Finding(BAD, f"anybody can guess {', '.join(common)}", "another value")
    old = [name for name, when in machine.ages().items() if machine.now() - when > rotate.OLD_DAYS * DAY]
    if old:
        return Finding(LOOK, f"older than a year: {', '.join(old)}", f"make rotate SECRET={old[0]}")
    return Finding(GOOD, "none that is old, or that anybody can guess")


def alerts(machine: Machine) -> Finding:
    """Send one, and look whether anybody is told."""
    if "alertmanager" not in machine.running:
        return Finding(BAD, "Alertmanager does not run", "make up")
    machine.send_alert()
    told = [name for name in RECEIVERS if machine.given.get(name)]
    if not told:
        return Finding(BAD, "one was sent, and reaches nobody", "ALERT_… in .env (docs/runbook.md#nobodynotified)")
    return Finding(GOOD, f"one was sent, {TEST_ALERT}, to {', '.join(told)}: see that it arrives")


def backup(machine: Machine) -> Finding:
    """Look how old the last one is."""
    last = machine.value("max(backup_last_success_timestamp_seconds)")
    if last is None:
        return Finding(BAD, "none", "make backup, and RESTIC_REPOSITORY in .env (docs/backup.md)")
    hours = (machine.now() - last) / 3600
    allowed = 2 * int(machine.given.get("BACKUP_HOURS") or 24)
    what = f"{hours:.0f} h old"
    return Finding(GOOD, what) if hours <= allowed else Finding(BAD, what, "docs/runbook.md#backuptooold")


def scan(machine: Machine) -> Finding:
    """Look when what is served was last scanned, and passed."""
    passed = machine.scanned()
    if passed is None:
        return Finding(LOOK, "none that was passed", "make scan")
    days = int((machine.now() - passed) // DAY)
    return Finding(GOOD, f"passed {days} days ago") if days <= 30 else Finding(LOOK, f"{days} days ago", "make scan")


def load_test(machine: Machine) -> Finding:
    """Look at the most that was served; whether it was a test, and enough, people know."""
    most = machine.value("max_over_time(sum(rate(edge_http_requests_total[5m]))[30d:5m])")
    if most is None:
        raise UnknownError("Prometheus has no requests of the last 30 days")
    return Finding(LOOK, f"at most {most:.1f} requests/s in 30 days", "send it what you expect, and more")


def rollback(machine: Machine) -> Finding:
    """Look whether a release was ever brought back."""
    kept = machine.releases()
    if any(len(release.served) > 1 for release in kept):
        return Finding(GOOD, "a release was brought back")
    return Finding(LOOK, "none was tried", "make deploy, then make rollback (docs/deployment.md#the-way-back)")


def versions(machine: Machine) -> Finding:
    """Look whether what runs can change under its name."""
    foreign = {machine.services[name]["image"] for name in machine.running if "build" not in machine.services[name]}
    own = {service["image"] for service in machine.services.values() if "build" in service}
    loose = sorted(
        image for image in foreign - own
        if "@sha256:" not in image and image.rpartition("/")[2].partition(":")[2] in ("", "latest")
    )  # fmt: skip
    if loose:
        return Finding(LOOK, f"not pinned: {', '.join(loose)}", "a tag or a digest")
    return Finding(GOOD, "all pinned")


def limits(machine: Machine) -> Finding:
    """Look whether what the containers may use is there."""
    memory, most_cpus = 0, 0.0
    for name in machine.running:
        deploy = machine.services[name].get("deploy", {})
        allowed = deploy.get("resources", {}).get("limits", {})
        memory += int(allowed.get("memory", 0)) * int(deploy.get("replicas", 1))
        most_cpus = max(most_cpus, float(allowed.get("cpus", 0)))
    there = f"{machine.memory() / 1e9:.1f} GB and {machine.processors()} CPUs"
    what = f"{memory / 1e9:.1f} GB in all and {most_cpus:g} CPUs at most, of {there}"
    if most_cpus > machine.processors() or memory > machine.memory():
        return Finding(LOOK, what, "API_MEMORY, API_CPUS and the others of .env, or a larger machine")
    return Finding(GOOD, what)


CHECKS: Mapping[str, Callable[[Machine], Finding]] = {
    "certificate": certificate,
    "disk": disk,
    "clock": clock,
    "DNS": dns,
    "open ports": ports,
    "firewall": firewall,
    "secrets": secrets,
    "alerts": alerts,
    "backup": backup,
    "scan": scan,
    "load test": load_test,
    "rollback": rollback,
    "image versions": versions,
    "limits": limits,
}


def look(check: Callable[[Machine], Finding], machine: Machine) -> Finding:
    """Make a check; one that could not be made is none that is passed."""
    try:
        return check(machine)
    except CommandError as error:
        return Finding(LOOK, f"could not be looked at: {error.line}")
    except (UnknownError, ReleaseError, OSError, ValueError, LookupError) as error:
        return Finding(LOOK, f"could not be looked at: {last_line(str(error))}")


def main(machine: Machine) -> int:
    """Print a line a check.

    Returns:
        0; 1 where something is to be mended.

    """
    worst = 0
    for name, check in CHECKS.items():
        found = look(check, machine)
        todo = f"  →  {found.todo}" if found.todo else ""
        print(re.sub(r"[\x00-\x1f\x7f]", "?", f"{found.state} {name:<15} {found.what}{todo}"), flush=True)
        worst |= found.state == BAD
    return worst


if __name__ == "__main__":
    sys.exit(main(Machine()))
