"""The memory that documents at, or beyond, a limit take, each in its process.

`python -m tests.support.format_memory [NAME…]` writes a line each: name, rise of the peak (VmHWM) in KiB, status and
detail of the problem (200 when it was done). The model finds nothing. What is sent is small, or made as it is read.
"""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from api.privacy.coding import Decompressor
from api.privacy.documents import Search, read_document
from api.privacy.formats.document import MARK, DocumentError
from api.privacy.formats.redaction import make_redactor
from api.problem import ProblemError

XML, CSV, NDJSON, TEXT = "application/xml", "text/csv", "application/x-ndjson", "text/plain"
NAME = 900_000
WIDE = "\U0001f600"
ENCODED = "<?xml version='1.0' encoding='%s'?><a/>"
LIMIT = 300 * 1024 * 1024
ROOT = Path(__file__).resolve().parents[2]
Parts = Iterator[bytes]


def xml(*parts: bytes | str, times: int = 1) -> Callable[[], Parts]:
    """Return a document of an element with these parts in it, so often."""

    def made() -> Parts:
        yield b"<p>a"
        for _ in range(times):
            yield from (part.encode() if isinstance(part, str) else part for part in parts)
        yield b"</p>"

    return made


def numbered(form: str, count: int) -> Callable[[], Parts]:
    """Return an element of so many parts, each with its number."""

    def made() -> Parts:
        yield b"<p>"
        yield from ((form % n).encode() for n in range(count))
        yield b"</p>"

    return made


def just(*parts: bytes | str, times: int = 1) -> Callable[[], Parts]:
    """Return these parts, so often."""
    return lambda: (p.encode() if isinstance(p, str) else p for _ in range(times) for p in parts)


def attributes(count: int, form: str = ' a%d=""') -> str:
    """Return a tag of so many attributes."""
    return f"<b{''.join(form % n for n in range(count))}/>"


CASES: dict[str, tuple[str, Callable[[], Parts]]] = {
    "long names": (XML, lambda: (part for n in range(340) for part in (b"<n%d" % n, b"x" * NAME, b">"))),
    "long names of attributes": (XML, numbered("<a n%d" + "y" * NAME + "=''/>", 340)),
    "long names of instructions": (XML, numbered("<?n%d" + "x" * NAME + " ?>", 340)),
    "names": (XML, numbered("<n%d/>", 20_000)),
    "names of instructions": (XML, numbered("<?n%d x?>", 20_000)),
    "names together": (XML, numbered("<n%d" + "é" * 990 + "/>", 9_000)),
    "attributes": (XML, xml(attributes(100_000))),
    "long attributes": (XML, xml(f"<b x='{WIDE * 250_000}' y='&amp;'/>", times=20)),
    "many attributes": (XML, xml(attributes(1_000), times=300)),
    "deep": (XML, just("<a>" * 100_000)),
    "deep texts": (XML, just("<a>x" * 1_000, WIDE * 900_000, "</a>" * 1_000)),
    "empty elements": (XML, xml("<b/>" * 10_000, times=100)),
    "pieces": (XML, xml("<b>x</b>" * 10_000, times=20)),
    "comments": (XML, xml("<!---->" * 10_000, times=100)),
    "long comments": (XML, xml(f"x<!--{'y' * 1_000_000}-->", times=10)),
    "wide text": (XML, xml(WIDE * 1_000_000)),
    "long text": (XML, xml("y" * 1_000_000, times=3)),
    "entities": (XML, xml("&amp;" * 1_000_000)),
    "long tag": (XML, xml("<b" + " " * 3_000_000)),
    "long value": (XML, xml("<b x='" + "y" * 3_000_000)),
    "two long tags": (XML, xml(f"<b x='{'y' * 900_000}'/>", times=2)),
    "long encoding": (XML, just(ENCODED % ("u" * 1_000_000))),
    "long wide encoding": (XML, just(f"{MARK}{ENCODED % ('u' * 400_000)}".encode("utf-16-le"))),
    "lists": (NDJSON, just("[" + ",".join(["[]"] * 349_000) + "]\n", times=3)),
    "objects": (NDJSON, just("[" + ",".join(['{"":0}'] * 149_000) + "]\n", times=3)),
    "wide objects": (NDJSON, just("[" + ",".join([f'{{"{WIDE}":0}}'] * 130_000) + "]\n", times=3)),
    "numbers": (NDJSON, just("[" + ",".join(["1"] * 500_000) + "]\n", times=3)),
    "floats": (NDJSON, just("[" + ",".join(["1.5"] * 260_000) + "]\n", times=3)),
    "members": (NDJSON, just("{" + ",".join(f'"{n}":0' for n in range(100_000)) + "}\n", times=3)),
    "wide string": (NDJSON, just(f'["{WIDE}{"a" * 1_000_000}"]\n', times=3)),
    "escapes": (NDJSON, just('["' + "\\n" * 500_000 + '"]\n', times=3)),
    "deep lists": (NDJSON, just("[" * 1_000_000)),
    "deep objects": (NDJSON, just('{"a":' * 200_000)),
    "long line": (NDJSON, just('"' + "y" * 1_000_000, times=3)),
    "cells": (CSV, just("," * 1_000_000, times=5)),
    "wide cell": (CSV, just(f'"{WIDE * 1_000_000}"\n', times=3)),
    "quotes": (CSV, just('"' + '""' * 500_000 + '"\n', times=3)),
    "long cell": (CSV, just('"' + "y" * 3_000_000)),
    "long row": (CSV, just("yyyyyyy," * 100_000, times=5)),
    "text without a space": (TEXT, just(WIDE * 100_000, times=20)),
}
CODED: dict[str, bytes] = {
    "bomb": gzip.compress(b"a" * 50_000_000),
    "members of a stream": gzip.compress(b"") * 20_000,
}
NAMES_OF_CHARSETS = "names of charsets"
ALL = [*CASES, *CODED, NAMES_OF_CHARSETS]
REFUSED = {
    "long names": (422, "A name has more than 1000 characters"),
    "long names of attributes": (422, "A name has more than 1000 characters"),
    "long names of instructions": (422, "A name has more than 1000 characters"),
    "names": (422, "There are more than 10000 different names"),
    "names of instructions": (422, "There are more than 10000 different names"),
    "names together": (422, "The names have more than 1048576 characters together"),
    "attributes": (422, "An element has more than 1000 attributes"),
    "deep": (422, "Elements are nested more than 1000 deep"),
    "long text": (422, "A text has more than 1048576 characters"),
    "long tag": (422, "A tag has more than 1048576 bytes"),
    "long value": (422, "A tag has more than 1048576 bytes"),
    "long encoding": (422, "The XML declaration has more than 1024 bytes"),
    "deep lists": (422, "Values are nested more than 500 deep"),
    "deep objects": (422, "Values are nested more than 500 deep"),
    "long line": (422, "A line has more than 1048576 characters"),
    "long cell": (422, "A cell has more than 1048576 characters"),
    "bomb": (413, "The body is more than 500 times as long once decoded"),
    "members of a stream": (413, "The body's gzip stream has more than 10000 members"),
    "names of charsets": (422, "they were refused"),
}
"""Status and detail of those that are not done."""
MOST = 64 * 1024
"""KiB that one may take."""


