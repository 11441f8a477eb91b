"""The shortcuts change nothing, over a large generated corpus and a real one: the text that comes with Python."""

import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.privacy.scanner import WINDOW
from tests.support.everywhere import FRAGMENTS, everywhere
from tests.support.model import blank

GENERATED = 500
"""Windows, a language."""
REAL = 2_000_000
"""Characters."""
ROOT = Path(__file__).resolve().parents[2]


def generated(seed: int) -> Iterator[str]:
    """Make texts of fragments, of fragments with a character changed, and of one fragment over and over."""
    source = random.Random(seed)
    for number in range(GENERATED):
        parts = source.choices(FRAGMENTS, k=source.randint(1, 120))
        if number % 3 == 1:
            parts = [part.replace(source.choice(part), source.choice(" -.@:1a\u200b"), 1) for part in parts]
        if number % 3 == 2:
            parts = source.choices(parts, k=3) * 40
        yield source.choice(["", " ", " ", ", ", "\n", "\t"]).join(parts)[:WINDOW]


def real() -> Iterator[str]:
    """Give windows of documents and programs."""
    library, packages = (Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib"))
    files = [*sorted(ROOT.glob("docs/*.md")), *sorted(library.glob("*.py")), *sorted(packages.glob("*/METADATA"))]
    files += sorted(path for pattern in ("**/*.txt", "**/*.rst") for path in packages.glob(pattern))
    left = REAL
    for file in files:
        text = file.read_text(errors="replace")[: min(left, 200_000)]
        left -= len(text)
        yield from (text[start : start + WINDOW] for start in range(0, len(text), WINDOW))
        if left <= 0:
            return


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("language", ["en", "de", "it", "es", "pl", "fi", "sv", "tr"])
def test_findings_in_generated_texts_are_those_of_a_search_everywhere(language: str) -> None:
    for text in generated(len(language)):
        assert blank(language).find(text, language, 0) == everywhere(language).find(text, language, 0), repr(text)


@pytest.mark.timeout(3600)
def test_findings_in_real_texts_are_those_of_a_search_everywhere() -> None:
    count = 0
    for text in real():
        found = blank("en").find(text, "en", 0)
        assert found == everywhere("en").find(text, "en", 0), repr(text)
        count += len(found)
    assert count > 0
