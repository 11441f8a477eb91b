"""Each Python with the oldest and the newest packages that the library says it runs on."""

import subprocess
from pathlib import Path

import pytest

from tests.support.floors import UV, environment, serves

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PACKAGES = {
    "oldest": ("lowest-direct", "fastapi==0.100.0"),
    "oldest, pydantic 1": ("lowest-direct", "fastapi==0.100.0", "pydantic<2"),
    "older": ("lowest-direct", "fastapi==0.115.6", "prometheus-client==0.22.0", "python-json-logger==3.0.1"),
    "newest": ("highest", "fastapi"),
}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("packages", PACKAGES)
def test_it_serves(tmp_path: Path, python: str, packages: str) -> None:
    found = subprocess.run([UV, "python", "find", python], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"no Python {python} on this machine")
    serves(tmp_path, environment(tmp_path / "venv", found.stdout.strip(), *PACKAGES[packages]))
