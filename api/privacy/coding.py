"""Content codings (RFC 9110, 8.4) of a request's body, undone as it arrives."""

import zlib
from collections.abc import Iterator

from api.privacy.formats.document import DocumentError
from api.problem import ProblemError

CODINGS = frozenset({"identity", "gzip", "x-gzip", "deflate"})
AUTOMATIC = zlib.MAX_WBITS | 32  # either header, gzip's or zlib's
MAX_PART = 65536
"""Bytes given at once, however well they were packed."""

MAX_MEMBERS = 10_000
"""Members of a gzip stream, of which each costs however empty it is."""
MAX_RATIO = 500
"""Bytes, at most, that one byte becomes in a document that has become longer than `SMALL`; 1,032 are possible."""
SMALL = 16 * 1024 * 1024


class Decompressor:
    """Gives the body's own bytes, and no more than `limit` of them."""

    def __init__(self, coding: str, limit: int) -> None:
        """Take one of `CODINGS`."""
        self._limit = limit
        self._packed = coding != "identity"
        self._inflate = zlib.decompressobj(AUTOMATIC)
        self._begun = False
        self._members = 0
        self._taken = 0
        self._given = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the parts that follow from more of the body, each at most `MAX_PART` bytes.

        Raises:
            DocumentError: the body is not of that coding.
            ProblemError: 413, its own bytes are more than the limit, or it is packed beyond reason.

        """
        self._taken += len(data)
        while data:
            part, data = self._unpack(data) if self._packed else (data[:MAX_PART], data[MAX_PART:])
            self._given += len(part)
            if self._given > self._limit:
                raise _too_large("The body is too large once decoded")
            yield part

    def finish(self) -> None:
        """End the body.

        Raises:
            DocumentError: some of it is missing.

        """
        if self._begun and not self._inflate.eof:
            raise DocumentError("The body's content coding is broken off")

    def _unpack(self, data: bytes) -> tuple[bytes, bytes]:
        if self._inflate.eof:  # gzip allows several members, one after the other
            self._inflate = zlib.decompressobj(AUTOMATIC)
            self._members += 1
            if self._members >= MAX_MEMBERS:
                raise _too_large(f"The body's gzip stream has more than {MAX_MEMBERS} members")
        self._begun = True
        try:
            part = self._inflate.decompress(data, MAX_PART)
        except zlib.error:
            raise DocumentError("The body is not in its content coding") from None
        if self._given + len(part) > max(SMALL, self._taken * MAX_RATIO):
            raise _too_large(f"The body is more than {MAX_RATIO} times as long once decoded")
        return part, self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail


def _too_large(detail: str) -> ProblemError:
    return ProblemError(413, detail)
