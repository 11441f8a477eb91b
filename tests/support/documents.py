"""Long documents of every format, with a word to find on every line."""

LINES = {
    "text/plain": b"The word is Zaphod, and the rest of this line is of no interest to anyone at all.\n",
    "text/csv": b'17,The word is Zaphod,"and the rest, of this line, is of no interest"\n',
    "application/xml": b'<line number="17">The word is Zaphod &amp; the rest is of no interest</line>\n',
    "application/x-ndjson": b'{"n": 17, "text": "The word is Zaphod, and the rest is of no interest"}\n',
}


def document(media_type: str, size: int) -> bytes:
    """Return a document of about so many bytes."""
    lines = LINES[media_type] * (size // len(LINES[media_type]))
    return b"<lines>" + lines + b"</lines>" if media_type == "application/xml" else lines
