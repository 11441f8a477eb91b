"""Measures the served model on labelled texts, prints the figures, and keeps them for the metrics and for MLflow.

The texts go to the container by its standard input: nothing of the host is mounted. Standard library only.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import environment
from scripts.commands import ROOT, run, say
from scripts.preflight import refusal

VARIABLE = "EVALUATE_DATA"
WORSE, NOT_COMPARABLE = 3, 4
"""The statuses of a comparison that a model has lost, and of one with nothing (api/privacy/quality/evaluation.py)."""
FIGURES = ("precision", "recall", "f1", "accuracy")
COMMAND = """
cd /opt/service 2>/dev/null ||
    { echo "make evaluate: this image has an application of yours in it; expected the shipped service" >&2; exit 1; }
exec python -m api.privacy.quality.evaluation $1
"""
TRACKING = "MLFLOW_TRACKING_URI"
RECORD = "/etc/sightglass/mlflow/record.py"


class EvaluateError(Exception):
    """Why nothing was measured, for people."""


def main() -> int:
    """Measure what serves.

    Returns:
        0; 1 with the reason on stderr.

    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", nargs="?", default="", help=f"a file of labelled texts (default: {VARIABLE})")
    options = arguments.parse_args()
    given = environment.read(VARIABLE).get(VARIABLE, "")
    try:
        evaluation = measure(file_of("DATA" if options.data else VARIABLE, options.data or given), served())
        print(table(evaluation))
        keep(evaluation)
    except EvaluateError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def file_of(name: str, value: str) -> Path:
    """Return the file a variable names.

    Raises:
        EvaluateError: there is none.

    """
    path = ROOT / Path(value).expanduser()
    if not value or not path.is_file():
        raise EvaluateError(refusal(name, value, "a file of labelled texts, JSON Lines (docs/model.md)"))
    return path


def served() -> str:
    """Return the image that the API's containers run, which a build since may have taken the name of.

    Raises:
        EvaluateError: none runs.

    """
    ids = run("docker", "compose", "ps", "--quiet", "api").stdout.split()
    if not ids:
        raise EvaluateError("no replica of api runs; start the stack first: make up")
    return run("docker", "inspect", "--format", "{{.Image}}", ids[0]).stdout.strip()


def measure(data: Path, image: str = "") -> dict[str, Any]:
    """Measure an image's model; without a name, that of the image to be served.

    Raises:
        EvaluateError: it could not be; why is on stderr already.

    """
    with data.open("rb") as texts:
        result = _in_container("", image, stdin=texts)
    return _evaluation(result)


def compare(data: Path) -> tuple[dict[str, Any], bool]:
    """Measure the model of the image to be served, and say whether it is worse than what serves, by lines on stderr.

    Raises:
        EvaluateError: it could not be measured.

    """
    result = _compare(data)
    if result.returncode == NOT_COMPARABLE:  # what serves was never measured on these texts
        keep(measure(data, served()))
        result = _compare(data)
    return _evaluation(result, WORSE), result.returncode == WORSE


def keep(evaluation: Mapping[str, Any]) -> None:
    """Keep what was measured: for the metrics, and in MLflow where that runs.

    Raises:
        EvaluateError: it cannot be kept.

    """
    told = json.dumps(evaluation)
    if _in_container("--keep", "", input=told).returncode != 0:
        raise EvaluateError("what was measured is not kept")
    command = ["docker", "compose", "--profile", "mlflow", "exec", "-T"]
    if not run(*command[:-2], "ps", "--quiet", "--status", "running", "mlflow").stdout.strip():
        return
    if elsewhere := environment.read(TRACKING).get(TRACKING):
        command.append(f"--env={TRACKING}={elsewhere}")
    command += ["mlflow", "python", RECORD]
    result = subprocess.run(command, cwd=ROOT, input=told, text=True, capture_output=True, check=False)
    if result.returncode != 0:
        raise EvaluateError(
            f"MLflow does not take it: {(result.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        )
    say(result.stdout.strip().splitlines()[-1])


def table(evaluation: Mapping[str, Any]) -> str:
    """Return the figures for people; what cannot be told (nothing found, or nothing labelled) is a dash."""
    model, figures = evaluation["model"], evaluation["figures"]
    width = max(map(len, figures))
    lines = [
        f"{model['name']} {model['version']} on {len(evaluation['rows'])} texts, {evaluation['new_rows']} of them new "
        f"(data {evaluation['data']})",
        "  ".join([" " * width, *(f"{name:>9}" for name in FIGURES)]),
    ]
    for kind, each in figures.items():
        shown = (f"{each[name]:.3f}" if name in each else "-" for name in FIGURES)
        lines.append("  ".join([f"{kind:<{width}}", *(f"{figure:>9}" for figure in shown)]))
    return "\n".join(lines)


def _compare(data: Path) -> subprocess.CompletedProcess[str]:
    with data.open("rb") as texts:
        return _in_container("--compare", "", stdin=texts)


def _in_container(option: str, image: str, **standard_input: Any) -> subprocess.CompletedProcess[str]:
    """Run the measuring in a container of its own; what it says on its way goes to this process's stderr."""
    alone = ("--rm", "--no-deps", "-T", "--entrypoint", "sh")
    command = ("docker", "compose", "--progress", "quiet", "run", *alone, "api", "-ec", COMMAND, "sh", option)
    variables = os.environ | ({"SERVED_IMAGE": image} if image else {})
    return subprocess.run(
        command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=False, **standard_input
    )


def _evaluation(result: subprocess.CompletedProcess[str], *allowed: int) -> dict[str, Any]:
    if result.returncode not in (0, *allowed):
        raise EvaluateError("the model was not measured")
    evaluation: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return evaluation


if __name__ == "__main__":
    sys.exit(main())
