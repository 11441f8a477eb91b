"""Profile mlflow: each measurement is a run of MLflow's, behind the operators' door; a worse model is not deployed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack import Stack, eventually, free_ports, running_stack
from tests.support.backups import password

DATA = "examples/labelled.jsonl"
SEARCH = "/api/2.0/mlflow/runs/search"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    (port,) = free_ports(1)
    with running_stack(profiles=["monitoring"], MLFLOW="true", MLFLOW_PORT=str(port), EVALUATE_DATA=DATA) as running:
        yield running


def door(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.settings['MLFLOW_PORT']}"


def operator(stack: Stack) -> httpx.Client:
    """Return a client that is let in."""
    name, _, word = stack.operator.partition(":")
    return httpx.Client(base_url=door(stack), auth=(name, word), timeout=30)


def runs(stack: Stack) -> list[dict[str, Any]]:
    """Return the runs of the experiment, newest first, asked for as an operator."""
    with operator(stack) as client:
        name = {"experiment_name": "sightglass"}
        found = client.get("/api/2.0/mlflow/experiments/get-by-name", params=name)
        ids = [found.json()["experiment"]["experiment_id"]]
        return list(client.post(SEARCH, json={"experiment_ids": ids}).json().get("runs", []))


def artifact(stack: Stack, run: dict[str, Any]) -> dict[str, Any]:
    """Return what a run has kept whole."""
    asked = {"run_uuid": run["info"]["run_id"], "path": "evaluation.json"}
    with operator(stack) as client:
        found: dict[str, Any] = client.get("/get-artifact", params=asked).raise_for_status().json()
    return found


def test_nobody_else_comes_in(stack: Stack) -> None:
    assert httpx.post(f"{door(stack)}{SEARCH}", json={}).status_code == 401
    assert httpx.get(door(stack), headers={"Host": "evil.example"}).status_code == 421
    with operator(stack) as client:
        assert "<title>MLflow</title>" in client.get("/").text


def test_no_secret_is_in_an_environment_or_a_command(stack: Stack) -> None:
    password = stack.compose("exec", "-T", "mlflow", "cat", "/run/mlflow/mlflow").stdout
    assert len(password) == 48
    for container in stack.inspect("mlflow", "postgres", "api", "operators", "mlflow-door"):
        assert password not in str(container)
    assert password not in stack.compose("exec", "-T", "mlflow", "cat", "/proc/1/cmdline").stdout


def test_each_measurement_is_a_run(stack: Stack) -> None:
    for _ in range(2):
        measured = stack.run("make", "--silent", "evaluate")
        assert measured.returncode == 0, measured.stderr
        assert "MLflow: experiment sightglass, run presidio-patterns" in measured.stdout
    found = [one["data"] for one in runs(stack)]
    assert len(found) == 2
    parameters = [{one["key"]: one["value"] for one in data["params"]} for data in found]
    assert [one["data_new_rows"] for one in parameters] == ["0", "30"]
    assert parameters[0]["data_rows"] == "30"
    metrics = {one["key"]: one["value"] for one in found[0]["metrics"]}
    assert metrics["f1/EMAIL_ADDRESS"] == 1


def test_runs_outlive_the_database_and_the_server(stack: Stack) -> None:
    stack.compose("rm", "--stop", "--force", "mlflow", "postgres")
    stack.compose("up", "--detach", "--wait", "--no-build", "mlflow", "postgres")
    assert len(runs(stack)) == 2


def test_a_worse_model_is_not_deployed_unless_told_so(stack: Stack) -> None:
    model = Path(stack.directory) / "api/privacy/model.py"
    code = model.read_text()
    assert "        return merge(found)\n" in code
    model.write_text(code.replace("        return merge(found)\n", "        return []\n"))
    (before,) = stack.inspect("api")
    refused = stack.run("make", "--silent", "deploy")
    assert refused.returncode != 0
    assert "all: f1 0.000, before" in refused.stderr
    assert "the new model is worse than what serves; nothing was changed" in refused.stderr
    assert stack.inspect("api")[0]["Id"] == before["Id"]
    done = stack.run("make", "--silent", "deploy", "ALLOW_WORSE=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(runs(stack)) == 3
    stack.wait_for_scrape()
    assert stack.value('max(model_quality{metric="f1",entity_type="all"})') == 0


def test_a_wiped_machine_has_the_runs_and_their_artifacts_again(stack: Stack) -> None:
    before = runs(stack)
    kept = [artifact(stack, run) for run in before]
    assert [one["new_rows"] for one in kept] == [0, 0, 30]
    backed_up = stack.run("make", "backup")
    assert backed_up.returncode == 0, backed_up.stdout + backed_up.stderr
    key = password(stack)
    stack.compose("--profile", "*", "down", "--volumes")
    stack.env_file.unlink()
    restored = stack.run("make", "restore", RESTIC_PASSWORD=key)
    assert restored.returncode == 0, restored.stdout + restored.stderr
    up = stack.run("make", "up")
    assert up.returncode == 0, up.stdout[-3000:] + up.stderr[-3000:]
    assert runs(stack) == before
    assert [artifact(stack, run) for run in before] == kept
    assert "restored the database mlflow" in stack.logs("postgres", tail=100)
    again = stack.run("make", "backup")
    assert again.returncode == 0, again.stdout + again.stderr


def test_the_databases_password_changes_and_it_answers_on(stack: Stack) -> None:
    def answers() -> bool:
        with operator(stack) as client:
            asked = {"experiment_name": "Default"}  # of MLflow's own making, in the database
            return client.get("/api/2.0/mlflow/experiments/get-by-name", params=asked).status_code == 200

    assert answers()
    result = stack.run("make", "rotate", "SECRET=mlflow-db")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == "==> done: the new password is taken, the old one is refused\n"
    assert answers()
    stack.compose("restart", "postgres")  # no connection is left
    eventually(answers, lambda: stack.logs("mlflow", "postgres"))
