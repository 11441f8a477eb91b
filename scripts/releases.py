"""Keeps what was released: which image, when, by whom and with which settings, so that it can be brought back.

A release is a directory below `.releases/`: its record, and the `.env` and the application's variables it ran by, which
only their owner may read. Its image has a tag of its own, so that no clean-up takes it. As a program, lists them.
Standard library only.
"""

import argparse
import getpass
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import environment, hooks, images, running
from scripts.commands import ROOT, CommandError, checked, run
from scripts.preflight import refusal
from scripts.running import named

KEPT = 5
"""Releases that are kept, those served last."""
NOT_SETTINGS = {"SERVED_IMAGE", "SETUP_IMAGE", "API_IMAGE", "API_CONTEXT"}
"""Variables by which an image is named: what of it changed, the image says."""
LABEL = "org.opencontainers.image."
SITE_ENV, APP_ENV = "site.env", "app.env"
"""What the application's own variables are kept as, in the order in which Compose reads them."""
PIN = re.compile(rf"{re.escape(images.LOCAL)}/[a-z0-9_-]+-release:\d+")
"""The tag of a release's image, which SERVED_IMAGE holds after a rollback."""


class ReleaseError(Exception):
    """What is wrong with the releases, for people."""


@dataclass
class Release:
    """One release.

    Attributes:
        number: counted from 1.
        image: what was asked for: a registry's image by its digest, or the name of what was built.
        image_id: the image that is served, as the engine knows it.
        version: of the application, as `/health` tells it.
        revision: its commit.
        before: the number of the one it took the place of; None for the first.
        changed: names of the settings that were others before; never their values.
        served: when (UTC, ISO 8601) and by whom it was put to work, each time.

    """

    number: int
    image: str
    image_id: str
    version: str
    revision: str
    before: int | None
    changed: list[str]
    served: list[list[str]] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return directory() / str(self.number)

    @property
    def env(self) -> Path:
        """The `.env` it ran by."""
        return self.directory / "env"

    @property
    def app_env(self) -> Path:
        """The application's own variables; the file is missing where there were none."""
        return self.directory / APP_ENV

    @property
    def site_env(self) -> Path:
        """Those in SITE_DIR, empty where there were none; missing where they were not read, or not kept in 2.0.0."""
        return self.directory / SITE_ENV

    def write(self) -> None:
        """Write its record, in one step."""
        new = self.directory / "new.json"
        new.write_text(json.dumps(asdict(self), indent=2) + "\n")
        new.replace(self.directory / "release.json")


def directory() -> Path:
    """Return where all of them are."""
    return ROOT / ".releases"


def under_way() -> Path:
    """Return the file that names, as long as replicas are replaced, those that ran before."""
    return directory() / "under-way"


