"""The charset of an XML document, told as XML 1.0 (4.3.3, appendix F) and RFC 7303 (3) say, and its characters.

In this order: a byte order mark; what the transport says; zero bytes around the first `<`; the document's declaration;
UTF-8.
"""

import re

from api.privacy.formats.charset import CHARSETS, MARKS, WIDE, find_charset, is_known
from api.privacy.formats.document import Decoder, DocumentError

MAX_DECLARATION = 1024
"""Bytes of the XML declaration."""

FIRST = (
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0<", "utf-16-be"),
    (b"<\0", "utf-16-le"),
)
EBCDIC = "<?xm".encode("cp037")
BEGIN = b"<?xml"
ENCODING = re.compile(rb"""\sencoding\s*=\s*(?:"([^"]*)"|'([^']*)')""")


class XmlDecoder:
    """Characters of an XML document, without its byte order mark, from bytes that arrive in any parts."""

    def __init__(self, charset: str | None) -> None:
        self._charset = charset
        self._head = b""
        self._decode: Decoder | None = None

    def __call__(self, data: bytes, *, last: bool = False) -> str:
        """Decode; what is not whole, or does not tell the charset yet, comes with the next call.

        Raises:
            DocumentError: the charset is not one that is read (415), or the bytes are not of it.

        """
        if self._decode is None:
            self._head += data
            data = b""
            charset = self._tell(self._head, last=last)
            if charset is None:
                return ""
            self._decode = Decoder(charset)
            mark = next((mark for mark, _ in MARKS if self._head.startswith(mark)), b"")
            data = self._head.removeprefix(mark)
            self._head = b""
        return self._decode(data, last=last)

    def _tell(self, head: bytes, *, last: bool) -> str | None:
        if len(head) < len(BEGIN) and not last:
            return None
        for first, charset in MARKS:
            if head.startswith(first):
                return charset
        shape = next((charset for first, charset in FIRST if head.startswith(first)), None)
        if self._charset in {"utf-16", "utf-32"}:  # without a mark the first byte is the higher one (RFC 2781)
            return shape if shape and shape.startswith(self._charset) else f"{self._charset}-be"
        if self._charset or shape:
            return self._charset or shape
        if head.startswith(EBCDIC):
            raise DocumentError("The encoding EBCDIC is not supported", status=415)
        return _declared(head, last=last) if head.startswith(BEGIN) else "utf-8"


def _declared(head: bytes, *, last: bool) -> str | None:
    """Give the charset that a declaration says, None when it is not all here."""
    declaration, end, _ = head.partition(b"?>")
    if len(declaration) > MAX_DECLARATION:
        raise DocumentError(f"The XML declaration has more than {MAX_DECLARATION} bytes")
    if not end and not last:
        return None
    encoding = ENCODING.search(declaration)
    if not encoding:
        return "utf-8"
    name = (encoding[1] or encoding[2] or b"").decode("latin-1")
    charset = find_charset(name)
    if charset is None:
        what = f"The encoding {name.upper()} is not supported" if is_known(name) else "The encoding is not known"
        raise DocumentError(what, status=415)
    if charset in WIDE:
        raise DocumentError(f"The document declares {CHARSETS[charset]}, and is not in it")
    return charset
