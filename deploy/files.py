"""What NGINX reads: the files of docker/ as keys of a ConfigMap, which has no directories, and the path of each."""

import re

from deploy.composed import ROOT

DOCKER = ROOT / "docker"
START = DOCKER / "nginx/start.sh"
_SUFFIXES = {".conf", ".js", ".sh", ".pl"}


def _key(path: str) -> str:
    return path.replace("/", "__")


def _paths() -> list[str]:
    found = [DOCKER / "nginx.conf", *sorted(p for p in (DOCKER / "nginx").rglob("*") if p.suffix in _SUFFIXES)]
    return [str(path.relative_to(DOCKER)) for path in found]


NGINX_FILES: dict[str, str] = {_key(path): path for path in _paths()}
"""By key."""


def upstream_seconds() -> str:
    """Give for how long the API may be silent where no setting says so."""
    (seconds,) = re.findall(r"^UPSTREAM_TIMEOUT=\$\{UPSTREAM_TIMEOUT:-([0-9]+)\}$", START.read_text(), re.MULTILINE)
    return str(seconds)
