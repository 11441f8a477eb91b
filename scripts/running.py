"""Asks about containers that are there, and runs commands in them, by the project's name.

Compose needs none of its files for that, which it reads for half a second of CPU each time. Standard library only.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from scripts.commands import checked, run


@cache
def project() -> str:
    """Return the name of this installation's Compose project.

    Raises:
        CommandError: Compose does not take its files.

    """
    return str(json.loads(checked("docker", "compose", "config", "--format", "json"))["name"])


def named(*arguments: str) -> tuple[str, ...]:
    """Return the command of `docker compose` on what is there: for `ps`, `exec`, `port`, `logs`; not `up` or `run`."""
    return ("docker", "compose", "--project-name", project(), *arguments)


def remove(containers: Sequence[str]) -> None:
    """Remove containers, running or not, with what was uploaded to them.

    Raises:
        CommandError: Docker did not.

    """
    with uploads_forgotten(containers):
        checked("docker", "rm", "--force", "--volumes", *containers)


@contextmanager
def uploads_forgotten(containers: Sequence[str]) -> Iterator[None]:
    """Remove afterwards what Docker leaves of the containers that are removed meanwhile; what others have it keeps."""
    volumes = nameless(containers)
    try:
        yield
    finally:
        if volumes:
            run("docker", "volume", "rm", "--force", *volumes)


def nameless(containers: Sequence[str]) -> list[str]:
    """Return the volumes of containers that nobody has named.

    Docker removes them with a container, but not with its successor, to which Compose has handed them on.
    """
    # It tells of those that are there, and fails where one is gone by now.
    found = json.loads(run("docker", "container", "inspect", *containers).stdout or "[]") if containers else []
    mounts = [mount for container in found for mount in container["Mounts"] if mount["Type"] == "volume"]
    return [mount["Name"] for mount in mounts if re.fullmatch("[0-9a-f]{64}", mount["Name"])]
