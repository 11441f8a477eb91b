"""NDJSON: one JSON value a line (RFC 8259), line by line; what is not redacted stays as it is, to the character.

Names of members are searched like values, and numbers too: a card number needs no quotes. A redacted number becomes
a string.
"""

import json
import re
from collections.abc import Iterator

from api.privacy.formats.document import MARK, MAX_UNIT, Decoder, DocumentError, Segment, Token

# In a line known to be valid JSON these are exactly the strings and the numbers.
SCALAR = re.compile(r'"(?:[^"\\]++|\\.)*+"|-?\d[\d.eE+-]*+')
BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]')
MAX_DEPTH = 500
"""Arrays and objects in each other."""


class NdjsonParser:
    """Strings and numbers are segments."""

    def __init__(self, charset: str) -> None:
        self._decode = Decoder(charset)
        self._text = ""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[Token]:
        """Give the tokens of the lines that are whole."""
        *lines, rest = (self._text + self._decode(data)).split("\n")
        for line in lines:
            yield from self._line(line)
            yield "\n"
        if len(rest) > MAX_UNIT:
            raise DocumentError(f"A line has more than {MAX_UNIT} characters")
        self._text = rest

    def finish(self) -> Iterator[Token]:
        """Give the tokens of a last line without an end."""
        yield from self._line(self._text + self._decode(b"", last=True))
        self._text = ""

    def _line(self, line: str) -> Iterator[Token]:
        if not self._begun and line.startswith(MARK):
            yield MARK
            line = line[1:]
        self._begun = True
        yield from _tokens(line)


def _tokens(line: str) -> Iterator[Token]:
    if not line.strip():
        yield line
        return
    if line.count("[") + line.count("{") > MAX_DEPTH and _depth(line) > MAX_DEPTH:
        raise DocumentError(f"Values are nested more than {MAX_DEPTH} deep")
    try:
        json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise DocumentError("A line is not valid JSON") from None
    position = 0
    for scalar in SCALAR.finditer(line):
        yield line[position : scalar.start()]
        raw = scalar[0]
        yield Segment(json.loads(raw) if raw[0] == '"' else raw, raw, json.dumps)
        position = scalar.end()
    yield line[position:]


def _depth(line: str) -> int:
    depth = deepest = 0
    for bracket in BRACKET.finditer(line):
        if bracket[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket[0] in "]}":
            depth -= 1
    return deepest


def _refuse(_: str) -> None:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError
