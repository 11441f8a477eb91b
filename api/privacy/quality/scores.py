"""What of the labelled was found, and what of the found is labelled: counts, and the figures that follow from them.

A finding is right when its type and both of its ends are those of a label, as in the CoNLL shared tasks (Tjong Kim Sang
and De Meulder, 2003).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from api.privacy.findings import Finding

ALL = "all"
"""All types together: their counts added up."""

Figures = dict[str, dict[str, float]]
"""Figure ("precision", "recall", "f1", "accuracy") by entity type; one that is 0 / 0 is not there."""


@dataclass(frozen=True)
class Pair:
    """One text's labels and what was found in it."""

    labels: Sequence[Finding]
    found: Sequence[Finding]


def measure(pairs: Iterable[Pair]) -> Figures:
    """Count over all texts.

    Returns:
        For each type that is labelled or was found, and for `ALL`: the share of its findings that are right
        (precision), of its labels that were found (recall), their harmonic mean (f1), and the share of texts of which
        what was found is what is labelled, nothing less and nothing else (accuracy).

    """
    right, labelled, found, exact = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    texts, types = 0, set[str]()
    wrong_in: list[set[str]] = []
    for pair in pairs:
        texts += 1
        labels, findings = ({(one.type, one.start, one.end) for one in side} for side in (pair.labels, pair.found))
        for counter, side in ((labelled, labels), (found, findings), (right, labels & findings)):
            counter.update(kind for kind, _, _ in side)
            counter[ALL] += len(side)
        wrong = {kind for kind, _, _ in labels ^ findings}
        wrong_in.append(wrong | ({ALL} if wrong else set()))
        types |= {kind for kind, _, _ in labels | findings}
    for wrong in wrong_in:
        exact.update({ALL, *types} - wrong)
    return {
        kind: _figures(right[kind], labelled[kind], found[kind], exact[kind], texts) for kind in sorted(types | {ALL})
    }


def _figures(right: int, labelled: int, found: int, exact: int, texts: int) -> dict[str, float]:
    shares = {
        "precision": (right, found),
        "recall": (right, labelled),
        "f1": (2 * right, labelled + found),
        "accuracy": (exact, texts),
    }
    return {name: part / whole for name, (part, whole) in shares.items() if whole}


def worse(figures: Figures, before: Figures, tolerance: float) -> list[str]:
    """Return a line for each type whose f1 is lower than before by more than the tolerance, `ALL` first."""
    lines = []
    for kind in sorted(before, key=lambda kind: (kind != ALL, kind)):
        old, new = before[kind].get("f1"), figures.get(kind, {}).get("f1")
        if old is not None and (new if new is not None else 0.0) < old - tolerance:
            lines.append(f"{kind}: f1 {'none' if new is None else f'{new:.3f}'}, before {old:.3f}")
    return lines
