"""What `make evaluate` does with what was measured."""

import subprocess
from typing import Any

import pytest

from api.privacy.quality.evaluation import TOLERANCE
from monitoring.alerts import QUALITY_TOLERANCE
from scripts import environment, evaluate

ADDRESS = "https://mlflow.example:5000"


@pytest.mark.parametrize(
    ("given", "told"), [({evaluate.TRACKING: ADDRESS}, [f"--env={evaluate.TRACKING}={ADDRESS}"]), ({}, [])]
)
def test_mlflow_is_told_where_else_to_log(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: list[str]
) -> None:
    commands: list[tuple[str, ...]] = []

    def run(command: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(tuple(command))
        return subprocess.CompletedProcess(command, 0, "logged\n", "")

    monkeypatch.setattr(subprocess, "run", run)  # every command's, `ps` included: MLflow runs
    monkeypatch.setattr(environment, "read", lambda *_: given)
    evaluate.keep({"figures": {}})
    assert commands[-1] == (
        *("docker", "compose", "--profile", "mlflow", "exec", "-T"), *told, "mlflow", "python", evaluate.RECORD,
    )  # fmt: skip


def test_a_deploy_and_the_alert_find_the_same_model_worse() -> None:
    assert TOLERANCE == QUALITY_TOLERANCE
