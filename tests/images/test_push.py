"""What is built is sent to a registry, as `make push` does."""

import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.registry import Registry, digest, layer

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def built(tmp_path: Path) -> Iterator[str]:
    """An image of this machine's own."""
    name = f"sightglass-push-{uuid.uuid4().hex[:8]}"
    archive = tmp_path / "root.tar"
    archive.write_bytes(layer(name=name.encode()))
    subprocess.run(["docker", "import", str(archive), name], capture_output=True, check=True)
    yield name
    names = subprocess.run(
        ["docker", "image", "inspect", "--format", '{{join .RepoTags " "}}', name],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    subprocess.run(["docker", "image", "rm", "--force", *names], capture_output=True, check=True)


def push(image: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", "push", f"IMAGE={image}", *arguments],
        cwd=ROOT, env=os.environ | {"SERVED_IMAGE": ""} | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_is_there_under_its_tag_and_told_by_its_digest(registry: Registry, built: str) -> None:
    image = registry.ref("team/app", "1.2")
    for _ in range(2):  # again, it changes nothing
        result = push(image, API_IMAGE=built)
        assert result.returncode == 0, result.stderr
        _, manifest = registry.manifests["team/app", "1.2"]
        assert result.stdout == f"{registry.ref('team/app', '@' + digest(manifest))}\n"
    (sent,) = json.loads(manifest)["layers"]
    assert sent["digest"] in registry.blobs


def test_what_is_served_is_sent(registry: Registry, built: str) -> None:
    """After `make up` laid the stack over an image of somebody's."""
    result = push(registry.ref("team/app", "1"), SERVED_IMAGE=built, API_IMAGE="none")
    assert result.returncode == 0, result.stderr


def test_what_is_not_built_is_said(registry: Registry) -> None:
    result = push(registry.ref("team/app", "1"), API_IMAGE="team/none")
    assert result.returncode != 0
    assert result.stderr.startswith("team/none: not built yet; run: make build\n")


def test_a_registry_that_refuses_is_said(registry: Registry, built: str) -> None:
    registry.fail("team/app", 403, part="blobs")
    result = push(registry.ref("team/app", "1"), API_IMAGE=built)
    assert result.returncode != 0
    assert "docker push" in result.stderr
    assert "denied" in result.stderr
    assert registry.manifests == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ("",),
        ("https://registry.example/app:1",),
        ("Team/App:1",),
        ("app:",),
        ("app:1 --all-tags",),
        ("registry.example/team/app@sha256:0",),
        ("team/app:1", "PLATFORMS=amd64"),
        ("team/app:1", "PLATFORMS=linux/amd64 --load"),
    ],
)
def test_a_name_that_is_none_is_refused_in_one_line(arguments: tuple[str, ...]) -> None:
    result = push(*arguments, API_IMAGE="team/none")
    assert result.returncode != 0
    (line,) = [line for line in result.stderr.splitlines() if not re.match(r"make(\[\d\])?: \*\*\*", line)]
    assert re.match(r"(IMAGE|PLATFORMS)=.*: not allowed; expected ", line)
