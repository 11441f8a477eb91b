"""CSV (RFC 4180, also with semicolons, tabs, bars or another delimiter): the same table, cell by cell.

Python's `csv` would do for whole files; here every character that is not redacted stays as it is, quotes included.

The delimiter is what the first line says (`sep=;`, as Excel has it), else the one of `DELIMITERS` that parts most of
the first rows into equally many cells: lines before the table, and commas within its cells, are fewer.
"""

import re
from collections import Counter
from collections.abc import Iterator

from api.privacy.formats.document import MARK, MAX_UNIT, Decoder, DocumentError, Segment, Token

DELIMITERS = "\t;|,"
"""The last one is also in numbers and sentences: where it parts rows as well as another does, the other is meant."""
HEAD = 65536
"""Characters in which the delimiter is looked for."""
ROWS = 200
"""Rows, at most, that tell it."""

SEPARATOR = re.compile(r'("?)sep=([^"\r\n])\1(?:[\r\n]|$)', re.IGNORECASE)
QUOTED = re.compile(r'"((?:[^"]++|"")*+)"')
LINE_END = re.compile(r"[\r\n]")


class CsvParser:
    """Cells that are not empty are segments; delimiters and line ends are in between.

    Without `quotes`, which the registered format of tab-separated values does not have, a quote is a character.
    """

    def __init__(self, charset: str, delimiter: str | None = None, *, quotes: bool = True) -> None:
        self._decode = Decoder(charset)
        self._delimiter = delimiter
        self._quote = '"' if quotes else ""
        self._text = ""
        self._plain: re.Pattern[str] | None = None
        self._gap = LINE_END

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
            head = self._text[marked : marked + HEAD]
            delimiter = self._delimiter
            if delimiter is None:
                if len(head) < HEAD and not last:
                    return
                delimiter = find_delimiter(head, last=last and len(self._text) == marked + len(head))
            separators = re.escape(f"{delimiter}\r\n")
            self._plain, self._gap = re.compile(f"[^{separators}]+"), re.compile(f"[{separators}]+")
            if marked:
                yield MARK
                self._text = self._text[1:]
        text = self._text
        plain, gaps, quote = self._plain, self._gap, self._quote
        start = 0
        while start < len(text):
            if gap := gaps.match(text, start):
                yield gap[0]
                start = gap.end()
                continue
            cell = (QUOTED if text[start] == quote else plain).match(text, start)
            if cell is None and last:
                raise DocumentError("A quote is not closed")
            # Without what follows, a closing quote might be the first of a pair.
            if cell is None or (cell.end() == len(text) and not last):
                break
            end = cell.end()
            if text[start] == quote:
                yield Segment(cell[1].replace('""', '"'), cell[0], _quote)
            else:
                yield Segment(cell[0], cell[0], str)
            if end < len(text) and not gaps.match(text, end):
                raise DocumentError("There is text after a closing quote")
            start = end
        self._text = text[start:]
        if len(self._text) > MAX_UNIT:
            raise DocumentError(f"A cell has more than {MAX_UNIT} characters")


def find_delimiter(head: str, *, last: bool) -> str:
    """Give the likeliest delimiter by the beginning of a table, or (`last`) by all of it."""
    if said := SEPARATOR.match(head):
        return said[2]
    scores = {delimiter: _score(head, delimiter, last=last) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: scores[delimiter])
    if scores[best] > NOTHING:
        return best
    line = LINE_END.split(head, maxsplit=1)[0]
    return max(reversed(DELIMITERS), key=line.count)


Score = tuple[int, bool, bool, int]
NOTHING: Score = (0, False, False, 0)


def _score(head: str, delimiter: str, *, last: bool) -> Score:
    """Give how many rows have the commonest number of cells, whether the last one does, …, and that number."""
    rows = _rows(head, delimiter, last=last)
    alike = Counter(row for row in rows if row > 1).most_common(1)
    if not alike:
        return NOTHING
    ((cells, count),) = alike
    return count, rows[-1] == cells, count > 1 and delimiter != DELIMITERS[-1], cells


def _rows(head: str, delimiter: str, *, last: bool) -> list[int]:
    """Give the number of cells of each row that is whole, none at all where the delimiter breaks the quotes."""
    cell = re.compile(rf'(?:"(?:[^"]++|"")*+"|(?!")[^{re.escape(delimiter)}\r\n]*+)([{re.escape(delimiter)}\r\n]|\Z)')
    rows: list[int] = []
    cells = start = 0
    while start < len(head) and len(rows) < ROWS:
        found = cell.match(head, start)
        if found is None:  # text after a closing quote, or a quote that is not closed here
            return [] if last or QUOTED.match(head, start) else rows
        cells += 1
        start = found.end()
        end = found[1]
        if end != delimiter and (end or last):
            if cells > 1 or found.end() - found.start() > 1:  # not a blank line
                rows.append(cells)
            cells = 0
    return rows


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
