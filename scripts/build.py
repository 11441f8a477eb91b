"""Makes the image that is served: builds the API's, or pulls it, and lays the stack over one that is not of its own.

An image of the application's own, its Dockerfile's or a registry's, stays as it is under its name. What is served then
is another one made from it, whose name goes into `.env`, where Compose reads it. Standard library only.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import building, environment, images, pulling, releases
from scripts.commands import ROOT, CommandError, checked, say
from scripts.preflight import refusal

VARIABLES = (
    "API_IMAGE", "API_CONTEXT", "API_PYTHON", "APP_DIR", "CA_BUNDLE", "PIP_CONFIG_FILE", "PYTHON_IMAGE", "SERVED_IMAGE",
    "TELEMETRY", "TRACING_ENABLED",
)  # fmt: skip
OVERLAY = Path("docker/overlay")
NONE = "docker/build/none"
OWN_LINE = re.compile(rf"^(?:SERVED|SETUP)_IMAGE={images.LOCAL}/\S*\r?(?:\n|\Z)", re.MULTILINE)
LABEL = "org.opencontainers.image."
BASES = "bases"
"""What only one build at a time makes and uses: sightglass-build and sightglass-runtime."""
PIP = f"{images.LOCAL}/pip"
"""The same."""
WAITING = "another image is being built; waiting for it"
TRUE = ("true", "1", "yes", "on")
"""What a switch is on by, in small letters (sightglass/environment.py)."""
USER = "10001:10001"
"""Who runs an image that would run as root."""


@dataclass(frozen=True)
class Version:
    """What is served, as metrics and `/health` tell it; None leaves it to the image."""

    version: str | None = None
    revision: str | None = None
    created: str | None = None


class BuildError(Exception):
    """Why there is no image to serve, for people."""


def main() -> int:
    """Make the image.

    Returns:
        0; 1 with the reason on stderr.

    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--anew", action="store_true", help="even where a rollback has left an earlier release")
    given = environment.read(*VARIABLES)
    pinned = given.get("SERVED_IMAGE", "")
    if not arguments.parse_args().anew and releases.PIN.fullmatch(pinned) and images.present(pinned):
        say(f"{pinned}, as the last make rollback left it; make deploy builds anew")
        return 0
    image, context = given.get("API_IMAGE"), given.get("API_CONTEXT")
    own = not context or (ROOT / context).resolve() == ROOT
    try:
        if own and (context or not image):
            build_service(commit(ROOT / given["APP_DIR"]) if given.get("APP_DIR") else None)
            tell_compose({})
        else:
            name = image or "sightglass"
            # What they stand on has the same names for all of a user's installations, and is each one's own.
            with images.alone(BASES, WAITING) if context else nullcontext():
                if context:
                    build_theirs(given)
                else:
                    pull(name)
                served = lay_over(name, given)
            tell_compose(served)
    except (BuildError, CommandError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def commit(directory: Path) -> Version | None:
    """Return the version of a git checkout; None where it is none, or below one that is not its own."""

    def git(*arguments: str) -> str | None:
        command = ("git", "-c", "safe.directory=*", "-C", str(directory.expanduser()), *arguments)
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return result.stdout.strip() if result.returncode == 0 else None

    try:
        revision = git("rev-parse", "HEAD")
        # A directory that a checkout ignores, or of which it has no file, is not its.
        if revision is None or not git("ls-files", "."):
            return None
        return Version(git("describe", "--tags", "--always", "--dirty"), revision, git("log", "-1", "--format=%cI"))
    except FileNotFoundError:  # no git
        return None


def build_service(version: Version | None) -> None:
    """Build the shipped service, stamped with the last commit, not with now: the same code gives the same image."""
    version = version or commit(ROOT) or Version()
    # Without what a rollback has left in .env: that is no name to build under.
    quietly("docker", "compose", "build", "api", SERVED_IMAGE="", **as_arguments(version))


def build_theirs(given: Mapping[str, str]) -> None:
    """Build the application's own Dockerfile as it is."""
    # What it may stand on; Compose reads .env for itself, the plain build of these must be told.
    quietly(str(ROOT / "scripts" / "bases.sh"), **as_arguments(commit(ROOT) or Version()))
    version = commit(ROOT / given["API_CONTEXT"]) or Version()
    quietly("docker", "compose", "build", "api", SERVED_IMAGE="", **as_arguments(version))


def pull(image: str) -> None:
    """Make somebody else's image present; one that is, stays.

    Raises:
        BuildError: it cannot be pulled, or is a build of the shipped service.

    """
    if not images.present(image):
        result = pulling.Registries(say).pull(image)
        if result.outcome is not pulling.Outcome.PULLED:
            expected = "the name of an image that is here or can be pulled; to build one, API_CONTEXT too"
            raise BuildError(f"{refusal('API_IMAGE', image, expected)} ({result.reason})")
    elif "@" not in image and labels(image).get(LABEL + "title") == "sightglass":
        expected = "API_CONTEXT=. too: this is the shipped service, which is built, not pulled"
        raise BuildError(refusal("API_IMAGE", image, expected))


def lay_over(image: str, given: Mapping[str, str]) -> dict[str, str]:
    """Lay the stack over an image that knows nothing of it; give one that does its version.

    Returns:
        Variables for Compose.

    Raises:
        BuildError: the two do not go together, or a build failed.

    """
    inspected = inspect(image)
    config: dict[str, Any] = inspected["Config"]
    user = str(config.get("User") or "")
    version = version_of(image, given.get("API_CONTEXT"))
    prepared = any(":/opt/sightglass" in variable for variable in config.get("Env") or ())
    arguments = {
        "THEIRS": image,
        "API_USER": USER if re.fullmatch(r"(root|0)?(:.*)?", user) else user,
        "API_PYTHON": given.get("API_PYTHON", ""),
        "EXTRAS": "tracing" if (given.get("TRACING_ENABLED") or given.get("TELEMETRY", "")).lower() in TRUE else "",
        "VERSION": version.version or "",
        "REVISION": version.revision or "",
    }
    sources = sorted(path for path in (ROOT / "sightglass").rglob("*.py"))
    content = [path.read_bytes() for path in (*sources, *sorted((ROOT / OVERLAY).iterdir()), ROOT / "pyproject.toml")]
    made_from = hashlib.sha256(b"\0".join([inspected["Id"].encode(), str(arguments).encode(), *content]))
    served = f"{images.LOCAL}/app:{made_from.hexdigest()[:12]}"
    setup = f"{images.LOCAL}/setup:{hashlib.sha256((ROOT / 'Dockerfile').read_bytes()).hexdigest()[:12]}"
    if not images.present(setup):
        buildx(given, "--target=base", f"--tag={setup}")
    if not images.present(served):
        say(f"laying the stack over {image}")
        target = "stamped" if prepared else "overlay"
        files = (f"--file={OVERLAY / 'Dockerfile'}", f"--target={target}", f"--tag={served}")
        with nullcontext() if prepared else images.alone(PIP, WAITING):
            if not prepared:
                buildx(given, "--target=pip", f"--tag={PIP}")
            buildx(given, *files, *(f"--build-arg={name}={value}" for name, value in arguments.items()))
    return {"SERVED_IMAGE": served, "SETUP_IMAGE": setup}


def version_of(image: str, context: str | None) -> Version:
    """Tell the version by an image's labels, else by the commit it was built at, else by its tag."""
    of_base = labels("sightglass-runtime") if images.present("sightglass-runtime") else {}
    own = {name: value for name, value in labels(image).items() if of_base.get(name) != value}
    built = (commit(ROOT / context) if context else None) or Version()
    tag = re.search(r":([\w.-]+)(?:@sha256:\w+)?$", image)
    tagged = tag[1] if tag and tag[1] != "latest" else None
    version = own.get(LABEL + "version") or built.version or tagged or inspect(image)["Id"].partition(":")[2][:12]
    return Version(version, own.get(LABEL + "revision") or built.revision or "unknown")


def tell_compose(variables: Mapping[str, str]) -> None:
    """Write what is served into `.env`, and take back what is not any more."""
    env_file = Path(os.environ.get("COMPOSE_ENV_FILES") or ROOT / ".env")  # a deploy's, as long as it is none yet
    images.write_env(env_file, OWN_LINE.sub("", images.text_of(env_file)), dict(variables))


def buildx(given: Mapping[str, str], *arguments: str) -> None:
    """Build one image of a Dockerfile of ours."""
    python = given.get("PYTHON_IMAGE")
    quietly(
        "docker", "buildx", "build", "--load", *arguments, *([f"--build-arg=PYTHON_IMAGE={python}"] if python else []),
        f"--secret=id=ca_bundle,src={given.get('CA_BUNDLE') or NONE}",
        f"--secret=id=pip_conf,src={given.get('PIP_CONFIG_FILE') or NONE}",
        ".",
    )  # fmt: skip


def inspect(image: str) -> dict[str, Any]:
    """Return what the engine knows of an image."""
    found: dict[str, Any] = json.loads(checked("docker", "image", "inspect", image))[0]
    return found


def labels(image: str) -> dict[str, str]:
    """Return an image's labels, its base's included."""
    return inspect(image)["Config"].get("Labels") or {}


def as_arguments(version: Version) -> dict[str, str]:
    """Return the build arguments that tell a version, by environment as Compose takes them."""
    told = {"VERSION": version.version, "REVISION": version.revision, "CREATED": version.created}
    return {name: value for name, value in told.items() if value}


def quietly(*command: str, **variables: str) -> None:
    """Run a build, of which no more than a line now and then is shown.

    Raises:
        BuildError: it failed; with what its failing step said.

    """
    try:
        building.run(command, say, **{"BUILDKIT_PROGRESS": "plain"} | variables)
    except CommandError as error:
        raise BuildError(failing_step(error.written)) from None


def failing_step(log: str) -> str:
    """Return the end of a build's log: where one of ours refuses, its line alone, else what the failing step wrote."""
    refused = re.search(r"^[\d.# ]*(\S+: not allowed; .*)$", log, re.MULTILINE)
    if refused:
        return refused[1]
    # BuildKit repeats the step between two rules.
    _, rule, step = log.partition("\n------\n")
    return "\n".join((step if rule else log).strip().splitlines()[-40:])


if __name__ == "__main__":
    sys.exit(main())
