"""deploy/RUNBOOK.md's commands, as they stand there."""

import os
import re
from pathlib import Path

from scripts.cluster.processes import run
from tests.edge.containers import ROOT

PAGE = ROOT / "deploy/RUNBOOK.md"
IMAGES = ("registry/team/shop:1.2", "registry/team/shop:1.3")
"""What the page calls the application's image, and the next one."""
followed: set[str] = set()


def sections() -> dict[str, list[str]]:
    """Return the lines of each section's commands."""
    parts = re.split(r"^## (.*)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    blocks = {
        heading: re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {heading: "".join(found).splitlines() for heading, found in blocks.items() if found}


def looks(pod: str) -> list[str]:
    """Return the commands of the table of troubles, for a pod."""
    table = PAGE.read_text().partition("## When something is wrong")[2]
    return [found.replace("…", pod) for found in re.findall(r"`(kubectl -n [^`]+)`", table)]


def follow(heading: str, place: Path, *, among: slice = slice(None), **names: str) -> str:
    """Run a section's commands, or some of them, in a directory that has what they name; returns what they print.

    `names` are what the page leaves open: NODE, REVISION.
    """
    lines = sections()[heading][among]
    followed.update(lines)
    commands = "\n".join([f"cd {place}", *(f"{name}={value}" for name, value in names.items()), *lines])
    return run("bash", "-euo", "pipefail", "-c", commands, seconds=900)


def prepare(place: Path) -> None:
    """Make the repository's directory be where the commands run."""
    (place / "deploy").symlink_to(os.path.relpath(ROOT / "deploy", place.resolve()))
