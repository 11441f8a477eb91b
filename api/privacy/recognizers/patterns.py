"""Presidio's pattern recognizers, run where they can match and within the window's CPU time."""

from collections.abc import Iterator
from typing import Any

import regex
from presidio_analyzer import EntityRecognizer, LocalRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from api.privacy.recognizers.context import GOODS, REACH, find
from api.privacy.recognizers.limit import Budget, SearchLimitError
from api.privacy.recognizers.window import View, Window, whole


class Recognizer(LocalRecognizer):
    """A recognizer that sees a part of the window; without a `Window` it sees the whole text."""

    name: str

    def load(self) -> None:
        """Do nothing: it is ready."""

    def analyze(
        self,
        text: str,
        entities: list[str],  # noqa: ARG002
        nlp_artifacts: NlpArtifacts | None = None,
    ) -> list[RecognizerResult]:
        """Give what is found, with its place in the whole text."""
        window = nlp_artifacts if isinstance(nlp_artifacts, Window) else None
        view = self.view(window) if window else whole(text)
        if not view.text:
            return []
        budget = window.budget if window else Budget()
        results = [
            self.result(view.source(start), view.source(end - 1) + 1, score)
            for start, end, score in self.search(view.text, budget)
        ]
        budget.left()
        return results

    def view(self, window: Window) -> View:
        """Give the part of the window outside of which there is nothing to find."""
        return whole(window.text)

    def search(self, text: str, budget: Budget) -> Iterator[tuple[int, int, float]]:
        """Give start, end and score of what is in a text.

        Raises:
            SearchLimitError: it takes too long.

        """
        raise NotImplementedError

    def result(self, start: int, end: int, score: float) -> RecognizerResult:
        """Give a result as Presidio has it, less its explanation, which nobody reads."""
        return RecognizerResult(
            self.supported_entities[0],
            start,
            end,
            score,
            recognition_metadata={
                RecognizerResult.RECOGNIZER_NAME_KEY: self.name,
                RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
            },
        )


class PatternSearch(Recognizer):
    """A pattern recognizer of Presidio's whose matches all have a digit."""

    overlapped = False
    """Whether a match may begin within another one."""

    def __init__(self, inner: Any, language: str) -> None:
        """Run `inner`, a `PatternRecognizer`, whose attributes have no types."""
        self._inner = inner
        self._patterns = [
            (regex.compile(pattern.regex, inner.global_regex_flags or 0), pattern.score) for pattern in inner.patterns
        ]
        super().__init__(
            supported_entities=inner.supported_entities,
            supported_language=language,
            name=inner.name,
            context=inner.context,
        )

    def view(self, window: Window) -> View:
        """Give the words with digits and those around them."""
        return window.digits

    def search(self, text: str, budget: Budget) -> Iterator[tuple[int, int, float]]:
        """Do as Presidio does, but for the time-out, at which it goes on as if nothing were there."""
        best: dict[tuple[int, int], float] = {}
        for pattern, score in self._patterns:
            for match in self._matches(pattern, text, budget):
                span = match.span()
                best[span] = max(self._judge(match[0], score), best.get(span, 0))
        for (start, end), score in best.items():
            if score > EntityRecognizer.MIN_SCORE:
                yield start, end, score

    def _matches(self, pattern: "regex.Pattern[str]", text: str, budget: Budget) -> Iterator["regex.Match[str]"]:
        try:
            yield from pattern.finditer(text, overlapped=self.overlapped, timeout=budget.left())
        except TimeoutError:
            raise SearchLimitError from None

    def _judge(self, value: str, score: float) -> float:
        valid = self._inner.validate_result(value) if value else False
        if valid is not None:
            score = EntityRecognizer.MAX_SCORE if valid else EntityRecognizer.MIN_SCORE
        if score > EntityRecognizer.MIN_SCORE and self._inner.invalidate_result(value):
            return EntityRecognizer.MIN_SCORE
        return score


class GroupSearch(PatternSearch):
    """Numbers in groups of digits, of which a number before them may be taken for the first."""

    overlapped = True


class LetterSearch(PatternSearch):
    """A pattern that letters alone can match."""

    def view(self, window: Window) -> View:
        """Give everything."""
        return whole(window.text)


class MacSearch(PatternSearch):
    """Hardware addresses: a pattern that letters alone can match, but only with separators at certain places."""

    def view(self, window: Window) -> View:
        """Give everything, when there is a colon, hyphen or dot as an address has."""
        return whole(window.text) if _MAC.search(window.text) else View("", [0], [0])


class NhsSearch(PatternSearch):
    """NHS numbers: one in eleven numbers of ten digits has a right check digit, an order's too."""

    def enhance_using_context(
        self,
        text: str,
        raw_recognizer_results: list[RecognizerResult],
        other_raw_recognizer_results: list[RecognizerResult],  # noqa: ARG002
        nlp_artifacts: NlpArtifacts,
        context: list[str] | None = None,  # noqa: ARG002
    ) -> list[RecognizerResult]:
        """Drop digits alone where the nearest word that says something says that they are another number."""
        assert isinstance(nlp_artifacts, Window)  # noqa: S101  (the engine gives no other)
        results = []
        for result in raw_recognizer_results:
            if text[result.start : result.end].isdigit():
                before = nlp_artifacts.before(result.start, REACH)
                other, own = find(_GOODS, before), find(self.context, before)
                if other is not None and (own is None or other < own):
                    continue
            results.append(result)
        return results


def make_search(inner: Any, language: str) -> PatternSearch:
    """Give a `PatternRecognizer` of Presidio's as it is run here."""
    match inner.name:
        case "CreditCardRecognizer" | "ItVatCodeRecognizer":
            return GroupSearch(inner, language)
        case "NhsRecognizer":
            return NhsSearch(inner, language)
        case "MacAddressRecognizer":
            return MacSearch(inner, language)
        case "ItFiscalCodeRecognizer":
            return LetterSearch(inner, language)
    return PatternSearch(inner, language)


_GOODS = sorted(GOODS)
_MAC = regex.compile(r"[0-9A-Fa-f]{2}[:\-][0-9A-Fa-f]{2}[:\-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.")
