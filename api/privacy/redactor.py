"""A document in, the same document without personal data out: as it streams, one window of the model a step."""

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from api.privacy.findings import Finding, redact
from api.privacy.formats.document import Decoder
from api.privacy.scanner import Piece, Scanner

Find = Callable[[str], list[Finding]]

CHUNK = 65536
"""Bytes of a file read at once."""

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
