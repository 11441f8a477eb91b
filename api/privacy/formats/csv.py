"""CSV (RFC 4180, also with semicolons, tabs or bars): the same table, cell by cell.

Python's `csv` would do for whole files; here every character that is not redacted stays as it is, quotes included.
"""

import re
from collections.abc import Iterator

from api.privacy.formats.document import MARK, MAX_UNIT, Decoder, DocumentError, Segment, Token

DELIMITERS = ",;\t|"
HEAD = 65536
"""Characters in which the delimiter is looked for, when there is no line end before."""

QUOTED = re.compile(r'"((?:[^"]++|"")*+)"')
# The same, or the beginning of it, after whatever may turn out to be the delimiter.
QUOTED_IN_HEAD = re.compile(rf'(?<![^{DELIMITERS}])"(?:[^"]++|"")*+"?')
LINE_END = re.compile(r"[\r\n]")


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
        yield from self._cells(last=False)

    def finish(self) -> Iterator[Token]:
        """Give the last cells."""
        self._text += self._decode(b"", last=True)
        yield from self._cells(last=True)

    def _cells(self, *, last: bool) -> Iterator[Token]:
        if self._plain is None:
            marked = self._text.startswith(MARK)
            delimiter = _delimiter(self._text[marked : marked + HEAD], last=last)
            if delimiter is None:
                return
            self._separators = f"{delimiter}\r\n"
            self._plain = re.compile(f"[^{re.escape(self._separators)}]*")
            if marked:
                yield MARK
                self._text = self._text[1:]
        text = self._text
        plain = self._plain
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


def _delimiter(head: str, *, last: bool) -> str | None:
    """Give the likeliest delimiter of the first line, None while more of the document may tell another."""
    line, *more = LINE_END.split(QUOTED_IN_HEAD.sub("", head), maxsplit=1)
    if not (more or last or len(head) == HEAD):
        return None
    # What stands between two other quotes hardly separates anything.
    unquoted = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=lambda delimiter: (unquoted.count(delimiter), line.count(delimiter)))


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
