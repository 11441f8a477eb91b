"""Draws dashboards by Grafana's own packages (monitoring/draw), and says what is seen."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stack import ROOT

PICTURES = ROOT / "artifacts/dashboards"


@dataclass(frozen=True)
class Drawing:
    """What the drawing tool says: its exit status, its faults, and what each panel shows, by dashboard."""

    status: int
    faults: list[str]
    reports: dict[str, Any]

    def panel(self, dashboard: str, title: str) -> dict[str, Any]:
        """Return what one panel shows.

        Raises:
            ValueError: no panel, or more than one, has this title.

        """
        (panel,) = (one for one in self.reports[dashboard]["panels"] if one["title"] == title)
        return dict(panel)


def draw(prometheus: str, *paths: Path, to: float, minutes: float, out: Path, options: tuple[str, ...] = ()) -> Drawing:
    """Draw dashboards over the ``minutes`` before ``to`` (seconds since the epoch) into PNG files in ``out``.

    Raises:
        RuntimeError: they could not be drawn at all; with the reason.

    """
    report = out / "report.json"
    command = [
        "node", str(ROOT / "monitoring/draw/draw.mjs"), "--prometheus", prometheus, "--to", str(to),
        "--minutes", str(minutes), "--out", str(out), "--report", str(report), "--open", *options, *map(str, paths),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode not in {0, 1}:
        raise RuntimeError(result.stderr)
    return Drawing(result.returncode, result.stdout.splitlines(), json.loads(report.read_text()))
