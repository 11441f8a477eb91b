"""Scripts read `.env` as Compose does, whatever ends its lines, quotes its values or stands beside them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scripts import environment

ROOT = Path(__file__).resolve().parent.parent.parent
# Values as people write them, and what Compose makes of them.
WAYS = [
    ("NAME=./shop", "./shop"),
    ("NAME='./shop'", "./shop"),
    ('NAME="./shop"', "./shop"),
    ("export NAME=./shop", "./shop"),
    ("NAME = ./shop", "./shop"),
    ("NAME: ./shop", "./shop"),
    ("NAME=./shop  # ours", "./shop"),
    ("OTHER=shop\nNAME=./${OTHER}", "./shop"),
    ("NAME=first\nNAME=./shop", "./shop"),
    ("#NAME=no\nNAME=./shop", "./shop"),
    ("NAME=${NOWHERE:-./shop}", "./shop"),
    ("NAME='a$b'", "a$b"),
    ('NAME="two words"', "two words"),
    ("NAME=", ""),
    ("OTHER=1", None),
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("text", "expected"), WAYS)
def test_a_value_is_what_compose_makes_of_it(tmp_path: Path, text: str, expected: str | None, end: str) -> None:
    path = tmp_path / "env"
    path.write_bytes((text + "\n").replace("\n", end).encode())
    assert environment.read("NAME", env_file=path).get("NAME") == expected


@pytest.mark.parametrize(
    ("text", "shell", "expected"),
    [
        ("", None, "sightglass"),
        ("COMPOSE_PROJECT_NAME=shop\n", None, "shop"),
        ("COMPOSE_PROJECT_NAME=shop\n", "other", "other"),
    ],
)
def test_the_project_s_name_is_the_stack_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, shell: str | None, expected: str
) -> None:
    path = tmp_path / "env"
    path.write_text(text)
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    if shell:
        monkeypatch.setenv("COMPOSE_PROJECT_NAME", shell)
    assert environment.read("COMPOSE_PROJECT_NAME", env_file=path) == {"COMPOSE_PROJECT_NAME": expected}


def test_the_stack_s_name_is_the_compose_file_s() -> None:
    assert f"name: {environment.NAME}\n" in (ROOT / "docker-compose.prod.yml").read_text()


def test_the_shells_own_variable_counts_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "env"
    path.write_text("NAME=file\nBESIDE=file\n")
    monkeypatch.setenv("NAME", "shell")
    assert environment.read("NAME", "BESIDE", env_file=path) == {"NAME": "shell", "BESIDE": "file"}


def test_files_and_profiles_of_the_project_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("COMPOSE_FILE=nowhere.yml\r\nCOMPOSE_PROFILES=none\r\nNAME=value\r\n")
    assert environment.read("NAME", env_file=path) == {"NAME": "value"}


def test_what_cannot_be_read_ends_in_composes_own_words(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("NAME=value\nno assignment at all\n")
    with pytest.raises(SystemExit, match="key cannot contain a space"):
        environment.read("NAME", env_file=path)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B", "C_1"]),
            st.sampled_from(["=", " = ", ": "]),
            st.text(alphabet="ab1./:-_ #'\"$\\", max_size=8),
            st.sampled_from(["\n", "\r\n"]),
        ),
        max_size=5,
    )
)
@example([("A", "=", '"a', "\r\n"), ("B", "=", 'b"', "\n")])
@settings(max_examples=10)
def test_whatever_is_written_compose_and_the_scripts_read_the_same(lines: list[tuple[str, str, str, str]]) -> None:
    directory = Path(os.environ.get("TMPDIR", "/tmp"), f"environment-{os.getpid()}")
    directory.mkdir(exist_ok=True)
    path = directory / "env"
    path.write_bytes("".join(f"{name}{sign}{value}{end}" for name, sign, value, end in lines).encode())
    (directory / "compose.yml").write_text("services: {a: {image: a}}")
    command = ["docker", "compose", "--file", str(directory / "compose.yml"), "--env-file", str(path)]
    asked = subprocess.run([*command, "config", "--environment"], capture_output=True, check=False)
    told = asked.stdout.decode()  # not as text: that makes a line feed of the carriage return of a value
    try:
        if asked.returncode != 0:
            with pytest.raises(SystemExit):
                environment.read("A", "B", "C_1", env_file=path)
            return
        values = environment.read("A", "B", "C_1", env_file=path)
        for name, value in values.items():  # of several lines, perhaps, which this does not mark
            assert f"\n{name}={value}\n" in f"\n{told}"
        if not any("\n" in value for value in values.values()):
            assert {name for name in ("A", "B", "C_1") if f"\n{name}=" in f"\n{told}"} == values.keys()
    finally:
        shutil.rmtree(directory)


# Writes down what it is asked to build, and lets Compose read.
DOCKER = """#!/bin/sh
case "$*" in
*"config --format=json"*) exec "$REAL" "$@" ;;
"image inspect "*) echo '[{"Id": "sha256:0123456789ab", "Config": {"Env": ["PYTHONPATH=/srv/app:/opt/sightglass"]}}]' ;;
*) for argument; do printf '%s\\n' "$argument" >>"$CALLS"; done; printf -- '--\\n' >>"$CALLS" ;;
esac
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "context", ["API_CONTEXT=./examples/shop", "export API_CONTEXT='./examples/shop'", "API_CONTEXT=.", "RATE_BURST=1"]
)
def test_the_api_is_built_with_what_env_says(tmp_path: Path, context: str, end: str) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docker" / "overlay", tmp_path / "docker" / "overlay")
    for name in ("Dockerfile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    lines = [context, "PYTHON_IMAGE=python:mine", 'CA_BUNDLE=".build/ca-certificates.crt"']
    (tmp_path / ".env").write_bytes("".join(f"{line}{end}" for line in lines).encode())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    calls, real = tmp_path / "calls", shutil.which("docker")
    assert real is not None
    result = subprocess.run(
        [sys.executable, str(tmp_path / "scripts" / "build.py")],
        env={
            "PATH": f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "REAL": real, "CALLS": str(calls), "HOME": str(tmp_path), "GIT_CEILING_DIRECTORIES": str(tmp_path.parent),
            "TMPDIR": str(tmp_path),  # it waits for no other build of this machine
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    *bases, service, _ = calls.read_text().split("--\n")
    assert service.split() == ["compose", "build", "api"]
    assert len(bases) == (2 if "shop" in context else 0)
    served = "SERVED_IMAGE=sightglass-local/app:" in (tmp_path / ".env").read_text()
    assert served == ("shop" in context)
    for base in bases:
        arguments = base.splitlines()
        assert "PYTHON_IMAGE=python:mine" in arguments
        assert "id=ca_bundle,src=.build/ca-certificates.crt" in arguments
        assert "id=pip_conf,src=docker/build/none" in arguments