def names_of_charsets() -> None:
    """Meet many long names of charsets, in documents and in headers."""
    for n in range(300):
        with suppress(DocumentError):
            redactor = make_redactor(XML, None, lambda _: [])
            list(redactor.feed(f'<?xml version="1.0" encoding="u{n}{"u" * 1_000_000}"?>'.encode()))
        with suppress(ProblemError):
            read_document(f"text/plain; charset=u{n}{'u' * 1_000_000}", "identity", None, Search("en", 0.5))
    raise DocumentError("they were refused")


def work(name: str) -> None:
    """Redact one document as it comes."""
    if name == NAMES_OF_CHARSETS:
        names_of_charsets()
    if name in CODED:
        kind, parts = TEXT, iter([CODED[name]])
        decompressor = Decompressor("gzip", LIMIT)
    else:
        kind, made = CASES[name]
        parts, decompressor = made(), Decompressor("identity", LIMIT)
    redactor = make_redactor(kind, None, lambda _: [])
    for part in parts:
        for piece in decompressor.feed(part):
            for _ in redactor.feed(piece):
                pass
    decompressor.finish()
    for _ in redactor.finish():
        pass


def peak() -> int:
    """Return the most memory this process ever had, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


def check(*names: str) -> None:
    """Assert that these documents are done or refused as they should be, within the memory there is for one."""
    command = [sys.executable, "-m", "tests.support.format_memory", *names]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    told = {name: (status, detail) for name, _, status, detail in map(json.loads, lines)}
    assert told == {name: REFUSED.get(name, (200, None)) for name in names}
    assert {name: rise for name, rise, *_ in map(json.loads, lines) if rise >= MOST} == {}


def main() -> None:
    """Measure each case in a child."""
    for name in sys.argv[1:] or ALL:
        if os.fork():
            os.wait()
            continue
        before = peak()
        outcome: tuple[int, str | None] = (200, None)
        try:
            work(name)
        except ProblemError as error:
            outcome = (error.status_code, error.detail)
        print(json.dumps([name, peak() - before, *outcome]), flush=True)
        os._exit(0)


if __name__ == "__main__":
    main()
