"""XML 1.0: the same tree, in UTF-8. Text, attribute values, comments and instructions are searched, names are not.

A namespace is part of the names that use it: its declaration (`xmlns`, `xmlns:…`) is not searched either.

Document type declarations are refused, and with them entities of every kind, external and exponential ones included.

Text goes on over comments, instructions and the borders of CDATA, and over the tags of mixed content, where

- it stands directly beside the element it goes on in or comes from: `<b>219</b>-09-9999`, `219-<b>09</b>-9999`;
- one element ends and the next begins, and the element they are in has had text of its own: `my <x>219</x><y>-09…`;
- or both are of the same name, `<t>219</t><t>-09…`, or of names in use for a part of a line (`INLINE`).

Elements of different names in one that has no text of its own are the fields of a record, `<first>…</first><last>…`:
each is a text by itself. So is what a line of white space parts.
"""

import re
from collections.abc import Iterator
from itertools import islice
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from api.privacy.formats.document import MAX_UNIT, DocumentError, Segment, Token
from api.privacy.formats.xml_charset import XmlDecoder

MAX_DEPTH = 1000
MAX_NAMES = 10_000
"""Different names of elements, attributes and instructions: the parser remembers each for the whole document."""
MAX_NAME = 1000
"""Characters of one of them."""
MAX_NAMES_SIZE = 1024 * 1024
"""Characters of all of them together."""
MAX_ATTRIBUTES = 1000
"""Attributes of an element."""

VERSION = re.compile(r"1\.[0-9]")
"""What stands in a declaration as it is, and so says nothing else (XML 1.0, 2.8)."""
INLINE = frozenset(
    # HTML's (and so XHTML's, EPUB's and RSS's), DocBook's, TEI's, and the runs of Word and spans of OpenDocument
    """a abbr acronym b bdi bdo big br cite code data del dfn em font i ins kbd mark nobr q rp rt ruby s samp small
    span strike strong sub sup time tt u var wbr emphasis phrase literal hi r t""".split()  # noqa: SIM905
)


class XmlParser:
    """Expat's events as tokens. `charset` is what the transport says of it; expat itself sees UTF-8 only."""

    def __init__(self, charset: str | None) -> None:
        self._decode = XmlDecoder(charset)
        self._tokens: list[Token] = []
        self._text: list[str] = []
        self._text_size = 0
        self._open: list[_Element] = [_Element()]
        self._ended: list[str] = []  # names of the elements that ended since the last text, from the inner one
        self._begun: list[str] = []  # and of those that began, from the outer one
        self._running = False  # whether there is a text that could go on
        self._fed = 0
        self._names: dict[str, str] = {}
        self._known = 0  # how many of them were looked at
        self._names_size = 0
        parser = expat.ParserCreate("utf-8", intern=self._names)
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        self._parser = parser

    def feed(self, data: bytes) -> Iterator[Token]:
        """Give the tokens of which the end is known."""
        yield from self._parse(self._decode(data).encode(), last=False)

    def finish(self) -> Iterator[Token]:
        """Give the rest; the document must be complete."""
        yield from self._parse(self._decode(b"", last=True).encode(), last=True)

    def _parse(self, data: bytes, *, last: bool) -> Iterator[Token]:
        self._fed += len(data)
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError:
            raise DocumentError("The document is not well-formed XML") from None
        # Expat keeps a tag or comment until it is whole, and says nothing of its size.
        if self._fed - self._parser.CurrentByteIndex > MAX_UNIT:
            raise DocumentError(f"A tag has more than {MAX_UNIT} bytes")
        tokens, self._tokens = self._tokens, []
        yield from tokens

    def _add(self, *tokens: Token) -> None:
        """Take an event's tokens, after the text that went before it."""
        if self._text:
            text = "".join(self._text)
            self._tokens.append(Segment(text, _escape(text), _escape, self._place(text)))
            self._text.clear()
            self._text_size = 0
        self._tokens += tokens

    def _place(self, text: str) -> bool | None:
        """Tell whether a text goes on with the one before it; None when nothing goes on over it."""
        blank = text.isspace()
        if blank and "\n" in text:
            self._running = False
            return None
        goes_on = self._running and self._goes_on()
        if not blank:
            self._open[-1].mixed = True
        if not (blank and goes_on):  # a blank is nothing that elements could stand beside
            self._ended.clear()
            self._begun.clear()
        self._running = True
        return goes_on

    def _goes_on(self) -> bool:
        ended, begun = self._ended, self._begun
        return (
            not (ended and begun)
            or self._open[-1 - len(begun)].mixed
            or (len(ended) == 1 and ended == begun)
            or all(name.rpartition(":")[2].lower() in INLINE for name in ended + begun)
        )

    def _declaration(self, version: str, _: str | None, standalone: int) -> None:
        if not VERSION.fullmatch(version):
            raise DocumentError("The XML version is not supported")
        alone = "" if standalone < 0 else f' standalone="{"yes" if standalone else "no"}"'
        self._add(f'<?xml version="{version}" encoding="utf-8"{alone}?>\n')

    def _doctype(self, *_: object) -> None:
        raise DocumentError("Document type declarations are not allowed")

    def _start(self, name: str, attributes: list[str]) -> None:
        if len(self._open) > MAX_DEPTH:
            raise DocumentError(f"Elements are nested more than {MAX_DEPTH} deep")
        if len(attributes) > 2 * MAX_ATTRIBUTES:
            raise DocumentError(f"An element has more than {MAX_ATTRIBUTES} attributes")
        self._check_names()
        self._add(f"<{name}")
        for attribute, value in zip(attributes[::2], attributes[1::2], strict=True):
            quoted = quoteattr(value)
            if attribute == "xmlns" or attribute.startswith("xmlns:"):
                self._add(f" {attribute}={quoted}")
            else:
                self._add(f" {attribute}=", Segment(value, quoted, quoteattr))
        self._add(">")
        self._open.append(_Element())
        self._begun.append(name)

    def _check_names(self) -> None:
        count = len(self._names)
        if count == self._known:
            return
        if count > MAX_NAMES:
            raise DocumentError(f"There are more than {MAX_NAMES} different names")
        for name in islice(self._names, self._known, None):
            if len(name) > MAX_NAME:
                raise DocumentError(f"A name has more than {MAX_NAME} characters")
            self._names_size += len(name)
        if self._names_size > MAX_NAMES_SIZE:
            raise DocumentError(f"The names have more than {MAX_NAMES_SIZE} characters together")
        self._known = count

    def _end(self, name: str) -> None:
        self._add(f"</{name}>")
        self._open.pop()
        if self._begun:  # it has no text
            self._begun.pop()
        else:
            self._ended.append(name)

    def _characters(self, text: str) -> None:
        self._text.append(text)
        self._text_size += len(text)
        if self._text_size > MAX_UNIT:
            raise DocumentError(f"A text has more than {MAX_UNIT} characters")

    def _comment(self, text: str) -> None:
        self._add("<!--", Segment(text, text, str), "-->")

    def _instruction(self, target: str, text: str) -> None:
        self._check_names()
        self._add(f"<?{target} ", Segment(text, text, str), "?>")


class _Element:
    """An element that is open; `mixed` once it has had text of its own."""

    __slots__ = ("mixed",)

    def __init__(self) -> None:
        self.mixed = False


def _escape(text: str) -> str:
    # A bare carriage return would be read back as a line feed.
    return escape(text, {"\r": "&#13;"})
