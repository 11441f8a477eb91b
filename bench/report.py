"""Tables on the terminal, and the same in docs/: each benchmark's section, and its figures in the one table of all."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

DOCUMENTS = [Path(__file__).parent.parent / "docs" / f"{name}.md" for name in ("benchmarks", "benchmarks-service")]
"""Where the sections are; a new one comes to the first, which has the table of all figures."""
IN_SHORT = "In short"
HEAD = ("what", "beside what", "ratio", "goal", "measured")
_PACKAGES = (
    "fastapi",
    "starlette",
    "prometheus-client",
    "prometheus-fastapi-instrumentator",
    "starlette-exporter",
    "opentelemetry-instrumentation-fastapi",
)


class Figure(NamedTuple):
    """One line of the table of all figures: ``ratio`` is what it costs divided by what stands beside it."""

    what: str
    beside: str
    ratio: float
    goal: str = ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, first column left, the others right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        " | ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in (head, *rows)
    ]
    rule = " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(f"| {line} |" for line in (lines[0], rule, *lines[1:]))


def publish(section: str, text: str, figures: Iterable[Figure] = ()) -> None:
    """Print a section and put it, with the machine named, in place of that of its name; the same for figures."""
    body = f"## {section}\n\n{_machine()}\n\n{text}\n"
    print(body)
    whole = next((path for path in DOCUMENTS if _section(section).search(path.read_text())), DOCUMENTS[0])
    whole.write_text(_with(whole.read_text(), section, body))
    first = DOCUMENTS[0].read_text()
    DOCUMENTS[0].write_text(_with(first, IN_SHORT, f"## {IN_SHORT}\n\n{_figures(first, figures)}\n"))


def _section(name: str) -> re.Pattern[str]:
    return re.compile(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)


def _with(document: str, section: str, body: str) -> str:
    """Return the document with this section, in its place or at the end."""
    if _section(section).search(document):
        document = _section(section).sub(lambda _: f"{body}\n", document)
    else:
        document = f"{document}\n{body}"
    return document.rstrip("\n") + "\n"


def _figures(document: str, figures: Iterable[Figure]) -> str:
    """Return the table of all figures with these in place of those that were there of the same."""
    found = _section(IN_SHORT).search(document)
    lines = [line for line in (found[0] if found else "").splitlines() if line.startswith("| ")]
    rows = {row[0]: row for line in lines[2:] if (row := tuple(cell.strip() for cell in line.strip("|").split("|")))}
    for one in figures:
        rows[one.what] = (one.what, one.beside, f"{one.ratio:.2f}", one.goal, f"{datetime.now(UTC):%Y-%m-%d}")
    return table(HEAD, list(rows.values()))


def _machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {model[1] if model else platform.machine()}, {os.cpu_count()} CPUs shared with "
        f"other work, {platform.system()} {platform.release()}, Python {platform.python_version()}; {packages}."
    )
