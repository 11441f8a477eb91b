"""Installs what the server needs and the application's image lacks into /opt/sightglass/site, by that image's Python.

What it has stays as it is and is what ours is chosen to go with: each of its packages is a constraint. Run while the
image is built, with pip in /opt/pip: the application's environment need not have any.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

HERE = Path(__file__).resolve().parent
SITE = HERE / "site"
PIP = Path("/opt/pip")
LEAST_PYTHON = (3, 10)

sys.path.append(str(PIP))


def refuse(name: str, has: str, expected: str) -> None:
    """End with the line that says what of theirs cannot do, and what to change."""
    sys.exit(f"{name}=={has}: not allowed; expected {expected}, in the application's requirements")


def main(extras: str) -> None:
    """Install.

    Args:
        extras: of the library, besides `server`; separated by commas.

    Raises:
        SystemExit: the two do not go together; with a line that says what to change.

    """
    if sys.version_info[:2] < LEAST_PYTHON:
        refuse("python", ".".join(map(str, sys.version_info[:2])), "3.10 or later")
    theirs = {normal(one.metadata["Name"]): one for one in distributions() if one.metadata["Name"]}
    needed = list(requirements(["server", *filter(None, extras.split(","))]))
    for requirement in needed:
        too_old(requirement, theirs)
    constraints = HERE / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version_of(one)}\n" for name, one in theirs.items()))
    pip(f"--constraint={constraints}", *needed)
    if "fastapi" in theirs:
        pip("--no-deps", *requirements(["docs"], base=False))  # of which only files are used
    constraints.unlink()
    shutil.rmtree(SITE / "bin", ignore_errors=True)
    for one in distributions(path=[str(SITE)]):
        if normal(one.metadata["Name"]) in theirs:
            remove(one)


def pip(*arguments: str) -> None:
    """Install wheels into `SITE`.

    Raises:
        SystemExit: pip cannot; with its first reason in the line.

    """
    options = ("--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-compile", "--root-user-action=ignore")
    command = (sys.executable, "-B", "-m", "pip", "install", *options, "--only-binary=:all:", f"--target={SITE}")
    # Before any pip of theirs.
    environment = os.environ | {"PYTHONPATH": str(PIP)}
    installed = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        errors = [line.removeprefix("ERROR: ") for line in installed.stderr.splitlines() if line.startswith("ERROR: ")]
        sys.stderr.write(installed.stderr)
        refuse(
            "sightglass", "this", f"packages it can be installed beside ({errors[0] if errors else 'no reason given'})"
        )


def requirements(extras: list[str], *, base: bool = True) -> Iterator[str]:
    """Yield what pyproject.toml asks for; read by pip's parser, as Python has one since 3.11 only."""
    from pip._vendor import tomli as toml

    project = toml.loads((HERE / "pyproject.toml").read_text())["project"]
    if base:
        yield from project["dependencies"]
    for extra in extras:
        yield from project["optional-dependencies"][extra]


def too_old(requirement: str, theirs: dict[str, Distribution]) -> None:
    """Refuse a package of theirs that is below a floor of ours."""
    from pip._vendor.packaging.requirements import Requirement

    wanted = Requirement(requirement)
    has = theirs.get(normal(wanted.name))
    if has is not None and not wanted.specifier.contains(version_of(has), prereleases=True):
        refuse(normal(wanted.name), has.version, str(wanted.specifier))


def version_of(one: Distribution) -> str:
    """Return a version without its local part, which no index has."""
    return one.version.partition("+")[0]


def normal(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def remove(one: Distribution) -> None:
    """Remove a package that the application has itself."""
    for file in one.files or ():
        path = Path(str(one.locate_file(file)))
        path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == SITE or not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
