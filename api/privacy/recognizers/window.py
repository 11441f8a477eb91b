"""One window of text as recognizers see it: what several of them need, found once and only when one of them asks."""

import re
from bisect import bisect_right
from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from presidio_analyzer.nlp_engine import NlpArtifacts

from api.privacy.recognizers.limit import Budget

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

GAP = "\x00"
"""Stands between the parts of a view: no pattern reaches across it, and a word ends at it."""
NEIGHBOURS = 2
"""Words around one with a digit that belong to its part of the view."""

STOP_WORDS = 4
"""Stop words that may stand among so many words of context, times their number."""

# spaCy's tokenizer takes a word's brackets and endings off one by one, each time looking at the whole rest.
_UNREADABLE = re.compile(r"(?:[!-~]|[^\w\s]){65,}")

_DIGIT = re.compile(r"\d")
_RUN = re.compile(r"\S+")
_LETTERS = re.compile(r"[^\W\d_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


class View(NamedTuple):
    """Parts of a text as one text; `starts` are their places in it, `sources` their places in the whole."""

    text: str
    starts: list[int]
    sources: list[int]

    def source(self, place: int) -> int:
        """Give the place in the whole text."""
        part = bisect_right(self.starts, place) - 1
        return self.sources[part] + place - self.starts[part]


class Word(NamedTuple):
    """A word, in lower case, and its base form where the language's pipeline knows it."""

    start: int
    forms: str
    is_stop: bool


def whole(text: str) -> View:
    """Give a view of everything."""
    return View(text, [0], [0])


def around_digits(text: str) -> View:
    """Give a view of the words with digits and their neighbours; empty when there are none."""
    if not _DIGIT.search(text):
        return View("", [0], [0])
    spans = [run.span() for run in _RUN.finditer(text)]
    parts: list[tuple[int, int]] = []
    for number, span in enumerate(spans):
        if _DIGIT.search(text, *span):
            first, last = max(number - NEIGHBOURS, 0), min(number + NEIGHBOURS, len(spans) - 1)
            start, end = spans[first][0], spans[last][1]
            if parts and start <= parts[-1][1] + 1:
                start = parts.pop()[0]
            parts.append((start, end))
    starts, place = [], 0
    for start, end in parts:
        starts.append(place)
        place += end - start + len(GAP)
    return View(GAP.join(text[start:end] for start, end in parts), starts, [start for start, _ in parts])


class Window(NlpArtifacts):
    """Presidio's artifacts of a text, with words for lemmas where the pipeline makes none.

    A blank pipeline's tokens serve nothing but context, so its tokenizer is not run.
    """

    def __init__(self, text: str, language: str, pipeline: "Language", budget: Budget) -> None:
        self.text = text
        self.language = language
        self.budget = budget
        self._stop_words: Collection[str] = pipeline.Defaults.stop_words
        self._doc: Doc | None = None
        if pipeline.pipe_names:
            self._doc = pipeline(_UNREADABLE.sub(lambda run: " " * len(run[0]), text))
        budget.left()
        self.entities = list(self._doc.ents) if self._doc else []
        self.scores: list[float] = []

    @cached_property
    def digits(self) -> View:
        """What patterns with digits are searched in."""
        return around_digits(self.text)

    @cached_property
    def words(self) -> list[Word]:
        """The text's words, those joined by case, digits or underscores apart."""
        lemmas = {token.idx: token.lemma_.lower() for token in self._doc or () if token.lemma_}
        words: list[Word] = []
        for run in _LETTERS.finditer(self.text):
            start = run.start()
            for part in _HUMP.split(run[0]):
                lower = part.lower()
                lemma = lemmas.get(start, lower)
                forms = lower if lemma == lower else f"{lower} {lemma}"
                words.append(Word(start, forms, lower in self._stop_words))
                start += len(part)
        return words

    @cached_property
    def word_starts(self) -> list[int]:
        """Where the words start."""
        return [word.start for word in self.words]

    def before(self, place: int, count: int) -> str:
        """Give so many words before a place, and the stop words among them, joined by spaces."""
        first = last = bisect_right(self.word_starts, place)
        least = max(last - STOP_WORDS * count, 0)
        while first > least and count > 0:
            first -= 1
            count -= not self.words[first].is_stop
        return " ".join(word.forms for word in self.words[first:last])
