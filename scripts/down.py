"""Stops and removes the containers, and what was uploaded last: ``make down``. Data stays in its volumes.

Standard library only.
"""

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from scripts.commands import ROOT, CommandError, checked
from scripts.running import named, uploads_forgotten


def main() -> int:
    """Take everything down.

    Returns:
        0; else Compose's own status, or 1 when it does not take its files, with the reason on stderr.

    """
    try:
        containers = checked(*named("ps", "--all", "--quiet")).split()
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    command = ("docker", "compose", "--profile", "*", "down")
    with uploads_forgotten(containers):
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
