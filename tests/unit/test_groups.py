"""tests/conftest.py ends what a group of tests shares before the next group begins."""

import os
import subprocess
import sys
from pathlib import Path

from tests.stack import ROOT

SHARED = """import os
import pytest

def note(what):
    with open(os.environ["NOTES"], "a") as file:
        file.write(what + " ")

@pytest.fixture(scope="session")
def shared():
    note("begins")
    yield
    note("ends")

@pytest.fixture(autouse=True)
def noted(request, shared):
    note(request.node.name)
"""
FILES = {
    "state/test_a.py": "import pytest\ndef test_fails(): assert False\n@pytest.mark.skip\ndef test_skipped(): pass\n",
    "state/test_b.py": "import pytest\ndef test_in_the_group(): pass\ndef test_skips(): pytest.skip()\n",
    "dashboards/test_c.py": "def test_in_another(): pass\n",
    "nowhere/test_d.py": "def test_in_none(): pass\n",
    "nowhere/test_e.py": "def test_nor_this(): pass\n",
}


def test_what_a_group_shares_ends_with_it_and_no_sooner(tmp_path: Path) -> None:
    files = {"conftest.py": SHARED} | FILES
    for name, text in files.items():
        (tmp_path / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / name).write_text(text)
    plugins = ("-p", "tests.conftest", "-p", "no:schemathesis")
    command = [sys.executable, "-m", "pytest", *plugins, "--rootdir", str(tmp_path), "-c", os.devnull, "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NOTES": str(tmp_path / "notes")}
    result = subprocess.run(
        [*command, str(tmp_path / "tests")], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.stdout.splitlines()[-1].startswith("1 failed, 4 passed, 2 skipped"), result.stdout + result.stderr
    assert (tmp_path / "notes").read_text().split() == [
        "begins", "test_fails", "test_in_the_group", "test_skips", "ends",
        "begins", "test_in_another", "ends",
        "begins", "test_in_none", "test_nor_this", "ends",
    ]  # fmt: skip
