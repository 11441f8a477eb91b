"""A document in, the same document without personal data out: as it streams, one window of the model a step."""

import codecs
from collections import Counter, deque
from collections.abc import Iterator
from typing import BinaryIO

from api.privacy.coding import Decompressor
from api.privacy.findings import Finding, merge, redact
from api.privacy.formats.csv import CsvParser
from api.privacy.formats.document import Parser, Segment, Token
from api.privacy.formats.media import CSV, TEXT, TEXT_XML, TSV, XML
from api.privacy.formats.ndjson import NdjsonParser
from api.privacy.formats.xml import XmlParser
from api.privacy.redactor import CHUNK, SURROGATES, Find, Redactor, TextRedactor
from api.privacy.scanner import WINDOW, Piece, Scanner

MAX_HELD = 4 * 1024 * 1024
"""Bytes, about, of a document's parts that wait for the end of a text before them; then that text ends there."""
TOKEN, ENTRY = 64, 512
"""Bytes, about, that a part takes beside its characters: one that is not searched, one that is."""


def make_redactor(media_type: str, charset: str | None, find: Find, delimiter: str | None = None) -> Redactor:
    """Choose by one of `MEDIA_TYPES` and one of `CHARSETS`, which is UTF-8 or the XML's own when there is none.

    `delimiter` is a table's, which otherwise tells it by itself.
    """
    if media_type in {XML, TEXT_XML}:
        return StructuredRedactor(XmlParser(charset), "utf-8", find)
    charset = charset or "utf-8"
    if media_type == TEXT:
        return TextRedactor(charset, find)
    parser: Parser = NdjsonParser(charset)
    if media_type == CSV:
        parser = CsvParser(charset, delimiter)
    elif media_type == TSV:
        parser = CsvParser(charset, delimiter or "\t", quotes=False)
    return StructuredRedactor(parser, charset, find)


def redact_file(source: BinaryIO, decompressor: Decompressor, redactor: Redactor) -> Iterator[bytes]:
    """Redact what a file holds, step by step; a step is short, also where a document has nothing to search.

    Raises:
        DocumentError: the document is broken or refused.
        ProblemError: 413, it is too large once decoded.

    """
    while chunk := source.read(CHUNK):
        yield b""
        for part in decompressor.feed(chunk):
            yield from redactor.feed(part)
    decompressor.finish()
    yield from redactor.finish()


