"""Content codings (RFC 9110, 8.4) of a request's body, undone as it arrives."""

import zlib
from collections.abc import Iterator

from api.privacy.formats.document import DocumentError
from api.problem import ProblemError

CODINGS = frozenset({"identity", "gzip", "x-gzip", "deflate"})
AUTOMATIC = zlib.MAX_WBITS | 32  # either header, gzip's or zlib's
MAX_PART = 65536
"""Bytes given at once, however well they were packed."""


class Decompressor:
    """Gives the body's own bytes, and no more than `limit` of them."""

    def __init__(self, coding: str, limit: int) -> None:
        """Take one of `CODINGS`."""
        self._limit = limit
        self._packed = coding != "identity"
        self._inflate = zlib.decompressobj(AUTOMATIC)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the parts that follow from more of the body, each at most `MAX_PART` bytes.

        Raises:
            DocumentError: the body is not of that coding.
            ProblemError: 413, its own bytes are more than the limit.

        """
        while data:
            part, data = self._unpack(data) if self._packed else (data[:MAX_PART], data[MAX_PART:])
            self._limit -= len(part)
            if self._limit < 0:
                raise ProblemError(413, "The body is too large once decoded", headers={"Connection": "close"})
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
        self._begun = True
        try:
            part = self._inflate.decompress(data, MAX_PART)
        except zlib.error:
            raise DocumentError("The body is not in its content coding") from None
        return part, self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
