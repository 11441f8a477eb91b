"""Reads variables as Compose does: from this process's environment, else from `.env`, by Compose's own rules.

As a program, prints the value of each variable named, a line each; an empty one where it is not set. Standard library
only: this runs before anything is installed.
"""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts.commands import ROOT

NAME = "sightglass"
"""What docker-compose.prod.yml calls the project, where COMPOSE_PROJECT_NAME does not."""


def read(*names: str, env_file: Path | None = None) -> dict[str, str]:
    """Ask Compose for the values of variables.

    Args:
        names: which.
        env_file: what is read instead of `.env`.

    Returns:
        Those that are set.

    Raises:
        SystemExit: Compose cannot read the file; with what it says.

    """
    # A project of its own, asked for in JSON: `config --environment` is not in Compose 2.24, wants the whole project to
    # be right, and does not tell where a value of several lines ends.
    project = {"name": NAME, "services": {"reader": {"image": "none", "environment": list(names)}}}
    chosen = ("--env-file", str(env_file)) if env_file else ()
    command = ("docker", "compose", "--project-directory", str(ROOT), *chosen, "--file", "-", "config", "--format=json")
    result = subprocess.run(command, input=json.dumps(project), capture_output=True, text=True, check=False, cwd=ROOT)
    if result.returncode != 0:
        raise SystemExit(result.stderr.strip())
    values = json.loads(result.stdout)["services"]["reader"]["environment"]
    return {name: value.replace("$$", "$") for name, value in values.items() if value is not None}


def main() -> int:
    """Print what the command line asks for."""
    values = read(*sys.argv[1:])
    for name in sys.argv[1:]:
        print(values.get(name, ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
