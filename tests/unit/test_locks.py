"""What is installed of a project with a lock file, and in which versions (docker/adopted/Dockerfile, make adopt)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import locks
from tests.unit.test_adopt import ADOPTED, FASTAPI, MOUNTED, Run, project, written
from tests.unit.test_adopt import root as root
from tests.unit.test_adopt import run as run

ROOT = Path(__file__).resolve().parent.parent.parent

PROJECT = """[project]
name = "shop"
dependencies = ["fastapi[standard]>=0.100", "SQLAlchemy ~= 2.0 ; python_version > '3'"]
"""
PIPFILE = "[packages]\nfastapi = '*'\ntorch = {version = '~=2.5', extras = ['opt']}\n[dev-packages]\npytest = '*'\n"
POETRY = """[tool.poetry]
package-mode = false
[tool.poetry.dependencies]
python = "^3.11"
fastapi = "^0.115"
SQLAlchemy = {version = "^2", extras = ["asyncio", "mypy"]}
sentry-sdk = {version = "*", optional = true}
[tool.poetry.group.dev.dependencies]
pytest = "*"
"""
UV_LOCK = """version = 1
requires-python = ">=3.11"

[[package]]
name = "fastapi"
version = "0.115.6"
source = { registry = "an index" }

[[package]]
name = "shop"
version = "1.0"
source = { virtual = "." }

[[package]]
name = "shop-lib"
version = "2.0"
source = { git = "elsewhere?rev=1" }

[[package]]
name = "numpy"
version = "1.26.4"
source = { registry = "an index" }

[[package]]
name = "numpy"
version = "2.0.0"
source = { registry = "an index" }

[[package]]
name = "torch"
version = "2.5.1+cpu"
source = { registry = "an index" }
"""
POETRY_LOCK = """[[package]]
name = "FastAPI"
version = "0.115.6"
optional = false

[[package]]
name = "shop-lib"
version = "2.0"
[package.source]
type = "git"
url = "elsewhere"

[[package]]
name = "torch"
version = "2.5.1"
[package.source]
type = "legacy"
url = "an index"

