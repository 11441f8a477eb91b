"""What `make doctor` says of a machine, a check each, and that what it could not look at is none that is passed."""

import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from scripts import doctor, images, releases
from scripts.commands import CommandError
from scripts.doctor import BAD, GOOD, LOOK, UnknownError

ROOT = Path(__file__).resolve().parents[2]
NOW, DAY, GB = 1_800_000_000.0, 86400, 10**9


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


class Fake(doctor.Machine):
    """A machine that is as it should be, but for what a test says."""

    def __init__(self, **facts: Any) -> None:
        self.given = {"SERVER_NAME": "shop.example", "ALERT_EMAIL_TO": "ops@shop.example"}
        self.running = ["api", "nginx", "alertmanager"]
        self.services = {
            "api": {"image": "sightglass", "build": {}, "deploy": self.limits(2, GB, replicas=2)},
            "nginx": {"image": "nginx:1.30.6", "deploy": self.limits(1, GB)},
            "alertmanager": {"image": "prom/alertmanager@sha256:1", "deploy": self.limits(1, GB)},
            "valkey": {"image": "valkey", "deploy": self.limits(9, 99 * GB)},  # which does not run
        }
        self.facts = {
            "certificate": NOW + 60.5 * DAY, "disk": (100 * GB, 50 * GB), "clock": 0, "addresses": ["192.0.2.1"],
            "listening": {22, 80, 443}, "filtered": True, "ages": {"tls": NOW - 364 * DAY}, "own_variables": {},
            "value": NOW - 3600, "releases": [release("1"), release("2", "3")], "processors": 4, "memory": 16 * GB,
            "send_alert": None, "scanned": NOW - 3 * DAY,
        } | facts  # fmt: skip
        self.sent = 0

    @staticmethod
    def limits(cpus: float, memory: int, replicas: int = 1) -> dict[str, Any]:
        return {"replicas": replicas, "resources": {"limits": {"cpus": cpus, "memory": str(memory)}}}

    def now(self) -> float:
        return NOW

    def __getattribute__(self, name: str) -> Any:
        facts = object.__getattribute__(self, "__dict__").get("facts", {})
        if name not in facts:
            return object.__getattribute__(self, name)

        def fact(*_: object) -> Any:
            if name == "send_alert":
                self.sent += 1
            if isinstance(facts[name], Exception):
                raise facts[name]
            return facts[name]

        return fact


def release(*served: str) -> releases.Release:
    return releases.Release(1, "app", "sha256:1", "1", "c", None, [], [[when, "ops"] for when in served])


def found(check: str, machine: doctor.Machine) -> tuple[str, str]:
    finding = doctor.look(doctor.CHECKS[check], machine)
    return finding.state, finding.what


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(Fake()) == 0
    assert capsys.readouterr().out.splitlines() == [
        "✓ certificate     trusted, 60 days left",
        "✓ disk            50 % free, 50.0 GB",
        "✓ clock           set by another",
        "✓ DNS             shop.example is 192.0.2.1",
        "✓ open ports      none but the edge's and 22",
        "✓ firewall        something is filtered",
        "✓ secrets         none that is old, or that anybody can guess",
        "✓ alerts          one was sent, DoctorTest, to ALERT_EMAIL_TO: see that it arrives",
        "✓ backup          1 h old",
        "✓ scan            passed 3 days ago",
        "! load test       at most 1799996400.0 requests/s in 30 days  →  send it what you expect, and more",
        "✓ rollback        a release was brought back",
        "✓ image versions  all pinned",
        "✓ limits          4.0 GB in all and 2 CPUs at most, of 16.0 GB and 4 CPUs",
    ]


