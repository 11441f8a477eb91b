"""What a model finds in a text, and the text without it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class Finding(NamedTuple):
    """One piece of personal data: characters `start` up to `end` of a text."""

    start: int
    end: int
    type: str
    score: float


class Model(Protocol):
    """What finds: the shipped one is in `api.privacy.model`, which takes a second to import."""

    name: str
    version: str
    languages: Sequence[str]

    def find(self, text: str, language: str, min_confidence: float) -> list[Finding]:
        """Give the findings of at least that confidence (0 to 1), sorted and apart; `language` is one of its own."""


class ModelError(Exception):
    """A model cannot be loaded; the message says why, for operators."""


def load_model(path: Path | None) -> Model:
    """Load the model; importing what it takes is a second's work, not to be in the way of the start.

    Raises:
        ModelError: there is none at `path`, or none that can be loaded.

    """
    from api.privacy.model import load

    return load(path)


def merge(findings: Sequence[Finding]) -> list[Finding]:
    """Join findings that overlap, sorted by place; the best score, then the longest, names the whole.

    An e-mail address is also found as the URL of its domain: one thing to its reader, and all of it must go.
    """
    merged: list[Finding] = []
    best = 0
    for finding in sorted(findings):
        length = finding.end - finding.start
        if merged and finding.start < merged[-1].end:
            last = merged[-1]
            end = max(last.end, finding.end)
            if (finding.score, length) > (last.score, best):
                merged[-1] = Finding(last.start, end, finding.type, finding.score)
                best = length
            else:
                merged[-1] = last._replace(end=end)
        else:
            merged.append(finding)
            best = length
    return merged


def redact(text: str, findings: Sequence[Finding]) -> str:
    """Put `[TYPE]` in place of each finding; they are sorted and do not overlap.

    Square brackets mean nothing in CSV, XML and JSON, so a placeholder never needs escaping.
    """
    parts: list[str] = []
    position = 0
    for finding in findings:
        parts += text[position : finding.start], f"[{finding.type}]"
        position = finding.end
    parts.append(text[position:])
    return "".join(parts)
