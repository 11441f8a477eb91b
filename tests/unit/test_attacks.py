"""docs/security.md says how many hostile inputs there are, and no other number."""

import re
from pathlib import Path

from tests.attacks.inputs import COUNTS

DOCUMENT = (Path(__file__).resolve().parent.parent.parent / "docs" / "security.md").read_text()


def test_each_class_is_there_with_its_number() -> None:
    told = dict(re.findall(r"^\| (.+?) \| ([\d,]+) \|", DOCUMENT.partition("## What was tried")[2], re.MULTILINE))
    assert {name: int(number.replace(",", "")) for name, number in told.items()} == COUNTS | {
        "**in all**": sum(COUNTS.values())
    }