@pytest.mark.parametrize(
    ("check", "facts", "state", "what"),
    [
        ("certificate", {"certificate": untrusted()}, BAD, "not trusted: self-signed certificate"),
        ("certificate", {"certificate": NOW + 13.9 * DAY}, LOOK, "trusted, 13 days left"),
        ("certificate", {"certificate": NOW + 1.9 * DAY}, BAD, "trusted, 1 days left"),
        ("certificate", {"certificate": NOW + 14 * DAY}, GOOD, "trusted, 14 days left"),
        ("certificate", {"certificate": UnknownError("no answer")}, LOOK, "could not be looked at: no answer"),
        ("disk", {"disk": (100 * GB, 19 * GB)}, LOOK, "19 % free, 19.0 GB"),
        ("disk", {"disk": (100 * GB, 9 * GB)}, BAD, "9 % free, 9.0 GB"),
        ("disk", {"disk": (100 * GB, 20 * GB)}, GOOD, "20 % free, 20.0 GB"),
        ("disk", {"disk": FileNotFoundError("no /var/lib/docker")}, LOOK, "could not be looked at: no /var/lib/docker"),
        ("clock", {"clock": 5}, LOOK, "the kernel knows of nothing that sets it"),
        ("clock", {"clock": -1}, LOOK, "could not be looked at: the kernel does not say"),
        ("DNS", {"addresses": []}, BAD, "nowhere: shop.example"),
        ("DNS", {"addresses": ["127.0.1.1"]}, LOOK, "to this machine itself only: shop.example"),
        ("DNS", {"addresses": ["127.0.1.1", "::1"]}, LOOK, "to this machine itself only: shop.example"),
        ("open ports", {"listening": {22, 443, 5432, 6379}}, LOOK, "open beside the edge's and 22: 5432 6379"),
        ("firewall", {"filtered": False}, LOOK, "nothing is filtered here"),
        ("firewall", {"filtered": UnknownError("no nft")}, LOOK, "could not be looked at: no nft"),
        ("secrets", {"ages": {"tls": NOW, "backup": NOW - 366 * DAY}}, LOOK, "older than a year: backup"),
        ("secrets", {"own_variables": {"DB_PASSWORD": "'changeme'"}}, BAD, "anybody can guess DB_PASSWORD"),
        ("secrets", {"own_variables": {"API_KEY": "Secret", "TOKEN": "x7"}}, BAD, "anybody can guess API_KEY"),
        ("secrets", {"own_variables": {"NAME": "admin"}}, GOOD, "none that is old, or that anybody can guess"),
        ("alerts", {"send_alert": UnknownError("gone")}, LOOK, "could not be looked at: gone"),
        ("backup", {"value": None}, BAD, "none"),
        ("backup", {"value": NOW - 49 * 3600}, BAD, "49 h old"),
        ("backup", {"value": NOW - 48 * 3600}, GOOD, "48 h old"),
        ("backup", {"value": UnknownError("no Prometheus")}, LOOK, "could not be looked at: no Prometheus"),
        ("scan", {"scanned": None}, LOOK, "none that was passed"),
        ("scan", {"scanned": NOW - 31 * DAY}, LOOK, "31 days ago"),
        ("load test", {"value": None}, LOOK, "could not be looked at: Prometheus has no requests of the last 30 days"),
        ("rollback", {"releases": [release("1")]}, LOOK, "none was tried"),
        ("rollback", {"releases": []}, LOOK, "none was tried"),
        ("rollback", {"releases": releases.ReleaseError("broken")}, LOOK, "could not be looked at: broken"),
        ("limits", {"memory": 3 * GB}, LOOK, "4.0 GB in all and 2 CPUs at most, of 3.0 GB and 4 CPUs"),
        ("limits", {"processors": 1}, LOOK, "4.0 GB in all and 2 CPUs at most, of 16.0 GB and 1 CPUs"),
        ("image versions", {"services": CommandError(("docker",), "no daemon")}, LOOK, "could not be looked at"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_should_be_is_said(check: str, facts: dict[str, Any], state: str, what: str) -> None:
    if "services" in facts:  # no method
        machine: Any = type("Broken", (), {"running": property(lambda _: raise_(facts["services"]))})()
        told = found(check, machine)
        assert (told[0], told[1][: len(what)]) == (state, what)
        return
    assert found(check, Fake(**facts)) == (state, what)


def raise_(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("check", "given", "state", "what"),
    [
        ("DNS", {}, LOOK, "SERVER_NAME is not set: the edge answers by any name"),
        ("secrets", {"OPERATORS_ANONYMOUS": "true"}, BAD, "the operators' door asks for none"),
        ("alerts", {}, BAD, "one was sent, and reaches nobody"),
        ("alerts", {"ALERT_WEBHOOK_URL": "http://x"}, GOOD,
         "one was sent, DoctorTest, to ALERT_WEBHOOK_URL: see that it arrives"),
        ("backup", {"BACKUP_HOURS": "1"}, GOOD, "1 h old"),
        ("open ports", {"HTTPS_PORT": "8443"}, LOOK, "open beside the edge's and 22: 443"),
    ],
)  # fmt: skip
def test_settings_count(check: str, given: dict[str, str], state: str, what: str) -> None:
    machine = Fake()
    machine.given = given
    assert found(check, machine) == (state, what)
    assert machine.sent == (check == "alerts")


@pytest.mark.parametrize(
    ("image", "loose"),
    [("nginx", True), ("nginx:latest", True), ("registry:5000/nginx", True), ("registry:5000/nginx:1", False),
     ("nginx:latest@sha256:1", False), ("sightglass", False)],
)  # fmt: skip
def test_a_name_that_can_become_another_image_is_said(image: str, loose: bool) -> None:
    machine = Fake()
    machine.services["nginx"]["image"] = image
    assert found("image versions", machine) == ((LOOK, f"not pinned: {image}") if loose else (GOOD, "all pinned"))


def test_something_to_mend_is_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(Fake(certificate=untrusted())) == 1
    assert doctor.main(Fake(disk=OSError("a\nb"), value=UnknownError("x"), own_variables={}, scanned=None)) == 0
    assert "! disk            could not be looked at: b\n" in capsys.readouterr().out


def test_ports_of_other_addresses_than_loopback_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    head = "  sl  local_address rem_address   st\n"
    tables = {
        "/proc/net/tcp": head + "0: 0100007F:2382 00000000:0000 0A\n1: 00000000:0050 00000000:0000 0A\n"
        "2: 0B00007F:0035 0:0 0A\n3: 0A00020F:01BB 0A000201:C000 01\n4: 0A00020F:1538 0:0 0A\n",
        "/proc/net/tcp6": head + "0: 00000000000000000000000001000000:1F90 0:0 0A\n"
        "1: 0000000000000000FFFF00000100007F:1F91 0:0 0A\n2: 00000000000000000000000000000000:01BB 0:0 0A\n",
    }
    monkeypatch.setattr(images, "text_of", lambda path: tables[str(path)])
    assert doctor.Machine().listening() == {80, 0x1538, 443}


@pytest.mark.parametrize(
    ("rules", "filtered"),
    [
        ("-P INPUT ACCEPT\n", False), ("-P INPUT DROP\n", True), ("-P INPUT ACCEPT\n-A INPUT -j ufw-input\n", True),
        ("chain input {\n type filter hook input priority 0; policy drop;\n }", True),
        ("chain input {\n type filter hook input priority 0; policy accept;\n tcp dport 22 accept\n drop\n }", True),
        ("chain input {\n type filter hook input priority 0; policy accept;\n }\nchain x { drop }", False),
    ],
)  # fmt: skip
def test_what_filters_is_seen(rules: str, filtered: bool) -> None:
    assert (doctor.FILTERED.search(rules) is not None) == filtered


def test_the_checklist_of_the_documents_is_what_is_looked_at() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text().partition("## Before production")[2]
    assert re.findall(r"^\| ([\w ]+) \| ", page, re.MULTILINE) == ["check", *doctor.CHECKS]


def test_what_it_says_to_do_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    source = (ROOT / "scripts" / "doctor.py").read_text()
    assert set(re.findall(r"make ([a-z]+)", source)) - {"doctor"} <= targets
    for page, anchor in re.findall(r"(docs/\w+\.md)(?:#([\w-]+))?", source):
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, anchor
