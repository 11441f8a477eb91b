"""Looks at a project and writes the lines of `.env` that have it served: `make adopt DIR=../shop`.

Says what it found, what it could not tell, and each line it writes; what is set already stays. Where this directory is
inside of the project, as a submodule, what is the project's goes into its directory `ops`, with a `.env` to which that
of this directory becomes a link. Standard library only.
"""

import argparse
import os
import re
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import hooks, images
from scripts.commands import ROOT, say, step
from scripts.preflight import STACK, refusal
from scripts.project import FRAMEWORKS, Candidate, Project, normal

OPS = "ops"
"""The directory of a project with this one as a submodule that holds what is the stack's."""
ADOPTED = Path("docker/adopted/Dockerfile")
"""Builds a project that has no Dockerfile."""
"""Which nothing of ours asks for, as not every application is one of FastAPI's."""
SET = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*[=:]\s*(.*?)\s*$", re.MULTILINE)


class AdoptError(Exception):
    """Why nothing is written, for people."""


def main() -> int:
    """Adopt what the command line names.

    Returns:
        0; 1 with the reason on stderr, and nothing written, where it is not clear what to serve; 2 where there is no
        project.

    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", help="the project")
    parser.add_argument("--app", default="", help="what to serve, where there are several: module:attribute")
    options = parser.parse_args()
    directory = ROOT / Path(options.directory).expanduser()
    if not options.directory or not directory.is_dir():
        expected = "the directory of your application: make adopt DIR=../shop"
        print(refusal("DIR", options.directory, expected), file=sys.stderr)
        return 2
    project = Project(directory)
    if project.directory == ROOT:
        print(refusal("DIR", options.directory, "another directory: this one is Sightglass's own"), file=sys.stderr)
        return 2
    try:
        chosen = choose(project, options.app)
        lines = variables(project, chosen)
    except AdoptError as error:
        print(error, file=sys.stderr)
        return 1
    tell(project, chosen)
    write(project, lines)
    return 0


def choose(project: Project, app: str) -> Candidate:
    """Return what to serve.

    Raises:
        AdoptError: there is nothing, or several and none is named.

    """
    candidates = project.chosen()
    if app:
        return next(
            (one for one in project.candidates if one.app == app), Candidate(app, "as you say", project.directory)
        )
    if not candidates:
        known = ", ".join(sorted(set(FRAMEWORKS.values())))
        raise AdoptError(
            f"{shown(project.directory)}: no application of {known} is made in its {len(project.files)} Python files; "
            "name yours: make adopt DIR=… APP=module:attribute"
        )
    if len(candidates) > 1:
        listed = "\n".join(f"    APP={one.app}    {one.framework}, {kind(one)}" for one in candidates)
        raise AdoptError(
            f"{shown(project.directory)}: {len(candidates)} applications; choose: make adopt DIR=… APP=…\n{listed}"
        )
    return candidates[0]


def variables(project: Project, chosen: Candidate) -> dict[str, str]:
    """Return what `.env` must say, in its order.

    Raises:
        AdoptError: nothing says how to install its framework.

    """
    name = re.sub(r"[^a-z0-9_-]+", "-", project.directory.name.lower()).strip("-_") or "app"
    lines = {"APP": chosen.app}
    if project.dockerfile:
        lines |= {"API_CONTEXT": shown(project.directory), "API_IMAGE": name}
        if project.dockerfile != project.directory / "Dockerfile":
            lines["API_DOCKERFILE"] = str(project.dockerfile.relative_to(project.directory))
    elif enough(project, chosen):
        lines["APP_DIR"] = shown(chosen.root)
    elif (package := unlisted(project, chosen)) and project.tool is None:
        raise AdoptError(
            f"{shown(project.directory)}: nothing says which packages it asks for; "
            f"expected a requirements.txt with {package} in it"
        )
    else:
        lines |= {"API_CONTEXT": shown(project.directory), "API_IMAGE": name}
        lines["API_DOCKERFILE"] = os.path.relpath(ROOT / ADOPTED, project.directory)
    return lines | {"APP_NAME": name[:63], "JOBS_REPLICAS": "0"}


def pinned() -> dict[str, str]:
    """Return the versions of the packages in the service's image."""
    text = "".join((ROOT / "requirements" / f"{which}.txt").read_text() for which in ("runtime", "service"))
    return {normal(name): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)}


def enough(project: Project, chosen: Candidate) -> bool:
    """Say whether the service's image has the framework and what else a project asks for, in the version it pins."""
    has = pinned()
    asked = all(name in has and has[name] == project.versions.get(name, has[name]) for name in project.packages)
    return asked and unlisted(project, chosen) is None


def unlisted(project: Project, chosen: Candidate) -> str | None:
    """Name the framework's package where neither the service's image has it nor the project lists it."""
    package = normal(chosen.framework)
    listed = pinned().keys() | project.packages | project.versions.keys()
    return package if chosen.framework in FRAMEWORKS.values() and package not in listed else None


