"""The production stack's Compose files, as they are written."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCTION = ROOT / "docker-compose.prod.yml"


def included() -> dict[Path, Path]:
    """Return each file that the production stack includes, with the directory from which its paths are seen."""
    found: dict[Path, Path] = {}
    waiting = [(PRODUCTION, ROOT)]
    for file, directory in waiting:
        for entry in yaml.safe_load(file.read_text()).get("include", []):
            path = directory / (entry["path"] if isinstance(entry, dict) else entry)
            if path.resolve() not in found:
                found[path.resolve()] = ROOT / entry["project_directory"] if isinstance(entry, dict) else path.parent
                waiting.append((path, found[path.resolve()]))
    return found
