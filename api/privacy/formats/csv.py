"""CSV (RFC 4180, also with semicolons, tabs or bars): the same table, cell by cell.

Python's `csv` would do for whole files; here every character that is not redacted stays as it is, quotes included.
"""

import re
from collections.abc import Iterator

from api.privacy.formats.document import MAX_UNIT, Decoder, DocumentError, Segment, Token

DELIMITERS = ",;\t|"
HEAD = 65536
"""Characters in which the delimiter is looked for, when there is no line end before."""

QUOTED = re.compile(r'"((?:[^"]++|"")*+)"')


class CsvParser:
    """Cells are segments; delimiters and line ends are in between."""

    def __init__(self, charset: str) -> None:
        self._decode = Decoder(charset)
        self._text = ""
        self._plain: re.Pattern[str] | None = None
        self._separators = ""

    def feed(self, data: bytes) -> Iterator[Token]:
        """Give the cells of which the end is known."""
        self._text += self._decode(data)
        if self._plain is None and "\n" not in self._text and len(self._text) < HEAD:
            return
        yield from self._cells(last=False)

    def finish(self) -> Iterator[Token]:
        """Give the last cells."""
        self._text += self._decode(b"", last=True)
        yield from self._cells(last=True)

    def _cells(self, *, last: bool) -> Iterator[Token]:
        text = self._text
        plain = self._plain or self._detect(text)
        start = 0
        while start < len(text):
            cell = (QUOTED if text[start] == '"' else plain).match(text, start)
            if cell is None and last:
                raise DocumentError("A quote is not closed")
            # Without what follows, a closing quote might be the first of a pair.
            if cell is None or (cell.end() == len(text) and not last):
                break
            end = cell.end()
            if text[start] == '"':
                yield Segment(cell[1].replace('""', '"'), cell[0], _quote)
            else:
                yield Segment(cell[0], cell[0], str)
            if end < len(text):
                if text[end] not in self._separators:
                    raise DocumentError("There is text after a closing quote")
                yield text[end]
            start = end + 1
        self._text = text[start:]
        if len(self._text) > MAX_UNIT:
            raise DocumentError(f"A cell has more than {MAX_UNIT} characters")

    def _detect(self, text: str) -> re.Pattern[str]:
        """Take the likeliest delimiter of the first line."""
        head = re.sub(r'"[^"]*"?', "", text[:HEAD].partition("\n")[0])
        delimiter = max(DELIMITERS, key=head.count)
        self._separators = f"{delimiter}\r\n"
        self._plain = re.compile(f"[^{re.escape(self._separators)}]*")
        return self._plain


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
