"""What CI and releases do is what `make` does; each action is pinned, and a command reaches another machine whole."""

import dataclasses
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.settings import Settings
from sightglass.server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job.get("steps", [])]


def test_the_workflows_are_there() -> None:
    assert [path.name for path in WORKFLOWS] == ["release.yml", "test.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_each_action_is_pinned_by_its_commit(workflow: Path) -> None:
    for line in re.findall(r"uses: (.*)", workflow.read_text()):
        assert re.fullmatch(r"\./\.github/workflows/[a-z]+\.yml|[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", line), line


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_each_program_is_installed_by_version(workflow: Path) -> None:
    for package in re.findall(r"install (github\.com/\S+)", workflow.read_text()):
        assert re.fullmatch(r"\S+@v\d+\.\d+\.\d+", package), package


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_what_it_runs_of_ours_is_a_make_target(workflow: Path) -> None:
    named = [target for step in steps(workflow) for target in of_make(step.get("run", ""))]
    assert set(named) <= TARGETS
    assert len(named) == (0 if workflow.name == "test.yml" else 5)


def of_make(script: str) -> list[str]:
    """Return the targets that a step asks for."""
    words = [line.split(" | ")[0].split() for line in script.splitlines() if re.search(r"\bmake ", line)]
    return [word for line in words for word in line[line.index("make") + 1 :] if re.fullmatch(r"[a-z-]+", word)]


def test_a_push_runs_the_readmes_test_command() -> None:
    (_, run) = steps(ROOT / ".github" / "workflows" / "test.yml")
    assert run["run"].split("#")[0].split() == ["sudo", ".ci/run"]
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-2:] == ["make test", "exec make test-cluster"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_may_do_what_it_says_and_no_more(workflow: Path) -> None:
    read = yaml.safe_load(workflow.read_text())
    assert read["permissions"] in ({}, {"contents": "read"})
    granted = {name: job["permissions"] for name, job in read["jobs"].items() if "permissions" in job}
    if workflow.name == "release.yml":
        assert set(granted) == set(read["jobs"])
        assert granted["deploy"] == granted["test"] == {"contents": "read"}
    for step in steps(workflow):
        assert "${{" not in step.get("run", "")  # what a tag or a person is called is no part of a script
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_nothing_is_pushed_untested_or_unscanned_or_deployed_before_it_is_pushed() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    assert jobs["images"]["needs"] == ["test", "scan"]
    assert jobs["deploy"]["needs"] == "images"


@pytest.mark.parametrize(
    "target",
    [
        *("install", "run", "test", "lint", "build", "clean", "shell", "stop", "restart", "logs", "push"),
        *("health-check", "metrics", "sbom", "scan"),
    ],
)
def test_a_target_is_there_and_in_the_help(target: str) -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  make {target} +\S", told, re.MULTILINE)
    rehearsal = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target, "IMAGE=team/app:1"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rehearsal.returncode == 0, rehearsal.stderr


@pytest.mark.parametrize("document", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_the_docs_name_targets_that_are_there(document: Path) -> None:
    named = re.findall(r"(?:^|`|\$ )make ([a-z][a-z-]*)", document.read_text(), re.MULTILINE)
    assert set(named) <= TARGETS


DEPLOYMENT = "".join((ROOT / "docs" / page).read_text() for page in ("deployment.md", "systemd.md"))
BLOCKS = [block for _, block in re.findall(r"```(sh|console)\n(.*?)```", DEPLOYMENT, re.DOTALL)]


def test_the_docs_copy_files_that_are_there() -> None:
    named = {path for block in BLOCKS for path in re.findall(r"(?<=\s)deploy/\S+", block)}
    assert len(named) == 5
    for path in named:
        assert list(ROOT.glob(path)), path
    units = set(re.findall(r"\bsightglass-?\w*\.(?:service|timer)", DEPLOYMENT))
    assert units <= {path.name for path in (ROOT / "deploy" / "systemd").iterdir()}


def test_the_docs_set_variables_that_are_there() -> None:
    template = (ROOT / ".env.template").read_text()
    for name in {name for block in BLOCKS for name in re.findall(r"^([A-Z][A-Z_]+)=", block, re.MULTILINE)}:
        assert name == "COMPOSE_PROJECT_NAME" or re.search(rf"^(?:# )?{name}=", template, re.MULTILINE), name
    fields = {field.name.upper() for kind in (ServerSettings, Settings) for field in dataclasses.fields(kind)}
    for document in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"\bSIGHTGLASS_([A-Z][A-Z_]*[A-Z])\b", document.read_text()):
            assert name in fields or any(field.startswith(f"{name}_") for field in fields), (document.name, name)


def test_clean_leaves_what_is_somebodys(tmp_path: Path) -> None:
    kept = [
        ".env",
        ".build/ca-certificates.crt",
        ".venv/lib/__pycache__/x.pyc",
        "backups/x",
        ".releases/1/env",
        "api/x.py",
    ]
    gone = [".ruff_cache/x", ".build/sbom.json", "api/__pycache__/x.pyc", "artifacts/x", ".pytest_cache/v/x"]
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    subprocess.run(["make", "--silent", "-f", str(ROOT / "Makefile"), "clean"], cwd=tmp_path, check=True)
    assert {name for name in (*kept, *gone) if (tmp_path / name).exists()} == set(kept)


SSH = """#!/bin/sh
printf '%s\\n' "$@" >"$TOLD"
for word; do :; done
exec env -u MAKELEVEL -u MAKEFLAGS sh -c "$word"
"""


def over_ssh(directory: Path, machine: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command by an `ssh` that leads to this machine, as sshd does: by the user's shell."""
    (directory / "ssh").write_text(SSH)
    (directory / "ssh").chmod(0o755)
    environment = os.environ | {"PATH": f"{directory}:{os.environ['PATH']}", "TOLD": str(directory / "told")}
    return subprocess.run(
        [str(ROOT / "scripts" / "over-ssh.sh"), machine, *command],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["sightglass", "with space", "it's", "$(touch stolen)", "a;b", "ü"])
@pytest.mark.parametrize("word", ["plain", "two words", "it's", "$HOME", "a;b", "IMAGE=team/app:1@sha256:0", "", "ü"])
def test_a_command_reaches_another_machine_word_for_word(tmp_path: Path, name: str, word: str) -> None:
    there = tmp_path / name
    there.mkdir()
    result = over_ssh(tmp_path, f"deploy@shop.example:{there}", "sh", "-c", 'pwd; printf "%s" "$1"', "-", word)
    assert result.stdout == f"{there}\n{word}", result.stderr
    assert (tmp_path / "told").read_text().splitlines()[:3] == ["-o", "BatchMode=yes", "deploy@shop.example"]


def test_a_command_that_fails_there_fails_here(tmp_path: Path) -> None:
    assert over_ssh(tmp_path, f"shop:{tmp_path}", "sh", "-c", "exit 3").returncode == 3
    assert over_ssh(tmp_path, f"shop:{tmp_path}/none", "touch", str(tmp_path / "touched")).returncode != 0
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "machine",
    ["", "shop", "shop:", "shop:relative", "-oProxyCommand=x:/srv", "a b@shop:/srv", "shop:/srv\nx", "@shop:/srv"],
)
def test_what_is_no_machine_is_refused_in_one_line(tmp_path: Path, machine: str) -> None:
    result = over_ssh(tmp_path, machine, "true")
    assert result.returncode == 2
    assert re.fullmatch(r"MACHINE=.*: not allowed; expected USER@HOST:/DIRECTORY, .*\n", result.stderr)
    assert not (tmp_path / "told").exists()


def test_deploy_runs_there_by_the_same_command(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("deploy:\n\t@echo 'deployed $(IMAGE)'\n")
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TOLD": str(tmp_path / "told")}
    result = subprocess.run(
        ["make", "--no-print-directory", "deploy", f"MACHINE=shop:{tmp_path}", "IMAGE=team/app@sha256:0"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout == "deployed team/app@sha256:0\n"
