"""What the search of a window costs, beside Presidio as it comes; and what the texts made to be costly cost.

Both sides search the same windows in the same process, by turns; the time is the process's CPU time, of which the
least of several rounds counts, as other work on the machine only adds to it.
Run as ``python -m bench.search``.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine

from api.privacy.model import load
from api.privacy.scanner import WINDOW
from bench.report import Figure, publish, table
from tests.attacks.inputs.texts import COSTLY

ROUNDS = 7
WINDOWS = 12
"""Windows of each kind of text."""
ROOT = Path(__file__).resolve().parent.parent


class Cost(NamedTuple):
    """CPU time of a window, in milliseconds."""

    ours: float
    presidio: float


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    # As it comes it fetches this list; the one that is in the package serves as well.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # type: ignore[assignment]
    engine = SpacyNlpEngine([{"lang_code": "en", "model_name": "en"}])
    engine.nlp = {"en": spacy.blank("en")}  # type: ignore[assignment]
    presidio = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    model = load(None)

    def ours(text: str) -> object:
        return model.find(text, "en", 0.35)

    def theirs(text: str) -> object:
        return presidio.analyze(text, "en", score_threshold=0.35)

    costs = {name: _compare(texts, ours, theirs, options.rounds) for name, texts in kinds().items()}
    average = mean(cost.ours for cost in costs.values())
    costly = {name: _time(ours, [_fill(unit)], options.rounds) for name, unit in COSTLY.items()}
    worst = sorted(costly.items(), key=lambda item: -item[1])
    ratios = [cost.ours / cost.presidio for cost in costs.values()]
    rows = [
        [name, f"{cost.presidio:.2f}", f"{cost.ours:.2f}", f"{cost.ours / cost.presidio:.2f}"]
        for name, cost in costs.items()
    ]
    publish(
        "The search of a window",
        f"{WINDOW} characters and less, CPU milliseconds a window, the least of {options.rounds} rounds; Presidio as "
        "it comes over the same blank spaCy pipeline, in the same process and by turns.\n\n"
        + table(["text", "Presidio", "the service", "÷ Presidio"], rows)
        + f"\n\nTexts made to be costly, {len(COSTLY)} kinds; the costliest ten, beside the mean of the texts above "
        f"({average:.2f} ms):\n\n"
        + table(
            ["repeated", "the service", "÷ mean"],
            [[f"`{name}`", f"{cost:.2f}", f"{cost / average:.1f}"] for name, cost in worst[:10]],
        ),
        [
            Figure("the search of a window, the costliest kind of text", "Presidio as it comes", max(ratios)),
            Figure("the costliest text that was made", "the mean of ordinary ones", worst[0][1] / average),
        ],
    )


def kinds() -> dict[str, list[str]]:
    """Give windows of each kind of text."""
    prose = "\n".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    source = random.Random(1)
    rows = [
        (
            f"Ada {source.choice(['Byron', 'Smith', 'Jones'])}",
            f"ada{number}@example.org",
            f"+44 20 7946 0{source.randint(100, 999)}",
            source.choice(["4111 1111 1111 1111", "5500 0055 5555 5559", ""]),
            f"2024-0{source.randint(1, 9)}-1{source.randint(0, 9)}",
            source.choice(["paid in full, thank you", "please call back about the delivery", "waits for an answer"]),
        )
        for number in range(1000)
    ]
    sentences = " ".join(
        f"Write to {row[1]} or call {row[2]}. The card is {row[3] or 'not known'}, the invoice from May."
        for row in rows
    )
    return {
        "one sentence": [
            "Write to ada@example.org or call +44 20 7946 0958. The card is 4111 1111 1111 1111, the invoice from May."
        ],
        "prose": _windows(prose),
        "mixed text": _windows(sentences),
        "plain sentences": _windows(
            "".join(
                f"Please ask {n}@example.org about the delivery to the old harbour before long. " for n in range(999)
            )
        ),
        "CSV": _windows("\n".join("\n".join(row) for row in rows)),
        "NDJSON": _windows("\n".join(json.dumps(row) for row in rows)),
        "programs": _windows("\n".join(path.read_text() for path in sorted((ROOT / "api").rglob("*.py")))),
    }


def _windows(text: str) -> list[str]:
    step = max(len(text) // WINDOWS, WINDOW)
    return [text[start : start + WINDOW] for start in range(0, len(text) - WINDOW, step)][:WINDOWS]


def _fill(unit: str) -> str:
    return (unit * (WINDOW // len(unit) + 1))[:WINDOW]


def _compare(texts: list[str], ours: Callable[[str], object], theirs: Callable[[str], object], rounds: int) -> Cost:
    pairs = [(_once(ours, texts), _once(theirs, texts)) for _ in range(rounds)]
    return Cost(min(pair[0] for pair in pairs), min(pair[1] for pair in pairs))


def _time(search: Callable[[str], object], texts: list[str], rounds: int) -> float:
    return min(_once(search, texts) for _ in range(rounds))


def _once(search: Callable[[str], object], texts: list[str]) -> float:
    began = time.process_time()
    for text in texts:
        search(text)
    return (time.process_time() - began) / len(texts) * 1000


if __name__ == "__main__":
    main()
