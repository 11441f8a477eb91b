"""docs/security.md says how many hostile inputs there are, and no other number."""

import re
from pathlib import Path

import h11

from tests.attacks.inputs import COUNTS
from tests.attacks.inputs.documents import BODIES, BOMBS

DOCUMENT = (Path(__file__).resolve().parent.parent.parent / "docs" / "security.md").read_text()


def test_each_class_is_there_with_its_number() -> None:
    told = dict(re.findall(r"^\| (.+?) \| ([\d,]+) \|", DOCUMENT.partition("## What was tried")[2], re.MULTILINE))
    assert {name: int(number.replace(",", "")) for name, number in told.items()} == COUNTS | {
        "**in all**": sum(COUNTS.values())
    }


def test_each_body_can_be_sent() -> None:
    """What the sender's own library refuses attacks nobody."""
    for body in (BODIES | BOMBS).values():
        own = [(b"Content-Type", body.content_type), *([(b"Content-Encoding", body.coding)] if body.coding else [])]
        headers = [(b"Host", b"x"), *((name, value.encode("latin-1")) for name, value in own)]
        h11.Request(method="POST", target="/", headers=headers)
