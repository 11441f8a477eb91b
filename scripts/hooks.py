"""What is the user's, in SITE_DIR: looks at it before anything is started, and has it taken up when everything runs.

What is broken is one line, and stops nothing: NGINX and Prometheus go on with what they took up last. Standard library
only.
"""

import json
import shlex
import stat
import subprocess
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.commands import ROOT

DEFAULT = "site"
PARTS = ("rules", "targets", "dashboards", "nginx")
"""The directories that containers are given. All else in SITE_DIR none of them sees."""
TAKEN_UP: Mapping[str, str] = {
    "nginx": "sh /etc/sightglass/nginx/site.sh",
    "prometheus": "sh /etc/sightglass/prometheus/start.sh --check && kill -HUP 1",
}
"""What has a service look at it again."""


def directory(given: Mapping[str, str]) -> Path:
    """Return what SITE_DIR names, as Compose resolves it."""
    return ROOT / Path(given.get("SITE_DIR") or DEFAULT).expanduser()


def problems(site: Path) -> list[str]:
    """Return a line for each file that cannot do; what NGINX and Prometheus say of theirs comes later."""
    return [*unreadable(site), *dashboards(site, ROOT / "grafana" / "dashboards")]


def prepare(site: Path) -> None:
    """Make the directories that are not there: Docker would, but as its own user's."""
    for directory in (site / part for part in PARTS):
        try:
            if not directory.is_dir():
                directory.mkdir(parents=True)
                directory.chmod(0o755)
        except OSError:
            return


def take_up(compose: Sequence[str], running: Container[str]) -> list[str]:
    """Have what runs take up what is there; returns a line for each service that does not.

    Args:
        compose: the command and its options.
        running: the services that run.

    """
    lines = []
    for service, command in TAKEN_UP.items():
        if service in running:
            shell = [*compose, "exec", "-T", service, "sh", "-c", command]
            result = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                lines += (result.stderr or result.stdout).strip().splitlines()[-1:] or [f"{service}: no answer"]
    return lines


def unreadable(site: Path) -> Iterator[str]:
    """Yield a line where the containers' users, who own nothing of the host's, may not read some of it."""
    parts = [site / part for part in PARTS if (site / part).exists()]
    for path in (path for part in parts for path in (part, *sorted(part.rglob("*")))):
        if path.exists() and not _open_to_others(path):
            command = shlex.join(["chmod", "-R", "o+rX", *map(str, parts)])
            yield f"{shown(path, site)}: not readable by the containers' users; run: {command}"
            return


def _open_to_others(path: Path) -> bool:
    needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return path.stat().st_mode & needed == needed


def dashboards(site: Path, ours: Path) -> Iterator[str]:
    """Yield a line for each dashboard that Grafana would leave out, or that would take one of ours along."""
    taken = Counter(str(json.loads(path.read_bytes()).get("uid")) for path in ours.glob("*.json"))
    for path in sorted((site / "dashboards").rglob("*.json")):
        name = shown(path, site)
        try:
            dashboard = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            yield f"{name}: not allowed; expected JSON ({error})"
            continue
        if (expected := _expected(dashboard)) is not None:
            yield f"{name}: not allowed; expected {expected}"
            continue
        uid = str(dashboard.get("uid") or path)
        if taken[uid]:
            yield f"{name}: uid={uid}: not allowed; expected one that no other dashboard has"
        taken[uid] += 1


def _expected(dashboard: Any) -> str | None:
    """Say what a dashboard should be instead."""
    if not isinstance(dashboard, dict) or "dashboard" in dashboard:
        return "a dashboard itself, an object with a title, as Grafana exports it"
    if "__inputs" in dashboard:
        return "no __inputs, which only a person answers: exported without the choice to share it externally"
    if not isinstance(dashboard.get("title"), str) or not dashboard["title"]:
        return "a title"
    return None


def shown(path: Path, site: Path) -> str:
    """Return a file's name for people; a line it stays."""
    return f"SITE_DIR/{path.relative_to(site)}".encode("ascii", "replace").decode().replace("\n", "?")