[metadata]
lock-version = "2.0"
"""
PIPFILE_LOCK = json.dumps({
    "default": {
        "fastapi": {"version": "==0.115.6", "hashes": ["sha256:0"], "index": "pypi"},
        "torch": {"version": "==2.5.1", "extras": ["opt"], "markers": "python_version >= '3.8'"},
    },
    "develop": {"pytest": {"version": "==8.0"}},
})  # fmt: skip
LOCKED = {"fastapi": "0.115.6", "torch": "2.5.1"}

FILES: dict[str, tuple[dict[str, str], list[str], dict[str, str]]] = {
    "uv": (
        {"pyproject.toml": PROJECT, "uv.lock": UV_LOCK},
        ["fastapi[standard]>=0.100", "SQLAlchemy ~= 2.0 ; python_version > '3'"], LOCKED,
    ),
    "Poetry": (
        {"pyproject.toml": POETRY, "poetry.lock": POETRY_LOCK}, ["fastapi", "SQLAlchemy[asyncio,mypy]"], LOCKED,
    ),
    "Poetry 2": (
        {"pyproject.toml": PROJECT, "poetry.lock": POETRY_LOCK},
        ["fastapi[standard]>=0.100", "SQLAlchemy ~= 2.0 ; python_version > '3'"], LOCKED,
    ),
    "Pipenv": (
        {"Pipfile": "[packages]\nfastapi = '*'\n", "Pipfile.lock": PIPFILE_LOCK},
        ["fastapi==0.115.6", "torch[opt]==2.5.1; python_version >= '3.8'"], LOCKED,
    ),
    "Pipenv without a lock": (
        {"Pipfile": PIPFILE}, ["fastapi", "torch[opt]~=2.5"], {},
    ),
    "requirements beside a lock": (
        {"requirements.txt": "fastapi\n", "pyproject.toml": PROJECT, "uv.lock": UV_LOCK},
        ["-r requirements.txt"], LOCKED,
    ),
    "Poetry without a lock": ({"pyproject.toml": POETRY}, [], {}),
    "nothing": ({}, [], {}),
    "locks of another shape": (
        {"pyproject.toml": "project = 1\n", "uv.lock": "package = 1\n", "poetry.lock": "[", "Pipfile.lock": "[]"},
        [], {},
    ),
    "names and versions that are none": (
        {"uv.lock": '[[package]]\nname = "--pre"\nversion = "1"\n[[package]]\nname = "x"\nversion = "1\\n--pre"\n'},
        [], {},
    ),
    "nested without end": ({"pyproject.toml": f"a = {'[' * 20000}", "Pipfile.lock": "[" * 100000}, [], {}),
    "entries of another shape": (
        {"pyproject.toml": PROJECT.replace("[\"fastapi", "[\"flask\"]\nothers = [\"fastapi"),
         "uv.lock": "[[package]]\n[[package]]\nname = 'x'\n[[package]]\nname = 1\nversion = 2\nsource = 3\n"},
        ["flask"], {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_what_is_asked_for_is_installed_in_the_versions_that_are_locked(tmp_path: Path, case: str) -> None:
    files, asked, locked = FILES[case]
    project(tmp_path, files)
    command = [sys.executable, "-I", str(ROOT / "scripts" / "locks.py"), ".", "asked.txt", "locked.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0 if asked else 1, "", "")
    assert (tmp_path / "asked.txt").read_text().splitlines() == asked
    assert (tmp_path / "locked.txt").read_text().splitlines() == [f"{name}=={one}" for name, one in locked.items()]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"Pipfile": "[packages]\nlib = {git = 'elsewhere'}\n"}, "Pipfile:lib:git"),
        ({"Pipfile.lock": '{"default": {"lib": {"path": "./lib", "editable": true}}}'}, "Pipfile.lock:lib:editable"),
        (
            {"poetry.lock": "", "pyproject.toml": "[tool.poetry.dependencies]\nlib = {path = '../lib'}\n"},
            "pyproject.toml:lib:path",
        ),
    ],
)
def test_what_no_index_has_is_one_line(
    tmp_path: Path, files: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project(tmp_path, files)
    assert locks.main(tmp_path, tmp_path / "asked.txt", tmp_path / "locked.txt") == 2
    assert capsys.readouterr().err == (
        f"{said}: not allowed; expected a version, or else a Dockerfile of the project's own\n"
    )


ADOPTIONS: dict[str, tuple[dict[str, str], str]] = {
    "uv": ({"pyproject.toml": PROJECT, "uv.lock": UV_LOCK}, "uv, in the versions of uv.lock"),
    "Poetry": ({"pyproject.toml": POETRY, "poetry.lock": POETRY_LOCK}, "Poetry, in the versions of poetry.lock"),
    "Pipenv": ({"Pipfile.lock": PIPFILE_LOCK}, "Pipenv, in the versions of Pipfile.lock"),
    "a pin of its requirements": ({"requirements.txt": "FastAPI[all] == 0.115.6  # why\n"}, "requirements.txt"),
    "a pin of its project": ({"pyproject.toml": "[project]\ndependencies = ['fastapi==0.115.6']\n"}, "pyproject.toml"),
}


@pytest.mark.parametrize("case", ADOPTIONS)
def test_the_version_of_the_framework_is_said_and_no_other_served(root: Path, run: Run, case: str) -> None:
    files, tool = ADOPTIONS[case]
    project(root.parent / "shop", {"main.py": FASTAPI} | files)
    status, said, _ = run("../shop")
    assert status == 0
    assert "    framework   FastAPI 0.115.6\n" in said
    assert f"built by docker/adopted/Dockerfile from {tool}: it has no" in said
    assert "too old" not in said
    assert ADOPTED.items() <= written(root).items()


def test_a_version_that_the_stacks_image_has_is_mounted(root: Path, run: Run) -> None:
    (pin,) = (
        line for line in (root / "requirements" / "service.txt").read_text().splitlines() if line[:9] == "fastapi=="
    )
    project(root.parent / "shop", {"main.py": FASTAPI, "requirements.txt": pin.strip(" \\") + "\n"})
    assert run("../shop")[0] == 0
    assert MOUNTED.items() <= written(root).items()


OLD = {
    "uv.lock": UV_LOCK.replace("0.115.6", "0.99.1").replace("torch", "starlette").replace("2.5.1+cpu", "0.26.1"),
    "poetry.lock": POETRY_LOCK.replace("0.115.6", "0.99.1").replace("torch", "starlette").replace("2.5.1", "0.26.1"),
    "Pipfile.lock": PIPFILE_LOCK.replace("0.115.6", "0.99.1").replace("torch", "starlette").replace("2.5.1", "0.26.1"),
    "requirements.txt": "fastapi==0.99.1\nstarlette==0.26.1\n",
}


@pytest.mark.parametrize("name", OLD)
def test_what_is_below_a_floor_is_a_line(root: Path, run: Run, name: str) -> None:
    project(root.parent / "shop", {"main.py": FASTAPI, name: OLD[name]})
    status, said, _ = run("../shop")
    assert status == 0
    assert [line.strip() for line in said.splitlines() if "too old" in line] == [
        "too old     fastapi 0.99.1; expected 0.100 or later, else the image is not built",
        "too old     starlette 0.26.1; expected 0.27 or later, else the image is not built",
    ]


@pytest.mark.parametrize(
    "version", ["0.100", "0.100.0", "0.100.0rc1", "0.100.0.post1", "1!0.100", "0.115.6", "1.0", "0.1000"]
)
def test_a_version_that_is_not_below_is_none(root: Path, run: Run, version: str) -> None:
    project(root.parent / "shop", {"main.py": FASTAPI, "requirements.txt": f"fastapi=={version}\n"})
    assert "too old" not in run("../shop")[1]
