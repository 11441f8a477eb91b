"""A document in, the same document without personal data out: as it streams, one window of the model a step."""

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from api.privacy.coding import Decompressor
from api.privacy.findings import Finding, redact
from api.privacy.formats.csv import CsvParser
from api.privacy.formats.document import Decoder, Parser, Segment, Token
from api.privacy.formats.ndjson import NdjsonParser
from api.privacy.formats.xml import XmlParser
from api.privacy.scanner import WINDOW, Piece, Scanner, locate, scan

Find = Callable[[str], list[Finding]]

TEXT, CSV, NDJSON, XML = "text/plain", "text/csv", "application/x-ndjson", "application/xml"
MEDIA_TYPES = {TEXT: TEXT, CSV: CSV, NDJSON: NDJSON, XML: XML, "text/xml": XML}
"""What is taken, and the format it is."""

CHUNK = 65536
"""Bytes of a file read at once."""
MAX_BATCH = 65536
"""Characters between texts that are held back at most."""

SURROGATES = re.compile("[\ud800-\udfff]")


class Redactor(Protocol):
    """Takes a document as it arrives; what it gives, joined, does not depend on how it was cut.

    A step of its iterators takes the model at most one window; many give no bytes.
    """

    found: Counter[str]
    """Findings so far, by type."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add a part of the document; give what is ready. Raises `DocumentError`."""

    def finish(self) -> Iterator[bytes]:
        """End the document; give the rest. Raises `DocumentError`."""


def make_redactor(media_type: str, charset: str | None, find: Find) -> Redactor:
    """Choose by one of `MEDIA_TYPES` and one of `CHARSETS`, which is UTF-8 or the XML's own when there is none."""
    match MEDIA_TYPES[media_type]:
        case "text/plain":
            return TextRedactor(charset or "utf-8", find)
        case "text/csv":
            return StructuredRedactor(CsvParser(charset or "utf-8"), charset or "utf-8", find)
        case "application/x-ndjson":
            return StructuredRedactor(NdjsonParser(charset or "utf-8"), charset or "utf-8", find)
    return StructuredRedactor(XmlParser(charset), "utf-8", find)


def redact_file(source: BinaryIO, decompressor: Decompressor, redactor: Redactor) -> Iterator[bytes]:
    """Redact what a file holds, step by step. Raises `DocumentError`, or a 413 for too much once decoded."""
    while chunk := source.read(CHUNK):
        for part in decompressor.feed(chunk):
            yield from redactor.feed(part)
    decompressor.finish()
    yield from redactor.finish()


class TextRedactor:
    """Plain text: scanned as one."""

    def __init__(self, charset: str, find: Find) -> None:
        self.found: Counter[str] = Counter()
        self._decode = Decoder(charset)
        self._encode = codecs.getincrementalencoder(charset)().encode
        self._scanner = Scanner(find)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give what the scanner settles."""
        return self._redact(self._scanner.feed(self._decode(data)))

    def finish(self) -> Iterator[bytes]:
        """Give the rest."""
        yield from self._redact(self._scanner.feed(self._decode(b"", last=True)))
        yield from self._redact(self._scanner.finish())

    def _redact(self, pieces: Iterator[Piece]) -> Iterator[bytes]:
        for piece in pieces:
            self.found.update(finding.type for finding in piece.findings)
            yield self._encode(redact(*piece))


class StructuredRedactor:
    """Anything made of segments: as many as fit are searched at once, each on its own line."""

    def __init__(self, parser: Parser, charset: str, find: Find) -> None:
        self.found: Counter[str] = Counter()
        self._parser = parser
        self._encode = codecs.getincrementalencoder(charset)().encode
        self._find = find
        self._batch: list[Token] = []
        self._searched = 0
        self._held = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give what the batches that are full hold."""
        for token in self._parser.feed(data):
            yield from self._add(token)

    def finish(self) -> Iterator[bytes]:
        """Give the rest."""
        for token in self._parser.finish():
            yield from self._add(token)
        yield from self._flush()

    def _add(self, token: Token) -> Iterator[bytes]:
        size = len(token.text) + 1 if isinstance(token, Segment) else 0
        if self._batch and (self._searched + size > WINDOW or self._held > MAX_BATCH):
            yield from self._flush()
        self._batch.append(token)
        self._searched += size
        self._held += len(token.raw) if isinstance(token, Segment) else len(token)

    def _flush(self) -> Iterator[bytes]:
        # Half a surrogate pair, which JSON can spell, has no encoding; another character keeps the places.
        texts = [SURROGATES.sub("\ufffd", token.text) for token in self._batch if isinstance(token, Segment)]
        pieces: list[Piece] = []
        if any(text and not text.isspace() for text in texts):
            for piece in scan("\n".join(texts), self._find):
                pieces.append(piece)
                yield b""
        yield self._encode("".join(self._replaced(locate(pieces))))
        self._batch.clear()
        self._searched = self._held = 0

    def _replaced(self, findings: list[Finding]) -> Iterator[str]:
        start = 0
        rest = iter(findings)
        finding = next(rest, None)
        for token in self._batch:
            if isinstance(token, str):
                yield token
                continue
            end = start + len(token.text)
            inside: list[Finding] = []
            while finding and finding.start < end:
                if finding.end > start:
                    first, last = max(finding.start, start), min(finding.end, end)
                    inside.append(finding._replace(start=first - start, end=last - start))
                if finding.end > end:  # goes on in the next segment
                    break
                finding = next(rest, None)
            self.found.update(part.type for part in inside)
            yield token.encode(redact(token.text, inside)) if inside else token.raw
            start = end + 1
