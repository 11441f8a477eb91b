"""Which version is told of what is served, and what is said of a build that fails."""

import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event, Thread

import pytest

from scripts import build, environment, images
from scripts.build import Version, commit, failing_step
from sightglass.environment import _TRUTH

GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")


def git(directory: Path, *arguments: str) -> str:
    result = subprocess.run([*GIT, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A checkout of somebody's."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("app = None\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all of it")
    return tmp_path


def test_a_checkout_has_its_commit_and_says_what_was_changed(shop: Path) -> None:
    head = git(shop, "rev-parse", "HEAD")
    for directory in (shop, shop / "code"):
        version = commit(directory)
        assert version is not None
        assert (version.version, version.revision) == (git(shop, "rev-parse", "--short", "HEAD"), head)
    git(shop, "tag", "v7.1")
    (shop / "code" / "main.py").write_text("app = 1\n")
    version = commit(shop)
    assert version is not None
    assert version.version == "v7.1-dirty"


def test_a_directory_of_another_checkout_has_none(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (shop / "vendored").mkdir()
    assert commit(shop / "vendored") is None
    assert commit(tmp_path_factory.mktemp("plain")) is None
    assert commit(shop / "absent") is None


LABEL = "org.opencontainers.image."
BASE = {LABEL + "version": "2.0", LABEL + "revision": "aaa"}


@pytest.mark.parametrize(
    ("image", "labels", "expected"),
    [
        ("team/app:1.0", {LABEL + "version": "7.1", LABEL + "revision": "bbb"}, Version("7.1", "bbb")),
        ("team/app:1.0", {LABEL + "version": "7.1"}, Version("7.1", "unknown")),
        ("team/app:1.0", BASE, Version("1.0", "unknown")),  # of the base it is built on
        ("registry:5000/team/app:1.0", {}, Version("1.0", "unknown")),
        ("registry:5000/team/app", {}, Version("0123456789ab", "unknown")),
        ("team/app:latest", {}, Version("0123456789ab", "unknown")),
        ("team/app@sha256:0123", {}, Version("0123", "unknown")),
    ],
)
def test_an_image_tells_its_own_version(
    monkeypatch: pytest.MonkeyPatch, image: str, labels: dict[str, str], expected: Version
) -> None:
    told = {"sightglass-runtime": BASE, image: labels}
    monkeypatch.setattr(images, "present", lambda image: True)
    monkeypatch.setattr(build, "labels", lambda image: told[image])
    monkeypatch.setattr(build, "inspect", lambda image: {"Id": "sha256:0123456789abcdef"})
    assert build.version_of(image, None) == expected


def test_an_image_built_from_a_checkout_tells_its_commit(monkeypatch: pytest.MonkeyPatch, shop: Path) -> None:
    monkeypatch.setattr(images, "present", lambda image: False)
    monkeypatch.setattr(build, "labels", lambda image: {})
    assert build.version_of("shop", str(shop)).revision == git(shop, "rev-parse", "HEAD")


PIP = "0.7 ERROR: No matching distribution found for nothing-of-this-name"
STEP = f"> [2/2] RUN pip install:\n{PIP}\n------\nfailed to solve"
LOG = f"#1 reading\n#2 [2/2] RUN pip install\n#2 {PIP}\n------\n {STEP}\n"
REFUSED = "starlette==0.20.4: not allowed; expected >=0.27, in the application's requirements"


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (LOG, STEP),
        ("no such file\n", "no such file"),
        ("\n".join(map(str, range(100))), "\n".join(map(str, range(60, 100)))),
        (f"#9 1.234 {REFUSED}\n------\n > x\n", REFUSED),
    ],
)
def test_a_build_that_fails_says_why(log: str, shown: str) -> None:
    assert failing_step(log) == shown


def test_a_switch_is_on_by_the_same_words_as_in_the_container() -> None:
    assert {word for word, on in _TRUTH.items() if on} == set(build.TRUE)


def test_what_images_stand_on_is_no_other_installations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whose names all installations share: of two that build at once, one waits until the other's image is made."""
    done, waits = [], Event()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["build.py"])
    monkeypatch.setattr(images, "say", lambda _: waits.set())
    monkeypatch.setattr(environment, "read", lambda *_: {"API_CONTEXT": "../shop"})
    monkeypatch.setattr(build, "build_theirs", lambda _: done.append("built"))
    monkeypatch.setattr(build, "lay_over", lambda *_: done.append("laid over"))
    monkeypatch.setattr(build, "tell_compose", lambda _: None)
    other = Thread(target=build.main)
    with images.alone(build.BASES, ""):
        other.start()
        assert waits.wait(30)
        done.append("another's")
    other.join(30)
    assert done == ["another's", "built", "laid over"]


def test_what_a_rollback_has_left_is_no_name_to_build_under(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str] = {}
    monkeypatch.setattr(build, "quietly", lambda *command, **variables: told.update(variables))
    build.build_service(Version("7.1", "bbb"))
    assert told == {"SERVED_IMAGE": "", "VERSION": "7.1", "REVISION": "bbb"}
