"""No document takes more memory than there is for one, and what is beyond a limit is refused by its name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import format_memory

MOST = 64 * 1024  # KiB
ROOT = Path(__file__).resolve().parent.parent.parent
REFUSED = {
    "long names": (422, "A name has more than 1000 characters"),
    "long names of attributes": (422, "A name has more than 1000 characters"),
    "long names of instructions": (422, "A name has more than 1000 characters"),
    "names": (422, "There are more than 10000 different names"),
    "names of instructions": (422, "There are more than 10000 different names"),
    "names together": (422, "The names have more than 1048576 characters together"),
    "attributes": (422, "An element has more than 1000 attributes"),
    "deep": (422, "Elements are nested more than 1000 deep"),
    "long text": (422, "A text has more than 1048576 characters"),
    "long tag": (422, "A tag has more than 1048576 bytes"),
    "long value": (422, "A tag has more than 1048576 bytes"),
    "long encoding": (422, "The XML declaration has more than 1024 bytes"),
    "deep lists": (422, "Values are nested more than 500 deep"),
    "deep objects": (422, "Values are nested more than 500 deep"),
    "long line": (422, "A line has more than 1048576 characters"),
    "long cell": (422, "A cell has more than 1048576 characters"),
    "bomb": (413, "The body is more than 500 times as long once decoded"),
    "members of a stream": (413, "The body's gzip stream has more than 10000 members"),
    "names of charsets": (422, "they were refused"),
}
DONE = (200, None)


@pytest.fixture(scope="module")
def measured() -> dict[str, tuple[int, tuple[int, str | None]]]:
    command = [sys.executable, "-m", "tests.support.format_memory"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: (rise, (status, detail)) for name, rise, status, detail in map(json.loads, lines)}


@pytest.mark.parametrize("name", [*format_memory.CASES, *format_memory.CODED, format_memory.NAMES_OF_CHARSETS])
def test_a_document_at_its_limits(measured: dict[str, tuple[int, tuple[int, str | None]]], name: str) -> None:
    rise, outcome = measured[name]
    assert outcome == REFUSED.get(name, DONE)
    assert rise < MOST, f"{rise} KiB"
