"""Measures the model that this image serves, on labelled texts from standard input (`labelled.py`).

    python -m api.privacy.quality.evaluation            measure and keep, for the metrics
    python -m api.privacy.quality.evaluation --compare  measure only; status 3 when it is worse than what is kept,
                                                        4 when that was measured on other texts
    python -m api.privacy.quality.evaluation --keep     keep what another run has printed

What was measured is one JSON object on standard output; how far it is, on standard error. Nothing of a text is in
either.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial

from api.privacy.findings import Model, ModelError, load_model
from api.privacy.quality import labelled, record
from api.privacy.quality.labelled import Example, LabelError
from api.privacy.quality.record import Evaluation, Record, RecordError
from api.privacy.quality.scores import Pair, measure, worse
from api.privacy.recognizers.limit import SearchLimitError
from api.privacy.scanner import locate, scan
from api.settings import Settings, load_settings_or_exit

MIN_CONFIDENCE = 0.35
"""What /api/v1/predict has as its default."""
TOLERANCE = 0.02
"""By how much f1 may fall without a model being worse: ten labels in five hundred."""
WORSE, NOT_COMPARABLE = 3, 4
PROGRESS_SECONDS = 5.0


def main() -> int:
    """Do what the command line says.

    Returns:
        0; 3 or 4 as above; 1 with a line on stderr where nothing was measured.

    """
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = arguments.add_mutually_exclusive_group()
    chosen.add_argument(
        "--compare",
        action="store_true",
        help="keep nothing; status 3 when worse",
    )
    chosen.add_argument("--keep", action="store_true", help="keep what was measured elsewhere")
    options = arguments.parse_args()
    settings = load_settings_or_exit()
    before = record.read(settings.runs_dir)
    try:
        if options.keep:
            evaluation = record.parse(json.load(sys.stdin))
        else:
            data = labelled.read(sys.stdin.buffer)
            evaluation = evaluate(load_model(settings.model_path), data.examples, data.version, before, settings)
        if not options.compare:
            record.write(settings.runs_dir, record.following(before, evaluation))
    except (LabelError, ModelError, RecordError, OSError, ValueError) as error:
        say(str(error))
        return 1
    if not options.keep:
        sys.stdout.write(json.dumps(asdict(evaluation)) + "\n")
    if not options.compare:
        return 0
    if before is None or before.current.data != evaluation.data:
        return NOT_COMPARABLE
    lines = worse(evaluation.figures, before.current.figures, TOLERANCE)
    for line in lines:
        say(line)
    return WORSE if lines else 0


def evaluate(
    model: Model, examples: Sequence[Example], version: str, before: Record | None, settings: Settings
) -> Evaluation:
    """Search each text as /api/v1/predict does, and count.

    Raises:
        LabelError: a text is in a language that the model has not, or takes longer to search than it may.

    """
    figures = measure(_searched(model, examples))
    rows = tuple(example.row for example in examples)
    identity = {"name": model.name, "version": model.version, "revision": settings.app_revision or ""}
    return Evaluation(identity, version, rows, record.new_rows(before, rows), time.time(), figures)


def _searched(model: Model, examples: Sequence[Example]) -> Iterator[Pair]:
    said = time.monotonic()
    for number, example in enumerate(examples, 1):
        if example.language not in model.languages:
            allowed = ", ".join(model.languages)
            raise LabelError(f"text {number}: language {example.language!r}: not allowed; expected one of: {allowed}")
        find = partial(model.find, language=example.language, min_confidence=MIN_CONFIDENCE)
        try:
            found = locate(list(scan(example.text, find)))
        except SearchLimitError:
            raise LabelError(f"text {number}: takes longer to search than a text may") from None
        yield Pair(example.entities, found)
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            say(f"    {number} of {len(examples)} texts")


def say(line: str) -> None:
    """Write a line for people, who may not be reading what is measured."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
