"""The units of deploy/systemd, as systemd reads them; e2e/test_up.py and edge/test_bare.py run what they run."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from sightglass.server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
SERVERS = [unit for unit in UNITS if unit.name in ("sightglass-api.service", "sightglass-jobs.service")]


def read(unit: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return parser


def verified(directory: Path) -> subprocess.CompletedProcess[str]:
    units = sorted(map(str, directory.glob("sightglass*.*")))
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """With the commands where they are on this machine: it looks for each."""
    there = tmp_path / "srv"
    (there / ".venv-service" / "bin").mkdir(parents=True)
    (there / ".venv-service" / "bin" / "python").symlink_to("/bin/true")
    for each in UNITS:
        (tmp_path / each.name).write_text(each.read_text().replace("/srv/sightglass", str(there)))
    result = verified(tmp_path)
    about_ours = [line for line in result.stderr.splitlines() if "sightglass" in line]
    assert (result.returncode, about_ours) == (0, []), result.stderr


def test_the_page_that_says_how_the_stack_is_installed_does() -> None:
    said = (ROOT / "deploy" / "systemd" / "sightglass.service").read_text()
    (page,) = re.findall(r"(docs/[a-z-]+\.md) says how it is installed", said)
    assert "cp deploy/systemd/sightglass.service " in (ROOT / page).read_text()


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    wrong = (ROOT / "deploy" / "systemd" / "sightglass.service").read_text()
    wrong = wrong.replace("/usr/bin/make", "/usr/bin/none").replace("Type=oneshot", "Type=once")
    (tmp_path / "sightglass.service").write_text(wrong)
    result = verified(tmp_path)
    assert "/usr/bin/none is not executable" in result.stderr
    assert "once" in result.stderr


def test_the_timer_is_of_the_service_beside_it() -> None:
    names = {unit.name for unit in UNITS}
    assert {unit.stem + ".service" for unit in UNITS if unit.suffix == ".timer"} <= names
    at = read(ROOT / "deploy" / "systemd" / "sightglass-backup.timer")["Timer"]["OnCalendar"]
    command = ["systemd-analyze", "calendar", "--iterations=2", at]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(re.findall(r"03:00:00", result.stdout)) >= 2


@pytest.mark.parametrize("unit", SERVERS, ids=lambda path: path.name)
def test_a_server_has_what_a_container_has(unit: Path) -> None:
    """The same hardening, in systemd's words, and no port on any other address than loopback."""
    service = read(unit)["Service"]
    assert service["User"] == "sightglass"
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == service["ProtectHome"] == "yes"
    assert (service["ProtectSystem"], service["CapabilityBoundingSet"]) == ("strict", "")
    assert {"MemoryMax", "TasksMax", "SystemCallFilter", "RestrictAddressFamilies"} <= set(service)
    assert "Environment=SIGHTGLASS_HOST=127.0.0.1\n" in unit.read_text()
    assert service["KillMode"] == "mixed"


def test_what_stops_them_waits_as_long_as_they_may_take() -> None:
    assert int(read(SERVERS[0])["Service"]["TimeoutStopSec"]) >= ServerSettings().api_stop_grace
    stack = read(ROOT / "deploy" / "systemd" / "sightglass.service")["Service"]
    assert stack["TimeoutStopSec"] == "5min"
    production = (ROOT / "docker-compose.prod.yml").read_text()
    graces = [int(seconds) for seconds in re.findall(r"stop_grace_period: (?:\$\{\w+:-)?(\d+)", production)]
    assert max(graces) < 5 * 60