def load() -> list[Release]:
    """Return all releases, by their numbers.

    Raises:
        ReleaseError: a record cannot be read.

    """
    found = sorted((path for path in directory().glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
    return [_read(path) for path in found]


def _read(path: Path) -> Release:
    try:
        told = json.loads((path / "release.json").read_text())
        release = Release(**told)
        if release.number != int(path.name) or not all(len(one) == 2 for one in release.served) or not release.served:
            raise ValueError("it is another release's, or was never served")
        for when, _ in release.served:
            datetime.fromisoformat(when)
    except (OSError, ValueError, TypeError) as error:
        name = (path / "release.json").relative_to(ROOT)
        raise ReleaseError(f"{name}: cannot be read ({error}); to go on without it: rm -r {name.parent}") from None
    return release


def current(releases: Sequence[Release]) -> Release | None:
    """Return the one that was put to work last."""
    return max(releases, key=lambda release: release.served[-1][0], default=None)


def choose(releases: Sequence[Release], to: str) -> Release:
    """Return the release a rollback is to: the one named, or the one that the current one took the place of.

    Raises:
        ReleaseError: there is none, or its image is gone.

    """
    now = current(releases)
    numbers = [str(release.number) for release in releases if release is not now]
    wanted = to or str(now.before if now else None)
    if wanted not in numbers:
        kept = f"one of {', '.join(numbers)}" if numbers else "another release, of which none is kept"
        raise ReleaseError(refusal("TO", to, kept) if to else f"the current release took no other's place; TO: {kept}")
    (release,) = (release for release in releases if str(release.number) == wanted)
    if not images.present(tag(release.number)):
        raise ReleaseError(f"release {wanted}: its image {tag(release.number)} is gone")
    return release


def tag(number: int) -> str:
    """Return the name under which a release's image is kept."""
    return f"{images.LOCAL}/{running.project()}-release:{number}"


def record(image: str, image_id: str, env: Path, *, who: str = "") -> Release:
    """Keep what is served now as a new release, and remove those beyond the last five.

    Args:
        image: what was asked for.
        image_id: the image of the replicas that serve.
        env: the `.env` they were started by.
        who: put it to work; empty for whoever runs this.

    Raises:
        ReleaseError: an earlier record cannot be read.
        CommandError: the image cannot be tagged.

    """
    earlier = load()
    last = current(earlier)
    inside = json.loads(checked("docker", "image", "inspect", image_id))[0]["Config"]
    told = dict(variable.split("=", 1) for variable in inside.get("Env") or [] if "=" in variable)
    labels = inside.get("Labels") or {}
    release = Release(
        number=max((one.number for one in earlier), default=0) + 1,
        image=image,
        image_id=image_id,
        version=told.get("SIGHTGLASS_APP_VERSION") or labels.get(f"{LABEL}version", "unknown"),
        revision=told.get("SIGHTGLASS_APP_REVISION") or labels.get(f"{LABEL}revision", "unknown"),
        before=last.number if last else None,
        changed=[],
    )
    directory().mkdir(mode=0o700, exist_ok=True)
    directory().chmod(0o700)
    release.directory.mkdir(mode=0o700, exist_ok=True)
    _copy(env, release.env)
    for name, path in app_files().items():
        if path.is_file() or name == SITE_ENV:
            _copy(path, release.directory / name)
    if last:
        release.changed = changed(last, release)
    checked("docker", "tag", image_id, tag(release.number))
    serve(release, earlier, who)
    prune([*earlier, release])
    return release


def serve(release: Release, kept: Sequence[Release], who: str = "") -> None:
    """Note that a release is put to work now: after all that are kept, however far ahead the clock was for those."""
    now = datetime.now(UTC)
    last = max((when for one in kept for when, _ in one.served), default="")
    if _written(now) <= last:
        now = datetime.fromisoformat(last).astimezone(UTC) + timedelta(microseconds=1)
    release.served.append([_written(now), who or os.environ.get("SUDO_USER") or getpass.getuser()])
    release.write()


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def prune(releases: Sequence[Release]) -> None:
    """Remove all but those served last, their images too where nothing else uses them."""
    for release in sorted(releases, key=lambda one: one.served[-1][0])[:-KEPT]:
        run("docker", "image", "rm", tag(release.number))
        shutil.rmtree(release.directory)


def changed(one: Release, other: Release) -> list[str]:
    """Return the names of the settings, the application's own too, in which two releases differ."""
    names = set()
    of_app = (_of_app(release.site_env, release.app_env) for release in (one, other))
    for (old, new), ignored in (((variables(one.env), variables(other.env)), NOT_SETTINGS), (of_app, set[str]())):
        names |= {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)} - ignored
    return sorted(names)


def _of_app(*paths: Path) -> dict[str, str]:
    return {name: value for path in paths for name, value in variables(path).items()}


def variables(path: Path) -> dict[str, str]:
    """Return what stands behind each name of a file of variables, the last line counting; nothing without the file."""
    text = images.text_of(path)
    return dict(re.findall(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=[ \t]*(.*?)[ \t\r]*$", text, re.MULTILINE))


def app_files() -> dict[str, Path]:
    """Return the files of the application's own variables that Compose reads, by the names they are kept under.

    They need not be there; what stands in a later one counts.
    """
    given = environment.read("APP_ENV_FILE", "SITE_DIR")
    if named := given.get("APP_ENV_FILE"):
        return {APP_ENV: ROOT / Path(named).expanduser()}
    return {SITE_ENV: hooks.directory(given) / "app.env", APP_ENV: ROOT / "app.env"}


def note(image_id: str, image: str, *, settings: bool, who: str = "") -> None:
    """Keep what runs, unless it is the current release: the same image and, where they count, the same settings."""
    last = current(load())
    if last and last.image_id == image_id:
        pairs = [(ROOT / ".env", last.env), *((path, last.directory / name) for name, path in app_files().items())]
        if not settings or all(_as_set(here) == _as_set(there) for here, there in pairs):
            return
    record(image, image_id, ROOT / ".env", who=who)


def _as_set(path: Path) -> dict[str, str]:
    return {name: value for name, value in variables(path).items() if name not in NOT_SETTINGS}


def _copy(source: Path, target: Path) -> None:
    """Copy a file that nobody else may read."""
    target.touch(mode=0o600)
    target.write_bytes(source.read_bytes() if source.exists() else b"")


def table(releases: Sequence[Release]) -> str:
    """Return the list for people, the last one served first."""
    now = current(releases)
    lines = [f"  {'TO':>3}  {'served':<20}  {'by':<12}  {'version':<20}  image"]
    for release in sorted(releases, key=lambda one: one.served[-1][0], reverse=True):
        when, who = release.served[-1]
        mark = "*" if release is now else " "
        lines.append(f"{mark} {release.number:>3}  {when[:19]}Z  {who:<12}  {release.version:<20}  {release.image}")
        if release.revision not in ("unknown", release.version):
            lines.append(f"       commit {release.revision}")
        if release.changed:
            lines.append(f"       settings changed: {', '.join(release.changed)}")
        if len(release.served) > 1:
            lines.append(f"       first served {release.served[0][0][:19]}Z by {release.served[0][1]}")
    return "\n".join(lines)


def main() -> int:
    """List the releases, or note what runs.

    Returns:
        0; 1 with the reason on stderr.

    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--note", action="store_true", help="keep what runs, unless it is the current release")
    options = arguments.parse_args()
    try:
        if options.note:
            ids = checked(*named("ps", "--quiet", "api")).split()
            if ids:
                container: dict[str, Any] = json.loads(checked("docker", "inspect", ids[0]))[0]
                note(container["Image"], asked_for(), settings=True)
            under_way().unlink(missing_ok=True)  # after `make up` all are as Compose was asked for
            return 0
        releases = load()
        print(table(releases) if releases else "no release yet: make deploy")
    except (ReleaseError, CommandError) as error:
        print(f"releases: {error}", file=sys.stderr)
        return 1
    return 0


def asked_for() -> str:
    """Return the image that the settings ask for."""
    return environment.read("API_IMAGE").get("API_IMAGE") or "sightglass"


if __name__ == "__main__":
    sys.exit(main())
