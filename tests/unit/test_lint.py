"""The tools that read the code find nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = sorted(p for p in (*ROOT.glob("scripts/**/*.sh"), *ROOT.glob("docker/**/*.sh"), ROOT / ".ci" / "run"))
CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy", "sightglass", "api", "monitoring", "deploy", "tests", "scripts", "bench"],
    "shellcheck": ["shellcheck", *map(str, SCRIPTS)],
    "actionlint": ["actionlint"],  # with shellcheck for what the steps run
}


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_is_found(name: str) -> None:
    tool, *arguments = CHECKS[name]
    beside = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{beside}:{os.environ['PATH']}"}
    command = [str(beside / tool), *arguments]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_file_names_a_package_registry() -> None:
    # As they are configured on the machine that runs this: the names themselves must not stand here either.
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "from pip._internal.models.index import PyPI as p; print(p.netloc, p.file_storage_domain)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    tracked = subprocess.run(
        ["git", "grep", "-lF", *(f"-e{host}" for host in found)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert tracked.stdout == ""
