"""Writes down what an image is made of: its Python packages and its system's, as CycloneDX 1.6 (ECMA-424).

The image's files are read, nothing of it is run. The same image gives the same document. Standard library only.
"""

import argparse
import json
import re
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from functools import partial
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import environment
from scripts.build import inspect, labels
from scripts.commands import CommandError, checked, run
from scripts.preflight import refusal

PYTHON_PACKAGE = re.compile(r"(.*)\.(?:dist-info/METADATA|egg-info/PKG-INFO)")
DIRECT = re.compile(r"(.*)\.dist-info/direct_url\.json")  # of no index (PEP 610)
DEBIANS = re.compile(r"usr/lib/python3/dist-packages/")  # what a Debian package brings counts as that
CPYTHON = re.compile(r"usr/local/include/python3\.\d+t?/patchlevel\.h")  # of Python's own image, which is no package
DPKG = re.compile(r"var/lib/dpkg/(?:status|status\.d/[^/]+)")
APK = "lib/apk/db/installed"
UNREADABLE = ("var/lib/rpm/", "usr/lib/sysimage/rpm/", "var/lib/pacman/")
LABEL = "org.opencontainers.image."


class SbomError(Exception):
    """Why there is none, for people."""


@dataclass
class Found:
    """What of an image's files tells of packages, as text by path."""

    python: dict[str, str] = field(default_factory=dict)
    direct: set[str] = field(default_factory=set)
    cpython: str = ""
    dpkg: dict[str, str] = field(default_factory=dict)
    apk: str = ""
    system: dict[str, str] = field(default_factory=dict)


def main() -> int:
    """Write the document of the image that is served, or of another.

    Returns:
        0; 1 with the reason on stderr.

    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", default="", help="of which image (default: the one that is served)")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    try:
        document = sbom(options.image or served())
    except (SbomError, CommandError) as error:
        print(error, file=sys.stderr)
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=1) + "\n")
    python = sum(c.get("purl", "").startswith("pkg:pypi/") for c in document["components"])
    of = document["metadata"]["component"]["name"]
    print(f"{options.output}: {of}, {len(document['components'])} components, {python} of them Python packages")
    return 0


def served() -> str:
    """Return the name of the image that is served, as docker-compose.prod.yml has it."""
    given = environment.read("SERVED_IMAGE", "API_IMAGE")
    return given.get("SERVED_IMAGE") or given.get("API_IMAGE") or "sightglass"


def sbom(image: str) -> dict[str, Any]:
    """Describe an image.

    Raises:
        SbomError: it is not here, or its system's packages cannot be read.

    """
    if run("docker", "image", "inspect", image).returncode != 0:
        raise SbomError(refusal("IMAGE", image, "an image that is here: make build, or docker pull"))
    inspected, labelled = inspect(image), labels(image)
    found = look(image)
    told = {"type": "container", "bom-ref": "image", "name": image, "version": labelled.get(LABEL + "version")}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, inspected['Id'])}",
        "version": 1,
        "metadata": {
            "timestamp": inspected["Created"],
            "tools": {"components": [{"type": "application", "name": "sightglass scripts/sbom.py"}]},
            "component": {name: value for name, value in told.items() if value},
        },
        "components": components(found),
    }


def look(image: str) -> Found:
    """Read what tells of packages from an image's files.

    Raises:
        SbomError: its system keeps them in a way that is not read here.

    """
    found = Found()
    container = checked("docker", "create", "--network", "none", image, "none").strip()  # it is never started
    command = ("docker", "export", container)
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE) as export:
            stream = cast("IO[bytes]", export.stdout)
            with tarfile.open(fileobj=stream, mode="r|") as files:
                for member in files:
                    name = member.name.removeprefix("./")
                    if name.startswith(UNREADABLE):
                        raise SbomError(refusal("IMAGE", image, "one of Debian, Ubuntu, Alpine, or without packages"))
                    if member.isfile():
                        note(found, name, partial(text, files, member))
            stream.read()  # else the export ends by a closed pipe
        if export.returncode != 0:
            raise CommandError(command, "")
    except tarfile.TarError as error:
        raise CommandError(command, str(error)) from None
    finally:
        run("docker", "rm", "--force", container)
    return found


def text(files: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Return a file's text."""
    file = files.extractfile(member)
    return file.read().decode(errors="replace") if file else ""


