"""docs/runbook.md, a panel an alert: what to do, where the alerts are looked at."""

import re
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.panels import Panel, Row, board, prose
from monitoring.slo import Objectives

DOCS = Path(__file__).resolve().parents[2] / "docs"
LINE = 130
"""Characters that fit beside each other."""


def build(_objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    first, *sections = re.split(r"^## ", (DOCS / "runbook.md").read_text(), flags=re.MULTILINE)
    general = _section("How to use it", first.partition("\n")[2])
    return board(
        "runbook",
        "Runbook",
        "What to do about each alert: docs/runbook.md.",
        (
            Row("All alerts", (general,)),
            Row("By alert", [_section(*re.split(r"\n+", section, maxsplit=1)) for section in sections]),
        ),
    )


def _section(title: str, text: str) -> Panel:
    # Files of the repository are nowhere in Grafana.
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text).strip()
    lines = sum(1 + len(line) // LINE for line in text.splitlines())
    return prose(title, f"Section {title} of docs/runbook.md.", text, h=3 + lines * 2 // 3)
