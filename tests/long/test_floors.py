"""Each Python with the oldest and the newest packages that the library says it runs on."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.floors import environment, serves, traces

PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PACKAGES = {
    "oldest": ("lowest-direct", "fastapi==0.100.0"),
    "oldest, pydantic 1": ("lowest-direct", "fastapi==0.100.0", "pydantic==1.10.19"),
    "older": ("lowest-direct", "fastapi==0.115.6", "prometheus-client==0.22.0", "python-json-logger==3.0.1"),
    "newest": ("highest", "fastapi"),
}


INSTRUMENTATIONS = (f"opentelemetry-instrumentation-{name}==0.55b1" for name in ("asgi", "fastapi"))
TRACING = {
    "oldest": ("lowest-direct", "fastapi==0.100.0"),
    "older": ("lowest-direct", "fastapi==0.115.6", "opentelemetry-sdk==1.34.1", *INSTRUMENTATIONS),
    "newest": ("highest", "fastapi"),
}


def path_of(python: str) -> str:
    """Return the program; skips where this machine has none."""
    # First: pyenv's own programs of these names answer only for what it has chosen.
    found = next(map(str, PYENV.glob(f"versions/{python}.*/bin/python3")), None) or shutil.which(f"python{python}")
    if found is None:
        pytest.skip(f"no Python {python} on this machine")
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("packages", PACKAGES)
def test_it_serves(tmp_path: Path, python: str, packages: str) -> None:
    serves(tmp_path, environment(tmp_path / "venv", path_of(python), *PACKAGES[packages]))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("packages", TRACING)
def test_it_traces(tmp_path: Path, python: str, packages: str) -> None:
    traces(tmp_path, environment(tmp_path / "venv", path_of(python), *TRACING[packages], tracing=True))
