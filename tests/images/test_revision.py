"""An image built by plain Compose knows the commit it was built at, where git is there."""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.images import choose
from tests.stack import docker

ROOT = Path(__file__).resolve().parent.parent.parent
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What names the base image where it is not the default."""
    _, image = choose(tmp_path_factory.mktemp("images"))
    return ["--build-arg", f"PYTHON_IMAGE={image}"] if image else []


@pytest.fixture
def tag() -> Iterator[str]:
    name = f"sightglass-test-{uuid.uuid4().hex[:8]}"
    yield name
    subprocess.run(["docker", "image", "rm", name], capture_output=True, check=False)


def git(directory: Path, *arguments: str) -> str:
    result = subprocess.run([*GIT, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def commit(directory: Path, branch: str = "main") -> str:
    git(directory, "init", "-q", "-b", branch)
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "all of it")
    return git(directory, "rev-parse", "HEAD")


def noted(directory: Path, base: list[str], tag: str) -> str:
    """Return what the build's stage for it writes."""
    docker("buildx", "build", "--load", "--quiet", "--target", "revision", "--tag", tag, *base, str(directory))
    return docker("run", "--rm", "--network", "none", tag, "cat", "/REVISION").strip()


@pytest.mark.parametrize("state", ["branch", "branch/of/mine", "packed", "detached", "later", "none", "worktree"])
def test_the_commit_is_noted_where_git_is(tmp_path: Path, base: list[str], tag: str, state: str) -> None:
    directory = tmp_path / "tree"
    directory.mkdir()
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, directory)
    expected = ""
    if state != "none":
        expected = commit(directory, state if state.startswith("branch") else "main")
    if state == "packed":
        git(directory, "pack-refs", "--all")
        assert not (directory / ".git" / "refs" / "heads" / "main").exists()
    elif state == "detached":
        git(directory, "checkout", "-q", "--detach")
    elif state == "later":
        git(directory, "pack-refs", "--all")
        git(directory, "commit", "-qm", "and more", "--allow-empty")
        expected = git(directory, "rev-parse", "HEAD")
    elif state == "worktree":  # its `.git` is a file that names a directory elsewhere
        git(directory, "worktree", "add", "-q", str(tmp_path / "other"))
        directory, expected = tmp_path / "other", ""
    assert noted(directory, base, tag) == expected


def test_nothing_else_of_the_repository_is_sent_to_the_builder(tmp_path: Path, base: list[str], tag: str) -> None:
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path)
    commit(tmp_path)
    git(tmp_path, "remote", "add", "origin", "https://user:secret@example.org/")
    noted(tmp_path, base, tag)
    found = docker("run", "--rm", "--network", "none", tag, "find", "/git", "-type", "f").split()
    assert sorted(found) == ["/git/HEAD", "/git/refs/heads/main"]
