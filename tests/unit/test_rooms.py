"""The rooms of the house: who may import whom, so that a newcomer can name the room of any line."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the ground up: a room knows those before it only.
BASE = [
    *("environment", "context", "settings", "uploads", "record", "problem"),
    *("frameworks", "routes", "native_telemetry", "framework_tables", "route_table", "identity", "exchange"),
]
ROOMS = [*BASE, "logs", "metrics", "tracing", "asgi", "server"]
# What is put together there may be taken from everywhere in the package's face.
FACE = ROOT / "sightglass" / "__init__.py"


def imports(file: Path) -> Iterator[str]:
    """Every module a file imports, at its top or within a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("file", sorted((ROOT / "sightglass").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_the_library_knows_nothing_of_the_service_and_no_room_of_a_later_one(file: Path) -> None:
    own = room(".".join(file.relative_to(ROOT).with_suffix("").parts))
    for module in imports(file):
        package = module.partition(".")[0]
        assert package not in {"api", "monitoring", "scripts", "tests", "bench"}, module
        if package == "sightglass" and file != FACE:
            if module == "sightglass":  # the face, for what an application would write
                assert own == "server"
            else:
                assert ROOMS.index(room(module)) <= ROOMS.index(own), f"{own} imports {module}"


@pytest.mark.parametrize("file", sorted((ROOT / "api").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_the_service_depends_on_the_library_only_and_not_on_its_server(file: Path) -> None:
    for module in imports(file):
        assert module.partition(".")[0] not in {"monitoring", "scripts", "tests", "bench"}, module
        assert not module.startswith("sightglass.server"), module


@pytest.mark.parametrize("module", ["api.privacy.jobs.process", "sightglass.server.gunicorn_conf"])
def test_what_serves_nobody_has_no_framework_in_its_memory(module: str) -> None:
    code = f"import sys, {module}; print({{'fastapi', 'starlette.routing'}} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"


@pytest.mark.parametrize("module", ["api.privacy.jobs.process", "sightglass.asgi.instrument"])
def test_whatever_tells_its_metrics_tells_of_its_container_and_its_start(module: str) -> None:
    code = f"import {module}; from prometheus_client import REGISTRY; print(*REGISTRY._names_to_collectors)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    names = {"sightglass_process_start_time_seconds", "sightglass_container_spec_memory_limit_bytes"}
    assert names <= set(said.stdout.split())
