"""Findings in a text of any length, piece by piece, with bounded memory and in linear time.

Presidio's cost grows with the square of a text's length (findings are compared with each other and with every
token), so it is given windows. They depend on the text alone, never on how it was cut when it arrived.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from api.privacy.findings import Finding

WINDOW = 2048
"""Characters analysed at once."""
OVERLAP = 256
"""Characters a window looks ahead of what it settles: findings up to this length are always seen whole."""
CONTEXT = 128
"""Settled characters shown again before a window: words there raise or lower a finding's score."""
_WORD = re.compile(r"[^\W_]|\s")
"""What no run of marks has: full stops, brackets and the like end a finding, or are within it when more follows."""


class Piece(NamedTuple):
    """A settled part of the text, and the findings in it: sorted, apart, places counted from the piece's start."""

    text: str
    findings: list[Finding]


class Scanner:
    """Takes a text as it arrives and settles it window by window.

    `find` gives the findings of one window, sorted and apart. A finding longer than a window is given in parts: each
    window after its first is shown its beginning, which tells what it is.
    """

    def __init__(self, find: Callable[[str], list[Finding]]) -> None:
        self._find = find
        self._context = ""
        self._text = ""

    def feed(self, text: str) -> Iterator[Piece]:
        """Add a part of the text; give what it settles."""
        for start in range(0, len(text), WINDOW):
            self._text += text[start : start + WINDOW]
            while len(self._text) >= WINDOW:
                yield self._settle(self._text[:WINDOW], last=False)

    def finish(self) -> Iterator[Piece]:
        """End the text; give the rest, and be ready for another."""
        if self._text:
            yield self._settle(self._text, last=True)
        self._context = ""

    def _settle(self, fresh: str, *, last: bool) -> Piece:
        base = len(self._context)
        shown = self._context + fresh
        found = self._find(shown)
        if found and not last and found[-1].end <= base and not _WORD.search(shown, found[-1].end):
            found = [found[-1]._replace(end=len(shown))]  # a whole window of marks: what goes on after them is not lost
        found = [finding for finding in found if finding.end > base]
        placed = [f._replace(start=max(f.start - base, 0), end=f.end - base) for f in found]
        cut = len(fresh) if last else _cut(fresh, placed)
        piece = Piece(fresh[:cut], [finding for finding in placed if finding.start < cut])
        start = max(base + cut - CONTEXT, 0)
        for finding in found:
            if finding.end == base + cut:  # what follows may be more of it; the character before it says where it ends
                start = max(min(start, finding.start - 1), 0)
        self._context = shown[start : base + cut][:CONTEXT]
        self._text = self._text[cut:]
        return piece


def scan(text: str, find: Callable[[str], list[Finding]]) -> Iterator[Piece]:
    """Scan a whole text; the pieces joined are the text."""
    scanner = Scanner(find)
    yield from scanner.feed(text)
    yield from scanner.finish()


def locate(pieces: list[Piece]) -> list[Finding]:
    """Give the findings of all pieces, placed in the whole text."""
    findings: list[Finding] = []
    start = 0
    for piece in pieces:
        findings += [
            finding._replace(start=start + finding.start, end=start + finding.end) for finding in piece.findings
        ]
        start += len(piece.text)
    return findings


def _cut(fresh: str, found: list[Finding]) -> int:
    """Where to part the settled from what the next window sees again: after a space, never within a finding.

    One with nothing but marks behind it may go on behind them: the next window shows.
    """
    limit = len(fresh) - OVERLAP
    cut = next((place for place in range(limit, limit // 2, -1) if fresh[place - 1].isspace()), limit)
    for finding in found:
        if finding.start < cut < (finding.end if _WORD.search(fresh, finding.end) else len(fresh)):
            return finding.start or finding.end
    return cut
