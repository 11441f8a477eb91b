"""What the documents point at is there."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from scripts.preflight import MOVED, RENAMED
from scripts.start import NO_LONGER_MOUNTED

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "deploy" / "RUNBOOK.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_link_that_names_a_page_leads_to_it(document: Path) -> None:
    for name, target in re.findall(r"\[`?([\w./-]+\.md)`?\]\(([^)\s#]+)", document.read_text()):
        assert Path(name).name == Path(target).name, name


def test_the_readme_fits_two_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120  # of 60 lines


@pytest.mark.parametrize("name", ["README.md", "docs/your-app.md"])
def test_the_oldest_packages_are_said(name: str) -> None:
    """That of FastAPI is the oldest that tests/server/test_floors.py has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = dict(line.split(">=") for line in [*project["dependencies"], *extras["server"], *extras["tracing"]])
    floors = re.search(r"fastapi==([\d.]+)\.0\"", (ROOT / "tests" / "server" / "test_floors.py").read_text())
    assert floors is not None
    said = (ROOT / name).read_text()
    assert f"Python {project['requires-python'].removeprefix('>=')}" in said
    assert extras["fastapi"] == [f"fastapi>={floors[1]}"]
    assert f"FastAPI {floors[1]}" in said
    assert f"OpenTelemetry {asked['opentelemetry-sdk']}" in said
    for package in ("Starlette", "prometheus-client", "python-json-logger"):
        assert f"{package} {asked[package.lower()]}" in said


def test_the_example_is_shown_as_it_is() -> None:
    assert (ROOT / "examples" / "shop" / "Dockerfile").read_text() in (ROOT / "docs" / "your-app.md").read_text()


def test_the_changelog_begins_with_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    (latest, *_) = re.findall(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert latest == version
    hardened = yaml.safe_load((ROOT / "docker" / "hardened.yml").read_text())["services"]["hardened"]
    assert hardened["labels"] == {"sightglass.version": version}  # an upgrade replaces every container


def test_every_name_that_is_refused_or_goes_is_in_the_changelog() -> None:
    latest = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1]
    for old, new in (RENAMED | MOVED).items():
        assert f"`{old}` | `{new}`" in latest
    for volume, variable in NO_LONGER_MOUNTED.items():
        assert f"`{volume}`" in latest
        assert f"`{variable}`" in latest


def test_every_alert_of_the_readme_exists() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "docker" / "prometheus" / "rules").glob("*.yml"))
    for name in re.findall(r"`([A-Z]\w+)` in \[rules\]", (ROOT / "README.md").read_text()):
        assert f"alert: {name}\n" in rules
