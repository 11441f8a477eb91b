"""Context: a word before a weak finding that says what it is."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from presidio_analyzer import EntityRecognizer, RecognizerResult
from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpArtifacts

from api.privacy.recognizers.window import Window

GAIN = 0.35
LEAST = 0.4
REACH = 5
"""Presidio's own values: what a context word adds, what it gives at least, how many words it may be away."""
DISTANCE = "distance"
"""In a result's metadata: characters between its context word and the end of the words before it."""
UNSPACED = "\u0e00"
"""From Thai on, most scripts have no spaces between words: a context word is looked for anywhere."""
WHOLE_WORD = 3
"""Letters up to which a context word is looked for as a whole (`us`, `lic`); longer ones may have endings."""


def words(text: str) -> frozenset[str]:
    """Give the words of a list."""
    return frozenset(text.split())


GOODS = words(
    "order invoice ticket tracking serial item sku article isbn receipt transaction part batch bestellung "
    "bestellnummer rechnung rechnungsnummer auftrag commande facture pedido factura fatura ordine fattura zamówienie "
    "faktura bestelling factuur"
)
"""Words that say digits alone are the number of a thing, nobody's own; the nearest word counts."""


class WordContext(ContextAwareEnhancer):
    """Presidio's enhancer by lemmas, in linear time, for words as they stand and for lemmas where there are some."""

    def __init__(self) -> None:
        super().__init__(
            context_similarity_factor=GAIN,
            min_score_with_context_similarity=LEAST,
            context_prefix_count=REACH,
            context_suffix_count=0,
        )

    def enhance_using_context(
        self,
        text: str,  # noqa: ARG002
        raw_results: list[RecognizerResult],
        nlp_artifacts: NlpArtifacts,
        recognizers: list[EntityRecognizer],
        context: list[str] | None = None,  # noqa: ARG002
    ) -> list[RecognizerResult]:
        """Raise the score of results that have a context word of their recognizer before them."""
        assert isinstance(nlp_artifacts, Window)  # noqa: S101  (the engine gives no other)
        contexts = {recognizer.id: tuple(recognizer.context or ()) for recognizer in recognizers}
        before: dict[int, str] = {}
        found: dict[tuple[tuple[str, ...], str], int | None] = {}  # tables say the same in every line
        for result in raw_results:
            own = contexts.get(_metadata(result)[RecognizerResult.RECOGNIZER_IDENTIFIER_KEY])
            if not own or result.score >= self.MAX_SCORE:
                continue
            if _metadata(result).get(RecognizerResult.IS_SCORE_ENHANCED_BY_CONTEXT_KEY):
                continue
            if result.start not in before:
                before[result.start] = nlp_artifacts.before(result.start, REACH)
            key = own, before[result.start]
            if key not in found:
                found[key] = find(*key)
            distance = found[key]
            if distance is not None:
                raise_score(result, distance)
        return raw_results


def raise_score(result: RecognizerResult, distance: int) -> None:
    """Note that a result has context."""
    result.score = min(max(result.score + GAIN, LEAST), 1.0)
    _metadata(result)[DISTANCE] = distance


def find(context: Sequence[str], before: str) -> int | None:
    """Give the characters between the last context word and the end of the words before a place."""
    last = None
    for match in _pattern(tuple(context)).finditer(before):
        last = match
    return len(before) - last.end() if last else None


@cache
def _pattern(context: tuple[str, ...]) -> re.Pattern[str]:
    phrases = {" ".join(re.findall(r"[^\W\d_]+", phrase.lower())) for phrase in context} - {""}
    return re.compile(
        "|".join(
            re.escape(phrase)
            if phrase >= UNSPACED
            else rf"\b{re.escape(phrase)}" + (r"\b" if len(phrase) <= WHOLE_WORD else "")
            for phrase in sorted(phrases, key=len, reverse=True)
        )
        or r"(?!)"
    )


def _metadata(result: RecognizerResult) -> dict[str, Any]:
    metadata: dict[str, Any] = result.recognition_metadata
    return metadata
