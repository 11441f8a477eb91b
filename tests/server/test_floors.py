"""The oldest packages the library says it runs on, with the oldest FastAPI; the whole matrix is in tests/long."""

import sys
from pathlib import Path

from tests.support.floors import environment, serves


def test_the_floors_hold(tmp_path: Path) -> None:
    serves(tmp_path, environment(tmp_path / "venv", sys.executable, "lowest-direct", "fastapi==0.100.0"))
