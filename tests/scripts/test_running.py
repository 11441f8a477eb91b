"""Nothing that was uploaded stays where Docker alone would leave it."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import running
from scripts.commands import checked


@pytest.fixture
def image() -> Iterator[str]:
    """An image of nothing: its containers are made and never started."""
    name = f"sightglass-test-nothing-{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "import", "-", name], input=bytes(10240), check=True, capture_output=True)
    yield name
    checked("docker", "image", "rm", name)


def volumes() -> set[str]:
    return set(checked("docker", "volume", "ls", "--quiet").split())


def test_a_volume_that_compose_has_handed_on_goes_with_the_container(image: str, tmp_path: Path) -> None:
    file = tmp_path / "compose.json"
    compose = ("docker", "compose", "--project-name", image, "--file", str(file))

    def made(colour: str) -> str:
        one = {"image": image, "command": ["/nothing"], "volumes": ["/tmp"], "environment": {"COLOUR": colour}}
        file.write_text(json.dumps({"services": {"one": one}}))
        checked(*compose, "create")
        return checked(*compose, "ps", "--all", "--quiet").strip()

    try:
        first = made("blue")
        (volume,) = running.nameless([first])
        second = made("red")
        assert second != first
        assert running.nameless([second]) == [volume]
        running.remove([second])
        assert volume not in volumes()
    finally:
        checked(*compose, "down", "--volumes")
