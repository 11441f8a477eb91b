"""What was measured, kept in RUNS_DIR for the metrics, and beside it what the model before had on the same data."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from api.privacy.quality.scores import Figures

FILE = Path("quality") / "evaluation.json"


class RecordError(Exception):
    """What should be kept is no evaluation."""


@dataclass(frozen=True)
class Evaluation:
    """One model on one set.

    Attributes:
        model: its name, its version and the commit of the code around it.
        data: the set's version.
        rows: labelled texts in it, each by what tells it again.
        new_rows: how many of them the evaluation before has not had.
        at: seconds since the epoch.
        figures: by entity type.

    """

    model: dict[str, str]
    data: str
    rows: tuple[str, ...]
    new_rows: int
    at: float
    figures: Figures


@dataclass(frozen=True)
class Record:
    """The evaluation that counts, and that of the model it has replaced, on the same data; None without one."""

    current: Evaluation
    replaced: Evaluation | None = None


def read(runs_dir: Path) -> Record | None:
    """Return what is kept; None where nothing is, or nothing that can be read."""
    try:
        kept = json.loads((runs_dir / FILE).read_bytes())
        return Record(parse(kept["current"]), parse(kept["replaced"]) if kept["replaced"] else None)
    except (OSError, ValueError, TypeError, KeyError, RecordError):
        return None


def parse(given: Any) -> Evaluation:
    """Return an evaluation from its JSON object.

    Raises:
        RecordError: it is none.

    """
    try:
        figures = {str(kind): {str(n): float(v) for n, v in each.items()} for kind, each in given["figures"].items()}
        model = {name: str(given["model"][name]) for name in ("name", "version", "revision")}
        rows = tuple(map(str, given["rows"]))
        return Evaluation(model, str(given["data"]), rows, int(given["new_rows"]), float(given["at"]), figures)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise RecordError("not an evaluation") from None


def following(before: Record | None, evaluation: Evaluation) -> Record:
    """Return the record with a new evaluation; what another model had on other data is not comparable, and goes."""
    if before is None:
        return Record(evaluation)
    other = before.current if before.current.model != evaluation.model else before.replaced
    return Record(evaluation, other if other and other.data == evaluation.data else None)


def new_rows(before: Record | None, rows: Sequence[str]) -> int:
    """Return how many rows the evaluation before has not had."""
    return len(set(rows) - set(before.current.rows if before else ()))


def write(runs_dir: Path, record: Record) -> None:
    """Keep a record; who reads meanwhile has the one before.

    Raises:
        OSError: it cannot be written.

    """
    path = runs_dir / FILE
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(asdict(record), file)
    Path(file.name).replace(path)
