"""The production stack's Compose files, as they are written."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCTION = ROOT / "docker-compose.prod.yml"


def included() -> dict[Path, Path]:
    """Return each file that the production stack includes, with the directory from which its paths are seen."""
    entries = yaml.safe_load(PRODUCTION.read_text())["include"]
    whole = [e if isinstance(e, dict) else {"path": e, "project_directory": Path(e).parent} for e in entries]
    return {ROOT / e["path"]: ROOT / e["project_directory"] for e in whole}
