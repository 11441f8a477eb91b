"""Tables on the terminal, and the same in docs/benchmarks.md."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

Written by `python -m bench.request_cost`, `bench.scrape_cost` and others; each says what it measures.
"""
_PACKAGES = (
    "fastapi",
    "starlette",
    "prometheus-client",
    "prometheus-fastapi-instrumentator",
    "starlette-exporter",
    "opentelemetry-instrumentation-fastapi",
)


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


def publish(section: str, text: str) -> None:
    """Print a section and put it, with the machine named, in place of the document's section of that name."""
    body = f"## {section}\n\n{_machine()}\n\n{text}\n"
    print(body)
    document = DOCUMENT.read_text() if DOCUMENT.exists() else _HEAD
    present = re.compile(rf"## {re.escape(section)}\n.*?(?=\n## |\Z)", re.DOTALL)
    document = present.sub(lambda _: body, document) if present.search(document) else f"{document}\n{body}"
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document.rstrip("\n") + "\n")


def _machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {model[1] if model else platform.machine()}, {os.cpu_count()} CPUs shared with "
        f"other work, {platform.system()} {platform.release()}, Python {platform.python_version()}; {packages}."
    )
