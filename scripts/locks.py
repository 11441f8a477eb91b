"""What a project asks for, and the versions that its uv.lock, poetry.lock or Pipfile.lock pins.

Read by `make adopt`; run by docker/adopted/Dockerfile, which installs the one in the versions of the other. It is alone
there: standard library only, and nothing else of this directory.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LOCKS = {"uv.lock": "uv", "poetry.lock": "Poetry", "Pipfile.lock": "Pipenv"}
"""By its name, whose a lock file is; of several the first counts."""
NOT_FROM_AN_INDEX = {"virtual", "editable", "directory", "path", "url", "git", "file"}


def main(directory: Path, asked_file: Path, locked_file: Path) -> int:
    """Write what is asked for as requirements, and what is locked as constraints.

    Returns:
        0; 1 where nothing is asked for that can be read here: the project is to be installed as it is; 2 with a line on
        stderr where something cannot be asked of an index.

    """
    try:
        wanted = list(asked(directory))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    asked_file.write_text("".join(f"{one}\n" for one in wanted))
    locked_file.write_text("".join(f"{name}=={version}\n" for name, version in locked(directory).items()))
    return 0 if wanted else 1


def lock_file(directory: Path) -> str | None:
    """Name a project's lock file."""
    return next((name for name in LOCKS if (directory / name).is_file()), None)


def locked(directory: Path) -> dict[str, str]:
    """Return the versions that are locked, by their packages' names as indexes compare them (PEP 503).

    Without what comes from elsewhere than an index, and what has several versions, for one system or another.
    """
    found: dict[str, set[str]] = {}
    for name, version in _entries(directory):
        if re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) and re.fullmatch(r"[\w.!+-]+", version):
            found.setdefault(normal(name), set()).add(version.partition("+")[0])
    return {name: versions.pop() for name, versions in sorted(found.items()) if len(versions) == 1}


def _entries(directory: Path) -> Iterator[tuple[str, str]]:
    match lock_file(directory):
        case "Pipfile.lock":
            for name, entry in _table(_json(directory / "Pipfile.lock"), "default").items():
                version = entry.get("version") if isinstance(entry, dict) else None
                if isinstance(version, str) and version.startswith("=="):
                    yield name, version.removeprefix("==")
        case str(lock):
            packages = _toml(directory / lock).get("package")
            for entry in packages if isinstance(packages, list) else ():
                source = entry.get("source")
                source = source if isinstance(source, dict) else {}
                kinds = {source["type"]} if "type" in source else set(source)  # Poetry's, uv's
                name, version = entry.get("name"), entry.get("version")
                if isinstance(name, str) and isinstance(version, str) and not kinds & NOT_FROM_AN_INDEX:
                    yield name, version


def asked(directory: Path) -> Iterator[str]:
    """Yield what is to be installed, as requirements.

    Raises:
        ValueError: something is asked for in a way that no index answers; with a line that says what and where.

    """
    pyproject = _toml(directory / "pyproject.toml")
    if (directory / "requirements.txt").is_file():
        yield "-r requirements.txt"
    elif (directory / "Pipfile.lock").is_file():
        for name, entry in _table(_json(directory / "Pipfile.lock"), "default").items():
            yield _requirement("Pipfile.lock", name, entry)
    elif (directory / "Pipfile").is_file():
        for name, entry in _table(_toml(directory / "Pipfile"), "packages").items():
            yield _requirement("Pipfile", name, entry)
    elif isinstance(listed := _table(pyproject, "project").get("dependencies"), list):
        yield from map(str, listed)
    elif (directory / "poetry.lock").is_file():  # which says what a caret leaves open
        poetry = _table(_table(_table(pyproject, "tool"), "poetry"), "dependencies")
        for name, entry in poetry.items():
            if name != "python" and not (isinstance(entry, dict) and entry.get("optional")):
                yield _requirement("pyproject.toml", name, entry, versions=False)


def _requirement(file: str, name: str, entry: Any, *, versions: bool = True) -> str:
    """Return an entry of a table of packages as a requirement (PEP 508)."""
    table = entry if isinstance(entry, dict) else {"version": entry}
    if elsewhere := NOT_FROM_AN_INDEX & set(table):
        where = f"{file}:{name}:{min(elsewhere)}"
        raise ValueError(f"{where}: not allowed; expected a version, or else a Dockerfile of the project's own")
    extras = f"[{','.join(map(str, table['extras']))}]" if table.get("extras") else ""
    version = str(table.get("version") or "*") if versions else "*"
    marker = f"; {table['markers']}" if table.get("markers") else ""
    return f"{name}{extras}{'' if version == '*' else version}{marker}"


def _table(parsed: Any, name: str) -> Mapping[str, Any]:
    found = parsed.get(name) if isinstance(parsed, dict) else None
    return found if isinstance(found, dict) else {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(errors="replace"))
    except (OSError, tomllib.TOMLDecodeError, RecursionError):
        return {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(errors="replace"))
    except (OSError, ValueError, RecursionError):
        return {}


def normal(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:4])))
