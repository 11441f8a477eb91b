"""What scripts/apt.sh makes of a machine whose packages somebody else is at."""

import subprocess
from pathlib import Path

from scripts.commands import ROOT

LOCKED = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 9262 (apt-get)"


def apt(directory: Path, *failures: str) -> tuple[int, str, list[str]]:
    """Run it with an apt-get that fails with these words, one after the other; returns how often and with what."""
    for number, words in enumerate(failures):
        (directory / f"fail{number}").write_text(f"{words}\n")
    for name, lines in {
        "apt-get": 'echo "$*" >>asked; n=$(($(wc -l <asked) - 1)); [ ! -e fail$n ] || { cat fail$n >&2; exit 1; }',
        "sleep": "exit",
    }.items():
        (directory / name).write_text(f"#!/bin/sh\n{lines}\n")
        (directory / name).chmod(0o755)
    result = subprocess.run(
        ["bash", str(ROOT / "scripts" / "apt.sh"), "install", "a", "b"], cwd=directory,
        env={"PATH": f"{directory}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return result.returncode, result.stderr, (directory / "asked").read_text().splitlines()


def test_whoever_uses_it_is_waited_for_and_that_is_said_once(tmp_path: Path) -> None:
    code, errors, asked = apt(tmp_path, LOCKED, LOCKED)
    assert (code, len(errors.splitlines()), len(set(asked)), len(asked)) == (0, 1, 1, 3)
    assert asked[0].endswith("install a b")


def test_another_failure_is_said_at_once(tmp_path: Path) -> None:
    assert apt(tmp_path, "E: Unable to locate package b")[:2] == (1, "E: Unable to locate package b\n")


def test_the_wait_has_an_end(tmp_path: Path) -> None:
    code, errors, asked = apt(tmp_path, *[LOCKED] * 200)
    assert (code, len(asked), errors.splitlines()[-1]) == (1, 120, LOCKED)
