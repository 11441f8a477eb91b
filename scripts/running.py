"""Asks about containers that are there, and runs commands in them, by the project's name.

Compose needs none of its files for that, which it reads for half a second of CPU each time. Standard library only.
"""

import json
from functools import cache

from scripts.commands import checked


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
