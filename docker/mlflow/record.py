"""Logs an evaluation, which comes by standard input, as a run of MLflow's (scripts/evaluate.py hands it on)."""

import json
import os
import sys

import mlflow

EXPERIMENT = "sightglass"
HERE = "http://127.0.0.1:5000"


def main() -> None:
    """Log it; prints the run's name for people."""
    evaluation = json.load(sys.stdin)
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or HERE)
    mlflow.set_experiment(EXPERIMENT)
    model = evaluation["model"]
    with mlflow.start_run(run_name=f"{model['name']} {model['version']}") as run:
        mlflow.log_params(
            {f"model_{name}": value for name, value in model.items()}
            | {"data_version": evaluation["data"], "data_rows": len(evaluation["rows"])}
            | {"data_new_rows": evaluation["new_rows"]}
        )
        mlflow.log_metrics(
            {f"{name}/{kind}": value for kind, each in evaluation["figures"].items() for name, value in each.items()}
        )
        mlflow.log_dict(evaluation, "evaluation.json")
    sys.stdout.write(f"MLflow: experiment {EXPERIMENT}, run {run.info.run_name} ({run.info.run_id})\n")


if __name__ == "__main__":
    main()