class StructuredRedactor:
    """Anything made of segments: each is searched by itself, on a line of its own with as many as fit.

    Running text, of which segments are pieces, is searched as one besides: what either search finds goes. In a text
    of several pieces the first one that a finding touches gets its placeholder, the others lose their part of it.
    """

    def __init__(self, parser: Parser, charset: str, find: Find) -> None:
        self.found: Counter[str] = Counter()
        self._parser = parser
        self._encode = codecs.getincrementalencoder(charset)().encode
        self._apart = _Search(find)
        self._running = _Search(find)
        self._last: _Entry | None = None  # a running text's only piece so far: nothing to be searched as one yet
        self._queue: deque[str | _Entry] = deque()
        self._held = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give what is settled."""
        for token in self._parser.feed(data):
            yield from self._add(token)
        yield self._ready()

    def finish(self) -> Iterator[bytes]:
        """Give the rest."""
        for token in self._parser.finish():
            yield from self._add(token)
        yield from self._settle()
        yield self._ready()

    def _add(self, token: Token) -> Iterator[bytes]:
        if isinstance(token, str):
            self._queue.append(token)
            self._held += len(token) + TOKEN
        else:
            entry = _Entry(token)
            self._queue.append(entry)
            self._held += len(token.text) + len(token.raw) + ENTRY
            if not self._apart.fits(token.text):
                yield from self._apart.finish()
            if self._apart.add(entry, goes_on=False):
                yield from self._apart.search()
            if token.goes_on is not None:
                yield from self._add_running(entry, goes_on=token.goes_on)
        if self._held > MAX_HELD:
            yield self._ready()
            if self._held > MAX_HELD:
                yield from self._settle()
                yield self._ready()

    def _add_running(self, entry: "_Entry", *, goes_on: bool) -> Iterator[bytes]:
        last = self._last
        if last:
            last.waiting -= 1  # for this segment
        if not goes_on:
            entry.waiting += 1
            self._last = entry
            return
        if last:
            self._last = None
            if not self._running.fits(last.segment.text):
                yield from self._running.finish()
            if self._running.add(last, goes_on=False):
                yield from self._running.search()
        if self._running.add(entry, goes_on=True):
            yield from self._running.search()

    def _settle(self) -> Iterator[bytes]:
        if self._last:
            self._last.waiting -= 1
            self._last = None
        yield from self._apart.finish()
        yield from self._running.finish()

    def _ready(self) -> bytes:
        """Give what waits for nothing."""
        queue = self._queue
        parts: list[str] = []
        while queue:
            token = queue[0]
            if isinstance(token, str):
                parts.append(token)
                self._held -= len(token) + TOKEN
            elif token.waiting:
                break
            else:
                parts.append(token.redacted(self.found))
                self._held -= len(token.segment.text) + len(token.segment.raw) + ENTRY
            queue.popleft()
        return self._encode("".join(parts))


class _Entry:
    """A segment and what is found in it."""

    __slots__ = ("findings", "gone", "segment", "waiting")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.waiting = 0
        """Searches that are to tell more."""
        self.findings: list[Finding] = []
        self.gone: Finding | None = None
        """The rest of a finding that has its placeholder in an earlier piece of the text."""

    def redacted(self, found: Counter[str]) -> str:
        """Give what stands in the document instead, and count the findings."""
        text, raw, encode, _ = self.segment
        if not self.findings and not self.gone:
            return raw
        findings = merge(self.findings)
        start = 0
        if gone := self.gone:
            own = [finding for finding in findings if finding.start < gone.end]
            # A whole of its own, like the next address of a list, is no rest of another.
            if all(f.end <= gone.end and (f.score < gone.score or f.end - f.start < gone.end) for f in own):
                start = gone.end
                findings = [f._replace(start=f.start - start, end=f.end - start) for f in findings[len(own) :]]
            else:
                findings = merge([gone._replace(score=-1), *findings])
        found.update(finding.type for finding in findings)
        return encode(redact(text[start:], findings))


class _Search:
    """One text made of segments, searched as it grows: what goes on follows at once, all else on another line."""

    def __init__(self, find: Find) -> None:
        self._scanner = Scanner(lambda text: [] if text.isspace() else find(text))
        self._fresh: list[str] = []
        self._places: deque[tuple[int, _Entry, bool]] = deque()
        """Where the segments that are not settled begin, and whether they go on with the one before."""
        self._end = 0
        self._settled = 0

    def fits(self, text: str) -> bool:
        """Tell whether a window has room for one more text; what is here needs not be seen with another."""
        return self._end == self._settled or self._end - self._settled + len(text) < WINDOW

    def add(self, entry: _Entry, *, goes_on: bool) -> bool:
        """Add a segment; tell whether a window is full."""
        if self._end == self._settled:
            goes_on = False
        elif not goes_on:
            self._fresh.append("\n")
            self._end += 1
        text = entry.segment.text
        if text:
            self._fresh.append(text)
            self._places.append((self._end, entry, goes_on))
            self._end += len(text)
            entry.waiting += 1
        return self._end - self._settled >= WINDOW

    def search(self) -> Iterator[bytes]:
        """Search the windows that are full, a step for each."""
        # Half a surrogate pair, which JSON can spell, has no encoding; another character keeps the places.
        text = SURROGATES.sub("\ufffd", "".join(self._fresh))
        self._fresh.clear()
        for piece in self._scanner.feed(text):
            self._take(piece)
            yield b""

    def finish(self) -> Iterator[bytes]:
        """Search what is left."""
        yield from self.search()
        for piece in self._scanner.finish():
            self._take(piece)
            yield b""

    def _take(self, piece: Piece) -> None:
        """Hand the findings of a settled piece to the segments they are in."""
        base = self._settled
        self._settled += len(piece.text)
        findings = deque(f._replace(start=base + f.start, end=base + f.end) for f in piece.findings)
        places = self._places
        while places:
            start, entry, goes_on = places[0]
            if start >= self._settled:
                break
            end = start + len(entry.segment.text)
            while findings and findings[0].start < end:
                finding = findings[0]
                if finding.end > start:
                    part = finding._replace(start=max(finding.start - start, 0), end=min(finding.end, end) - start)
                    if goes_on and finding.start < start:
                        entry.gone = part
                    else:
                        entry.findings.append(part)
                if finding.end > end:  # goes on in the next segment
                    break
                findings.popleft()
            if end > self._settled:
                break
            places.popleft()
            entry.waiting -= 1
