"""The one table of all benchmarks' figures."""

from pathlib import Path

import pytest

from bench import report
from bench.report import Figure, publish


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    pages = [tmp_path / "first.md", tmp_path / "second.md"]
    pages[0].write_text("# First\n\n## A\n\nold\n\n## B\n\nstays\n")
    pages[1].write_text("# Second\n\n## C\n\nold\n\n## D\n\nstays\n")
    monkeypatch.setattr(report, "DOCUMENTS", pages)
    monkeypatch.setattr(report, "_machine", lambda: "a machine")
    return pages


def rows(page: Path) -> list[list[str]]:
    """What the table says, without when."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")][:4] for line in lines]


def test_a_section_is_replaced_where_it_is_and_others_stay(pages: list[Path]) -> None:
    publish("A", "new")
    publish("C", "newer")
    publish("E", "another")
    assert "## A\n\na machine\n\nnew\n\n## B\n\nstays\n" in pages[0].read_text()
    assert "## E\n\na machine\n\nanother\n" in pages[0].read_text()
    assert pages[1].read_text() == "# Second\n\n## C\n\na machine\n\nnewer\n\n## D\n\nstays\n"


def test_figures_of_all_are_in_one_table_each_once(pages: list[Path]) -> None:
    publish("A", "new", [Figure("a request", "theirs", 0.354, "≤ 0.35"), Figure("a scrape", "theirs", 2)])
    publish("C", "new", [Figure("a text", "Presidio", 0.5)])
    publish("A", "newer", [Figure("a request", "theirs", 0.3, "≤ 0.35")])
    assert rows(pages[0]) == [
        ["a request", "theirs", "0.30", "≤ 0.35"],
        ["a scrape", "theirs", "2.00", ""],
        ["a text", "Presidio", "0.50", ""],
    ]
    assert rows(pages[1]) == []
