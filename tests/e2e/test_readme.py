"""The README's commands, as they stand there, on a copy of the tree."""

import re

import pytest

from tests.stack import ROOT, Stack

BLOCKS = [
    block
    for document in ("README.md", "docs/install.md", "docs/deployment.md")
    for block in re.findall(r"```console\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
]
COMMANDS = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]
ELSEWHERE = {
    "make test": "this is it",
    "make up": "it started the stack that the others are tried on, and is run again by tests/e2e/test_up.py",
    "make doctor": "it fails where something is to be mended; tests/e2e/test_doctor.py",
    "cp .env.template .env": "each stack of the tests begins with it, its own ports added",
}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ELSEWHERE])
def test_a_command_of_the_readme_works(made: Stack, command: str) -> None:
    here = command.replace("https://localhost/", f"{made.https_url}/")
    result = made.run("bash", "-c", f"set -o pipefail; {here}")
    assert result.returncode == 0, result.stderr
    assert result.stdout + result.stderr
    if "%{http_code}" in command:
        assert result.stdout == "404\n"
    if "/health" in command:
        assert '"status":"healthy"' in result.stdout
    if "predict" in command:
        assert "EMAIL_ADDRESS" in result.stdout
    if "query" in command:
        assert 'route="/health", status="200"' in result.stdout.replace(",status", ", status")


def test_every_make_command_of_the_readme_exists() -> None:
    named = set(re.findall(r"`make ([a-z]+)", (ROOT / "README.md").read_text()))
    assert named <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_make_command_is_in_its_help(made: Stack) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = made.run("make", "help").stdout
    assert set(re.findall(r"^  make (\S+) ", told, re.MULTILINE)) == targets
