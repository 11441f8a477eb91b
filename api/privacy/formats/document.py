"""What the formats have in common."""

import codecs
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from api.privacy.formats.charset import CHARSETS, MARKS
from api.problem import ProblemError

MAX_UNIT = 1024 * 1024
"""Characters of the longest line, record, text node or tag: what bounds the memory, whatever the document."""

MARK = "\ufeff"
"""The byte order mark, which Excel writes in front of a document and which is none of it."""


class DocumentError(ProblemError):
    """422: the document is not what its media type says, or has what is refused; nothing of it is quoted.

    415 for what is of no kind that is read, 413 for what is too large.
    """

    def __init__(self, detail: str, *, status: int = 422) -> None:
        super().__init__(status, detail)


class Segment(NamedTuple):
    """A text in a document: what it says, how it stands there, and how another would stand in its place.

    A piece of running text either goes on with the piece before it or does not; any other text is a whole (None).
    """

    text: str
    raw: str
    encode: Callable[[str], str]
    goes_on: bool | None = None


Token = str | Segment
"""A part of a document: text to search, or whatever is between (as it stands)."""


class Parser(Protocol):
    """Takes a document apart as it arrives; the tokens do not depend on how it was cut."""

    def feed(self, data: bytes) -> Iterator[Token]:
        """Add a part of the document; give the tokens that are whole.

        Raises:
            DocumentError: the document is broken, refused, or has too large a part.

        """

    def finish(self) -> Iterator[Token]:
        """End the document; give the rest. Raises what `feed` does."""


MARKS_NEEDED = {
    charset: tuple(mark for mark, ordered in MARKS if ordered.startswith(f"{charset}-"))
    for charset in ("utf-16", "utf-32")
}
"""Of charsets whose name says no order; read in the wrong one, a text is another script's."""


class Decoder:
    """Characters from bytes that arrive in any parts."""

    def __init__(self, charset: str) -> None:
        self._charset = charset
        self._decoder = codecs.getincrementaldecoder(charset)()
        self._marks = MARKS_NEEDED.get(charset, ())
        self._head = b""

    def __call__(self, data: bytes, *, last: bool = False) -> str:
        """Decode; a character's missing bytes come with the next call.

        Raises:
            DocumentError: the bytes are not of that charset, or likely of a wider one, or of either order.

        """
        if self._marks:
            self._head += data
            if len(self._head) < len(self._marks[0]) and not last:
                return ""
            if self._head and not self._head.startswith(self._marks):
                name = CHARSETS[self._charset]
                raise DocumentError(
                    f"The document has no byte order mark: expected {name}LE or {name}BE as its charset"
                )
            data, self._marks = self._head, ()
        try:
            text = self._decoder.decode(data, last)
        except UnicodeError:
            raise DocumentError(f"The document is not valid {CHARSETS[self._charset]}") from None
        if "\0" in text:  # UTF-16 and UTF-32 without a byte order mark are valid UTF-8, which no pattern would match
            raise DocumentError("The document has NUL characters: its charset is likely another")
        return text