def note(found: Found, name: str, read: Callable[[], str]) -> None:
    """Keep a file's text, if it tells of packages."""
    if name in ("etc/os-release", "usr/lib/os-release"):
        found.system = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', read(), re.MULTILINE))
    elif name == APK:
        found.apk = read()
    elif DPKG.fullmatch(name) and not name.endswith(".md5sums"):
        found.dpkg[name] = read()
    elif CPYTHON.fullmatch(name):
        version = re.search(r'^#define PY_VERSION\s+"([^"]+)"', read(), re.MULTILINE)
        found.cpython = version[1] if version else ""
    elif match := DIRECT.fullmatch(name):
        found.direct.add(match[1])
    elif (match := PYTHON_PACKAGE.fullmatch(name)) and not DEBIANS.match(name):
        found.python[match[1]] = read()


def components(found: Found) -> list[dict[str, Any]]:
    """Return all of an image's packages, each once, in order."""
    listed = [*of_python(found), *of_system(found)]
    unique = {one["bom-ref"]: one for one in listed}
    return [unique[ref] for ref in sorted(unique)]


def of_python(found: Found) -> Iterator[dict[str, Any]]:
    """Give the Python packages; one that no index has, by a general name."""
    if found.cpython:
        yield component("pkg:generic/python", "python", found.cpython)
    for path, metadata in found.python.items():
        told = HeaderParser().parsestr(metadata)
        name, version = told.get("Name"), told.get("Version")
        if not name or not version:
            continue
        normal = re.sub(r"[-_.]+", "-", name).lower()  # PEP 503
        kind = "generic" if path in found.direct else "pypi"
        yield component(f"pkg:{kind}/{quote(normal)}", name, version, licences=licences(told))


def licences(told: Message) -> list[dict[str, Any]]:
    """Return a package's licence, by its expression (PEP 639) or, where that is short, its name."""
    expression, name = told.get("License-Expression"), str(told.get("License") or "")
    if expression:
        return [{"expression": str(expression)}]
    return [{"license": {"name": name}}] if 0 < len(name) <= 60 and name != "UNKNOWN" and "\n" not in name else []


def of_system(found: Found) -> Iterator[dict[str, Any]]:
    """Give the system and its packages."""
    system, version = found.system.get("ID", ""), found.system.get("VERSION_ID", "")
    if system:
        named = {"type": "operating-system", "bom-ref": f"os:{system}", "name": system, "version": version}
        yield {name: value for name, value in named.items() if value}
    distro = f"{system}-{version}" if version else system
    for entry in (entry for status in found.dpkg.values() for entry in re.split(r"\n\s*\n", status)):
        told = HeaderParser().parsestr(entry)
        if told.get("Package") and told.get("Status", "install ok installed").endswith(" installed"):
            source = re.fullmatch(r"(\S+)(?: \((.+)\))?", told.get("Source", ""))
            upstream = f"{source[1]}{'@' + source[2] if source[2] else ''}" if source else ""
            qualifiers = {"arch": told.get("Architecture", ""), "distro": distro, "upstream": upstream}
            purl = f"pkg:deb/{system or 'debian'}/{quote(told['Package'])}"
            yield component(purl, told["Package"], told["Version"], qualifiers)
    for entry in found.apk.split("\n\n"):
        one = dict(re.findall(r"^(\w):(.*)$", entry, re.MULTILINE))
        if one.get("P"):
            qualifiers = {"arch": one.get("A", ""), "distro": distro, "upstream": one.get("o", "")}
            yield component(f"pkg:apk/{system or 'alpine'}/{quote(one['P'])}", one["P"], one["V"], qualifiers)


def component(
    purl: str,
    name: str,
    version: str,
    qualifiers: Mapping[str, str] | None = None,
    licences: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a package, under its package URL (ECMA-427)."""
    told = "&".join(f"{key}={quote(value, safe=':')}" for key, value in (qualifiers or {}).items() if value)
    whole = f"{purl}@{quote(version, safe=':')}{'?' + told if told else ''}"
    given = {"type": "library", "bom-ref": whole, "name": name, "version": version, "purl": whole, "licenses": licences}
    return {key: value for key, value in given.items() if value}


if __name__ == "__main__":
    sys.exit(main())
