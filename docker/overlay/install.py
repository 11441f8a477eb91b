"""Installs what the server needs and the application's image lacks into /opt/sightglass/site, by that image's Python.

What it has stays as it is and is what ours is chosen to go with: each of its packages is a constraint, and none is
installed a second time. Run while the image is built, with pip in /opt/pip, as the application's environment need not
have any.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

HERE = Path(__file__).resolve().parent
SITE = HERE / "site"
PIP = Path("/opt/pip")
LEAST_PYTHON = (3, 10)

sys.path.append(str(PIP))


def refuse(name: str, has: str, expected: str) -> None:
    """End with the line that says what of theirs cannot do, and what to change."""
    where = "image" if name == "python" else "requirements"
    sys.exit(f"{name}=={has}: not allowed; expected {expected}, in the application's {where}")


def main(extras: str) -> None:
    """Install.

    Args:
        extras: of the library, besides `server`; separated by commas.

    Raises:
        SystemExit: the two do not go together; with a line that says what to change.

    """
    if sys.version_info[:2] < LEAST_PYTHON:
        refuse("python", ".".join(map(str, sys.version_info[:2])), "3.10 or later")
    theirs = installed()
    needed = list(requirements(["server", *filter(None, extras.split(","))]))
    floors(theirs, [*needed, *requirements(["fastapi"], base=False)])
    constraints = HERE / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version_of(one)}\n" for name, one in theirs.items()))
    # Asked without a target, pip leaves out what is there, whether or not there is a wheel of that.
    report = json.loads(pip("--dry-run", "--report=-", f"--constraint={constraints}", *needed))
    lacking = [f"{one['metadata']['name']}=={one['metadata']['version']}" for one in report["install"]]
    if "fastapi" in theirs:
        lacking += requirements(["docs"], base=False)  # of which only files are used
    if lacking:
        pip(f"--target={SITE}", "--no-deps", *lacking)
    constraints.unlink()
    shutil.rmtree(SITE / "bin", ignore_errors=True)


def installed() -> dict[str, Distribution]:
    """Return the application's packages by name; of several of one name the one that is imported."""
    found = [(normal(one.metadata["Name"]), one) for one in distributions() if one.metadata["Name"]]
    return dict(reversed(found))


def floors(theirs: dict[str, Distribution], wanted: Iterable[str]) -> None:
    """Refuse the first package of theirs that is below what is wanted of it.

    Raises:
        SystemExit: there is one; with a line that says what to change.

    """
    for requirement in wanted:
        too_old(requirement, theirs)


def pip(*arguments: str) -> str:
    """Install wheels, or say which ones are to be.

    Returns:
        What pip prints.

    Raises:
        SystemExit: pip cannot; with its reason in the line.

    """
    options = ("--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-compile", "--root-user-action=ignore")
    command = (sys.executable, "-B", "-m", "pip", "install", *options, "--only-binary=:all:")
    # Before any pip of theirs.
    path = os.pathsep.join(filter(None, (str(PIP), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path}
    result = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.stderr.write(result.stderr)
        refuse(*reason(result.stderr))
    return result.stdout


def reason(said: str) -> tuple[str, str, str]:
    """Return what cannot do, by what pip says, and what is expected: `refuse`'s arguments."""
    if missing := re.search(r"^ERROR: No matching distribution found for (\S+)", said, re.MULTILINE):
        return "python", interpreter(), f"one that there is a wheel of {missing[1]} for"
    first = re.search(r"^ERROR: (.*)", said, re.MULTILINE)
    return "sightglass", "this", f"packages it can be installed beside ({first[1] if first else 'no reason given'})"


def interpreter() -> str:
    """Name this Python by what its wheels are chosen by: version, processor, C library (``3.14-x86_64-linux-musl``)."""
    kind = sysconfig.get_config_var("MULTIARCH") or sysconfig.get_platform()
    return f"{sys.version_info[0]}.{sys.version_info[1]}-{kind}"


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


if __name__ == "__main__":
    if sys.argv[1:] == ["--floors"]:  # only look: what it needs is there already (docker/adopted/Dockerfile)
        floors(installed(), requirements(["server", "fastapi"]))
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "")
