"""Labelled texts: JSON Lines, an object a line, its entities as `/api/v1/predict` answers them.

    {"text": "Mail anna@example.com", "entities": [{"type": "EMAIL_ADDRESS", "start": 5, "end": 21}], "language": "en"}

`language` may be missing and is then "en"; what else is in an object, a score say, is passed over. Positions count
Unicode characters (code points), from `start` up to `end`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from api.privacy.findings import Finding

LONGEST = 1_000_000
"""Characters of a text."""


class LabelError(Exception):
    """A line is no labelled text; the message says which and why, without a word of it."""


@dataclass(frozen=True)
class Example:
    """A text and what is in it.

    Attributes:
        text: the text.
        language: an ISO 639-1 code.
        entities: what a model should find, sorted and apart.
        row: tells the same example again in another version of the data.

    """

    text: str
    language: str
    entities: tuple[Finding, ...]
    row: str


@dataclass(frozen=True)
class Labelled:
    """A set of examples.

    Attributes:
        examples: in the order of their lines.
        version: the first 12 digits of the SHA-256 of what was read.

    """

    examples: tuple[Example, ...]
    version: str


def read(lines: Iterable[bytes]) -> Labelled:
    """Read a set.

    Raises:
        LabelError: a line is no labelled text, or there is none.

    """
    digest = hashlib.sha256()
    examples = tuple(_examples(lines, digest.update))
    if not examples:
        raise LabelError("no labelled text; expected JSON Lines")
    return Labelled(examples, digest.hexdigest()[:12])


def _examples(lines: Iterable[bytes], seen: Callable[[bytes], None]) -> Iterator[Example]:
    for number, line in enumerate(lines, 1):
        seen(line)
        if line.strip():
            try:
                yield example(json.loads(line))
            except (ValueError, RecursionError) as error:
                reason = error.args[0] if type(error) is ValueError else "not JSON"
                raise LabelError(f"line {number}: {reason}") from None


def example(given: object) -> Example:
    """Return what an object says.

    Raises:
        ValueError: it is no labelled text; the message says why.

    """
    text = given.get("text") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(text, str) or len(text) > LONGEST:
        raise ValueError(f'expected an object with a "text" of at most {LONGEST} characters')
    language, entities = given.get("language", "en"), given.get("entities")
    if not isinstance(language, str):
        raise ValueError('"language": expected an ISO 639-1 code')
    if not isinstance(entities, list):
        raise ValueError('"entities": expected a list; an empty one where there is nothing to find')
    found = tuple(sorted(_entity(entity, text) for entity in entities))
    if any(one.end > other.start for one, other in pairwise(found)):
        raise ValueError('"entities": two of them overlap')
    told = json.dumps([text, language, [[one.type, one.start, one.end] for one in found]])
    return Example(text, language, found, hashlib.sha256(told.encode()).hexdigest()[:16])


def _entity(given: object, text: str) -> Finding:
    kind, start, end = (given.get(name) if isinstance(given, dict) else None for name in ("type", "start", "end"))
    if not isinstance(kind, str) or not kind or type(start) is not int or type(end) is not int:
        raise ValueError('"entities": expected objects with "type", "start" and "end"')
    if not 0 <= start < end <= len(text):
        raise ValueError('"entities": expected 0 <= start < end <= the length of the text')
    return Finding(start, end, kind, 1.0)
