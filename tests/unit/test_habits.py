"""What contributors are told to run is what CI runs."""

import re
from typing import Any

import pytest
import yaml

from tests.unit.test_lint import CHECKS, ROOT

HOOKS: dict[str, dict[str, Any]] = {
    hook["name"]: hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
}


def test_every_folder_of_tests_is_told_of() -> None:
    table = re.findall(r"^\| (`tests/.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    told = re.findall(r"`tests/(\w+)`", " ".join(table))
    assert sorted(told) == sorted({path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")})


def test_every_linter_of_ci_is_a_hook_and_no_other() -> None:
    assert set(HOOKS) == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_a_hook_is_the_projects_own_tool(name: str) -> None:
    assert HOOKS[name]["language"] == "system"
    assert HOOKS[name]["entry"].startswith(".venv/bin/")
    assert name in HOOKS[name]["entry"]
