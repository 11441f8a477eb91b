"""A scan that was not made is no scan without findings."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import scan

CLEAN = {"name": "starlette", "version": "1.10.0", "vulns": []}
SKIPPED = {"name": "huey", "skip_reason": "Dependency not found and could not be audited: huey (3.5.4)"}
PACKAGES = [
    {"name": "starlette", "version": "1.10.0", "purl": "pkg:pypi/starlette@1.10.0"},
    {"name": "huey", "version": "3.5.4", "purl": "pkg:pypi/huey@3.5.4"},
    {"name": "shop", "version": "0.1", "purl": "pkg:generic/shop@0.1"},  # of no index: nobody can be asked
    {"type": "operating-system", "name": "debian"},
]
SYSTEM = {"name": "openssl", "version": "3.5.1-1", "purl": "pkg:deb/debian/openssl@3.5.1-1?arch=amd64"}


def known(*mends: str) -> dict[str, Any]:
    return {**CLEAN, "vulns": [{"id": "PYSEC-2026-1", "fix_versions": list(mends)}]}


def told(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies})


class Machine:
    """A directory with the programs that are asked, and what the scan of an SBOM says."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory, self.monkeypatch, self.capsys = directory, monkeypatch, capsys
        monkeypatch.setattr(sys, "executable", str(directory / "python"))  # pip-audit is looked for beside it
        monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")

    def has(self, program: str, answer: str, status: int = 0, error: str = "") -> None:
        path = self.directory / program
        (self.directory / f"{program}.out").write_text(answer)
        asked = f'for word; do [ ! -f "$word" ] || cat "$word"; done >>{path}.asked; echo >>{path}.asked'
        path.write_text(f"#!/bin/sh\n{asked}\necho '{error}' >&2\ncat {path}.out\nexit {status}\n")
        path.chmod(0o755)

    def asked(self, program: str) -> list[list[str]]:
        runs = (self.directory / f"{program}.asked").read_text().strip().split("\n\n")
        return [sorted(run.splitlines()) for run in runs]

    def scan(self, *packages: dict[str, Any], options: tuple[str, ...] = ()) -> tuple[int, str, str]:
        sbom = self.directory / "sbom.json"
        sbom.write_text(json.dumps({"components": packages}))
        self.monkeypatch.setattr(sys, "argv", ["scan.py", str(sbom), *options])
        status = scan.main()
        written = self.capsys.readouterr()
        return status, written.out, written.err


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Machine:
    return Machine(tmp_path, monkeypatch, capsys)


def test_nothing_known_is_said_with_what_was_not_asked(machine: Machine) -> None:
    machine.has("pip-audit", told(CLEAN, {**CLEAN, "name": "huey"}))
    status, out, err = machine.scan(*PACKAGES)
    assert (status, err) == (0, "")
    assert out == "the system's packages were not looked up: grype is not installed\n0 known, 0 of them with a mend\n"
    assert machine.asked("pip-audit") == [["huey==3.5.4", "starlette==1.10.0"]]


def test_what_has_a_mend_fails_whatever_pip_audits_status(machine: Machine) -> None:
    for status in (0, 1):
        machine.has("pip-audit", told(known("1.10.1"), {**CLEAN, "name": "huey"}), status)
        found, out, _ = machine.scan(*PACKAGES)
        assert found == scan.MENDED
        assert "starlette 1.10.0: PYSEC-2026-1, mended in 1.10.1\n" in out


def test_what_has_none_yet_is_told_and_fails_nothing(machine: Machine) -> None:
    machine.has("pip-audit", told(known(), {**CLEAN, "name": "huey"}), 1)
    status, out, _ = machine.scan(*PACKAGES)
    assert status == 0
    assert "starlette 1.10.0: PYSEC-2026-1, no mend yet\n" in out
    assert out.endswith("1 known, 0 of them with a mend\n")


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (told(CLEAN, SKIPPED), "", "1 of 2 Python packages: huey: Dependency not found"),  # it ends with 0 here
        (told(SKIPPED, {**SKIPPED, "name": "starlette"}), "", "2 of 2 Python packages: huey: "),
        (told(CLEAN), "", "pip-audit: told of 1 packages, asked for 2"),
        (told(), "", "pip-audit: told of 0 packages, asked for 2"),
        ("", "Traceback\nConnectionError: no route", "pip-audit: ConnectionError: no route"),
        ("", "", "pip-audit: status 1, and nothing else"),
        ("No known vulnerabilities found", "", "pip-audit: status 1, and nothing else"),
    ],
)
def test_a_scan_that_was_not_made_fails_in_one_line(machine: Machine, answer: str, error: str, reason: str) -> None:
    machine.has("pip-audit", answer, 0 if answer.startswith("{") else 1, error)
    status, out, err = machine.scan(*PACKAGES)
    assert status == scan.UNKNOWN
    assert err.startswith(reason)
    assert err.count("\n") == 1
    assert "known," not in out


def test_without_pip_audit_it_fails(machine: Machine) -> None:
    assert machine.scan(*PACKAGES)[::2] == (scan.UNKNOWN, "pip-audit: not installed\n")


def test_what_is_known_is_told_beside_what_is_not(machine: Machine) -> None:
    machine.has("pip-audit", told(known("1.10.1"), {**CLEAN, "name": "huey"}), 1)
    machine.has("grype", "", 1, "no vulnerability database")
    status, out, err = machine.scan(*PACKAGES, SYSTEM)
    assert (status, err) == (scan.UNKNOWN, "grype: no vulnerability database\n")
    assert "mended in 1.10.1" in out


def test_two_versions_of_a_package_are_both_asked_for(machine: Machine) -> None:
    machine.has("pip-audit", told(CLEAN))
    vendored = {"name": "starlette", "version": "0.9", "purl": "pkg:pypi/starlette@0.9"}
    assert machine.scan(PACKAGES[0], vendored)[0] == 0
    assert sorted(machine.asked("pip-audit")) == [["starlette==0.9"], ["starlette==1.10.0"]]


def test_the_systems_packages_are_asked_of_grype(machine: Machine) -> None:
    artifact = {"name": "openssl", "version": "3.5.1-1", "type": "deb"}
    match = {"artifact": artifact, "vulnerability": {"id": "CVE-2026-1", "fix": {"versions": ["3.5.1-2"]}}}
    unmended = {
        "artifact": artifact,
        "vulnerability": {"id": "CVE-2026-2", "fix": {"versions": [], "state": "wont-fix"}},
    }
    by_pip_audit = {"artifact": {**artifact, "type": "python"}, "vulnerability": {"id": "GHSA-1"}}
    machine.has("grype", json.dumps({"matches": [match, unmended, by_pip_audit]}))
    status, out, _ = machine.scan(SYSTEM)
    assert status == scan.MENDED
    assert out == (
        "openssl 3.5.1-1: CVE-2026-1, mended in 3.5.1-2\nopenssl 3.5.1-1: CVE-2026-2, no mend yet\n"
        "2 known, 1 of them with a mend\n"
    )


def test_asked_for_and_not_there_the_systems_scan_fails(machine: Machine) -> None:
    assert machine.scan(SYSTEM, options=("--system",))[::2] == (scan.UNKNOWN, "grype: not installed\n")