def too_old(project: Project) -> list[str]:
    """Return what is pinned below what the server goes with (pyproject.toml), a line each."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = table["optional-dependencies"]
    wanted = [*extras["fastapi"], *table["dependencies"], *extras["server"]]
    found = []
    for requirement in wanted:
        name, _, floor = requirement.partition(">=")
        has = project.versions.get(normal(name))
        if has is not None and release(has) < release(floor):
            found.append(f"{normal(name)} {has}; expected {floor} or later, else the image is not built")
    return found


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version (PEP 440), whatever comes after them."""
    numbers = [int(one) for one in re.match(r"\d*(?:\.\d+)*", version.rpartition("!")[2])[0].split(".") if one]  # type: ignore[index]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def kind(one: Candidate) -> str:
    """Say what a candidate is."""
    return "a function that makes it" if one.factory else "an application"


def tell(project: Project, chosen: Candidate) -> None:
    """Say what was found, and what could not be told."""
    step(f"found in {shown(project.directory)}")
    version = project.versions.get(normal(chosen.framework))
    say(f"framework   {chosen.framework}{f' {version}' if version else ''}")
    say(f"app         {chosen.app}, {kind(chosen)}")
    if project.dockerfile:
        say(f"image       built by its {project.dockerfile.relative_to(project.directory)}, as it is")
    elif enough(project, chosen):
        say("image       none: its code is mounted, and the stack's image has the packages it asks for")
    else:
        say(f"image       built by {ADOPTED} from {project.tool}: it has no Dockerfile of its own")
    for line in too_old(project):
        say(f"too old     {line}")
    if project.ports:
        say(f"port        {', '.join(map(str, project.ports))}; of no matter: it is served behind NGINX, on HTTPS_PORT")
    if project.variables:
        say(f"variables   {', '.join(project.variables)}; into {shown(site(project) / 'app.env')}")
    for need in project.needs:
        say(f"needs       {need}" + ("; APP_NETWORK_INTERNAL=false, if so" if need == "the internet" else ""))
    for path in project.models[:5]:
        say(f"model       {path.relative_to(project.directory)}; MODELS_DIR={shown(path.parent)} mounts it at /models")
    for line in untold(project, chosen):
        say(f"not told    {line}")


def untold(project: Project, chosen: Candidate) -> list[str]:
    """Return what a person has to look at."""
    lines = []
    if project.needs:
        lines.append("where what it needs is: docs/hooks.md shows a database and Redis beside it")
    if project.dockerfile and chosen.app not in project.named_by_commands:
        lines.append(f"whether {chosen.app} can be imported in its image, from the WORKDIR or the installed packages")
    inside = (project.directory, project.directory / "src")
    if not project.dockerfile and not enough(project, chosen) and chosen.root not in inside:
        lines.append(f"how {chosen.app} is imported from there; if {shown(chosen.root)} has it all, that is DIR")
    if not project.dockerfile and (package := unlisted(project, chosen)):
        lines.append(f"whether {package} is installed with the rest: {project.tool} does not name it")
    elif not project.packages and not project.dockerfile:
        lines.append("which packages it asks for: there is no requirements.txt, pyproject.toml or Pipfile")
    return lines


def site(project: Project) -> Path:
    """Return where what is the project's goes."""
    return project.directory / OPS if ROOT.is_relative_to(project.directory) else ROOT / hooks.DEFAULT


def write(project: Project, lines: dict[str, str]) -> None:
    """Write the lines into `.env` that are not there, each said; what a person wrote stays."""
    env_file = ROOT / ".env"
    if not env_file.exists():
        if site(project) == ROOT / hooks.DEFAULT:
            env_file.write_bytes((ROOT / ".env.template").read_bytes())
        else:
            link(env_file, site(project) / ".env")
    if env_file.is_symlink():
        own = site(project)
        override = [shown(own / "compose.yml")] if (own / "compose.yml").is_file() else []
        files = ":".join([STACK, *override])
        lines = {"COMPOSE_FILE": files, "SITE_DIR": shown(own)} | lines
    said = images.text_of(env_file)
    there = {name: value.strip("'") for name, value in SET.findall(said)}
    if "COMPOSE_FILE" not in there:
        lines = {"COMPOSE_FILE": STACK} | lines
    step(f"{shown(env_file.resolve())}")
    for name, value in lines.items():
        if name not in there:
            say(f"{name}={value}")
        elif there[name] == value:
            say(f"{name}={value}    (as it was)")
        else:
            say(f"{name}={there[name]}    (yours; found: {value})")
    images.write_env(env_file, said, {name: quoted(value) for name, value in lines.items() if name not in there})


def quoted(value: str) -> str:
    """Return a value as Compose's `.env` takes it: as it is, whatever is in it but a quote."""
    return value if re.fullmatch(r"[\w./:@+-]*", value) else f"'{value}'"


def link(env_file: Path, target: Path) -> None:
    """Make a project's own `.env`, with its directory, and the one here a link to it."""
    hooks.prepare(target.parent)
    target.touch()
    env_file.unlink(missing_ok=True)  # a link to what is gone
    env_file.symlink_to(os.path.relpath(target, env_file.parent))


def shown(path: Path) -> str:
    """Return a path as `.env` has it: seen from this directory."""
    return os.path.relpath(path, ROOT)


if __name__ == "__main__":
    sys.exit(main())
