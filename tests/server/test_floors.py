"""The oldest packages the library says it runs on, with the oldest FastAPI; the whole matrix is in tests/long.

The newest are those of requirements/, with which all other tests run.
"""

import sys
from pathlib import Path

from tests.support.floors import environment, serves, serves_flask, traces


def test_the_floors_hold(tmp_path: Path) -> None:
    others = ("fastapi==0.100.0", "flask==2.0.1", "werkzeug==2.0.1")
    python = environment(tmp_path / "venv", sys.executable, "lowest-direct", *others)
    serves(tmp_path, python)
    serves_flask(tmp_path, python)


def test_the_floors_hold_with_tracing(tmp_path: Path) -> None:
    packages = ("lowest-direct", "fastapi==0.100.0")
    traces(tmp_path, environment(tmp_path / "venv", sys.executable, *packages, tracing=True))
