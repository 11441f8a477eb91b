"""What is said where the stack cannot be laid over an image, at build time (docker/overlay/install.py)."""

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

INSTALL = Path(__file__).resolve().parent.parent.parent / "docker" / "overlay" / "install.py"
# What pip writes, of 2026.
NO_WHEEL = """ERROR: Could not find a version that satisfies the requirement uvloop>=0.19 (from versions: none)
ERROR: No matching distribution found for uvloop>=0.19
"""
CONFLICT = """ERROR: Cannot install uvicorn-worker==0.4.0 because these package versions have conflicting dependencies.
ERROR: ResolutionImpossible: for help visit a page
"""


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, as it is in the application's image."""
    monkeypatch.setattr("sys.path", [])  # which it adds to
    spec = importlib.util.spec_from_file_location("install", INSTALL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("version", "multiarch", "name"),
    [
        ((3, 14), "x86_64-linux-musl", "3.14-x86_64-linux-musl"),  # Alpine
        ((3, 12), "aarch64-linux-musl", "3.12-aarch64-linux-musl"),
        ((3, 13), "x86_64-linux-gnu", "3.13-x86_64-linux-gnu"),  # Debian
        ((3, 10), None, "3.10-linux-riscv64"),
    ],
)
def test_a_python_without_a_wheel_is_named_by_what_wheels_are_chosen_by(
    install: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int],
    multiarch: str | None,
    name: str,
) -> None:
    monkeypatch.setattr("sys.version_info", version)
    monkeypatch.setattr(sysconfig, "get_config_var", {"MULTIARCH": multiarch}.get)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "linux-riscv64")
    with pytest.raises(SystemExit) as refused:
        install.refuse(*install.reason(NO_WHEEL))
    expected = "one that there is a wheel of uvloop>=0.19 for, in the application's image"
    assert refused.value.code == f"python=={name}: not allowed; expected {expected}"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            CONFLICT,
            "Cannot install uvicorn-worker==0.4.0 because these package versions have conflicting dependencies.",
        ),
        ("", "no reason given"),
        ("Killed\n", "no reason given"),
        ("WARNING: x\nERROR: No space left on device\n", "No space left on device"),
    ],
)
def test_any_other_reason_is_pips(install: ModuleType, said: str, expected: str) -> None:
    name, _, what = install.reason(said)
    assert name == "sightglass"
    assert what == f"packages it can be installed beside ({expected})"


@pytest.mark.parametrize("version", [(3, 8), (3, 9)])
def test_a_python_that_is_too_old_is_one_line(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int]
) -> None:
    monkeypatch.setattr("sys.version_info", version)
    with pytest.raises(SystemExit) as refused:
        install.main("")
    number = ".".join(map(str, version))
    assert refused.value.code == (f"python=={number}: not allowed; expected 3.10 or later, in the application's image")


@pytest.mark.parametrize(
    ("has", "line"),
    [
        ("fastapi==0.99.1", "fastapi==0.99.1: not allowed; expected >=0.100, in the application's requirements"),
        ("gunicorn==20.1.0", "gunicorn==20.1.0: not allowed; expected >=22, in the application's requirements"),
        ("Starlette==0.26", "starlette==0.26: not allowed; expected >=0.27, in the application's requirements"),
        ("uvicorn_worker==0.1.0", "uvicorn-worker==0.1.0: not allowed; expected >=0.2, in the"),
        ("opentelemetry_sdk==1.29.0", None),  # nobody traces yet
        ("fastapi==0.100.0+local", None),
        ("gunicorn==22.0", None),
        ("flask==0.1", None),
    ],
)
def test_a_package_below_its_floor_is_one_line(tmp_path: Path, has: str, line: str | None) -> None:
    """As docker/adopted/Dockerfile asks it, beside a pip."""
    name, _, version = has.partition("==")
    metadata = tmp_path / f"{name}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for path in (INSTALL, INSTALL.parent.parent.parent / "pyproject.toml"):
        (tmp_path / path.name).write_text(path.read_text())
    command = [sys.executable, str(tmp_path / INSTALL.name), "--floors"]  # beside which that package is found first
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert asked.returncode == (line is not None), asked.stderr
    assert asked.stderr.startswith(line or "")
