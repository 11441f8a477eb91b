"""Asks for known vulnerabilities of what an SBOM lists (scripts/sbom.py), and fails on those that have a mend.

Python packages by pip-audit; the system's by grype, where it is installed or asked for. A package that was not looked
up is no package without vulnerabilities: it fails, too. Standard library only.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MENDED, UNKNOWN = 1, 2
"""Exit statuses: something is known that has a mend; not all could be asked."""
SHOWN = 5
"""The most packages that a line names."""


class ScanError(Exception):
    """Why not all of it was looked up, for people."""


@dataclass(frozen=True, order=True)
class Finding:
    """A known vulnerability of a package; `mends` are the versions without it."""

    package: str
    version: str
    identifier: str
    mends: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a line for people."""
        mend = f"mended in {', '.join(self.mends)}" if self.mends else "no mend yet"
        return f"{self.package} {self.version}: {self.identifier}, {mend}"


def main() -> int:
    """Look everything up and say what is known.

    Returns:
        0; 1 where something has a mend; 2 with the reason on stderr where not all was looked up.

    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sbom", type=Path)
    parser.add_argument("--system", action="store_true", help="the system's packages too, whether grype is here or not")
    options = parser.parse_args()
    listed = json.loads(options.sbom.read_text())["components"]
    unknown, findings = [], set[Finding]()
    for look in (python_packages, system_packages):
        if look is system_packages and not options.system and shutil.which("grype") is None:
            print("the system's packages were not looked up: grype is not installed")
            continue
        try:
            findings |= set(look(options.sbom, listed))
        except ScanError as error:
            unknown.append(str(error))
    for finding in sorted(findings):
        print(finding)
    if unknown:
        print(*unknown, sep="\n", file=sys.stderr)
        return UNKNOWN
    print(f"{len(findings)} known, {sum(bool(one.mends) for one in findings)} of them with a mend")
    return MENDED if any(one.mends for one in findings) else 0


def python_packages(_sbom: Path, listed: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Look up the packages of Python's index; those that are of none are somebody's own.

    Raises:
        ScanError: not all of them could be.

    """
    versions: dict[str, list[str]] = {}
    for one in listed:
        if str(one.get("purl", "")).startswith("pkg:pypi/"):
            versions.setdefault(one["name"], []).append(one["version"])
    dependencies: list[dict[str, Any]] = []
    while versions:  # pip-audit takes one version of a package at a time
        dependencies += audited([f"{name}=={of_one.pop()}" for name, of_one in versions.items()])
        versions = {name: of_one for name, of_one in versions.items() if of_one}
    skipped = [f"{one['name']}: {one['skip_reason']}" for one in dependencies if "skip_reason" in one]
    if skipped:
        more = f"; and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
        raise ScanError(f"{len(skipped)} of {len(dependencies)} Python packages: {'; '.join(skipped[:SHOWN])}{more}")
    return [
        Finding(one["name"], one["version"], known["id"], tuple(known["fix_versions"]))
        for one in dependencies
        for known in one["vulns"]
    ]


def audited(asked: Sequence[str]) -> list[dict[str, Any]]:
    """Return what pip-audit says of packages, `name==version` each.

    Raises:
        ScanError: it did not speak of each.

    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("".join(f"{one}\n" for one in asked))
        requirements.flush()
        beside = Path(sys.executable).with_name("pip-audit")
        program = str(beside) if beside.exists() else "pip-audit"
        options = ("--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off", "--desc=off")
        told: list[dict[str, Any]] = answer(program, "--requirement", requirements.name, *options)["dependencies"]
    if len(told) != len(asked):
        raise ScanError(f"pip-audit: told of {len(told)} packages, asked for {len(asked)}")
    return told


def system_packages(sbom: Path, listed: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Look up the packages of the image's system.

    Raises:
        ScanError: they could not be.

    """
    if not any(str(one.get("purl", "")).startswith(("pkg:deb/", "pkg:apk/")) for one in listed):
        return []
    return [
        Finding(
            match["artifact"]["name"], match["artifact"]["version"], match["vulnerability"]["id"],
            tuple(match["vulnerability"].get("fix", {}).get("versions") or ()),
        )
        for match in answer("grype", f"sbom:{sbom}", "--output=json", "--quiet")["matches"]
        if match["artifact"].get("type") != "python"
    ]  # fmt: skip


def answer(*command: str) -> dict[str, Any]:
    """Return what a program says, as JSON; its status says only whether it found anything.

    Raises:
        ScanError: it said nothing of the kind.

    """
    name = Path(command[0]).name
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        told: dict[str, Any] = json.loads(result.stdout)
    except FileNotFoundError:
        raise ScanError(f"{name}: not installed") from None
    except ValueError:
        lines = result.stderr.strip().splitlines() or [f"status {result.returncode}, and nothing else"]
        raise ScanError(f"{name}: {lines[-1][:500]}") from None
    return told


if __name__ == "__main__":
    sys.exit(main())
