"""The model: Presidio's recognizers over spaCy, and no download at any moment.

Without `MODEL_PATH` spaCy's blank English tokenizer serves: e-mail, card, IBAN, IP, phone, URL and the like are found
by pattern and checksum. A trained spaCy model adds what has no pattern: names, places, organisations.
"""

import logging
import math
import sys
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import spacy
from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import SpacyRecognizer
from spacy.language import Language

from api.privacy.findings import Finding, ModelError, merge
from api.privacy.folding import readings
from api.privacy.recognizers.catalogue import recognizers_for, types_of
from api.privacy.recognizers.context import DISTANCE, WordContext
from api.privacy.recognizers.limit import Budget
from api.privacy.recognizers.window import Window

BLANK_LANGUAGES = ("en",)
WARM_UP = "Mail anna@example.com, call +1 212 555 0123, pay 4111 1111 1111 1111, see https://example.org or 192.0.2.1."

logger = logging.getLogger(__name__)

# It says which recognizers it has and has not, at every load, and which labels it does not know, at every text.
logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)


class _Engine(SpacyNlpEngine):
    """Presidio's spaCy engine over pipelines that are loaded already: its own loader downloads what it misses."""

    def __init__(self, pipelines: dict[str, Language]) -> None:
        super().__init__([{"lang_code": language, "model_name": language} for language in pipelines])
        self.nlp = pipelines  # type: ignore[assignment]

    def process_text(self, text: str, language: str) -> Window:
        """Give a text's artifacts, made when they are needed."""
        return self.window(text, language, Budget())

    def window(self, text: str, language: str, budget: Budget) -> Window:
        """Give a text's artifacts; the entities its pipeline finds have the names that Presidio gives them."""
        assert self.nlp is not None  # noqa: S101  (set on construction)
        window = Window(text, language, self.nlp[language], budget)
        window.entities, window.scores = self._get_updated_entities(
            window.entities, [self.ner_model_configuration.default_score] * len(window.entities)
        )
        return window

    def labels(self, pipeline: Language) -> list[str]:
        """Give the types of what a pipeline's components find."""
        components = [name for name in pipeline.pipe_names if "doc.ents" in pipeline.get_pipe_meta(name).assigns]
        labels = {label for name in components for label in pipeline.pipe_labels.get(name, ())}
        configuration = self.ner_model_configuration
        named = {(configuration.model_to_presidio_entity_mapping or {}).get(label, label) for label in labels}
        return sorted(named - set(configuration.labels_to_ignore or ()))


class _Analyzer(AnalyzerEngine):
    """Presidio's engine; each recognizer sees its own results, once, when it looks for their context."""

    def _enhance_using_context(
        self,
        text: str,
        raw_results: list[RecognizerResult],
        nlp_artifacts: NlpArtifacts,
        recognizers: list[EntityRecognizer],
        context: list[str] | None = None,
    ) -> list[RecognizerResult]:
        by_recognizer: dict[str, list[RecognizerResult]] = {}
        for result in raw_results:
            by_recognizer.setdefault(
                result.recognition_metadata[RecognizerResult.RECOGNIZER_IDENTIFIER_KEY], []
            ).append(result)
        results: list[RecognizerResult] = []
        for recognizer in recognizers:
            own = by_recognizer.get(recognizer.id)
            if own:
                results += recognizer.enhance_using_context(text, own, [], nlp_artifacts, context)
        enhanced: list[RecognizerResult] = self.context_aware_enhancer.enhance_using_context(
            text, results, nlp_artifacts, recognizers, context
        )
        return enhanced


class PresidioModel:
    """Finds personal data in texts; safe to use from several threads."""

    def __init__(self, pipelines: Sequence[Language]) -> None:
        by_language = {str(pipeline.lang): pipeline for pipeline in pipelines}
        meta = pipelines[0].meta
        blank = all(not pipeline.pipe_names for pipeline in pipelines)
        self.name = "presidio-patterns" if blank else "+".join(f"{p.lang}_{p.meta['name']}" for p in pipelines)
        self.version = version("presidio-analyzer") if blank else str(meta["version"])
        self.languages: Sequence[str] = tuple(by_language)
        self._engine = _Engine(by_language)
        recognizers = [recognizer for language in by_language for recognizer in recognizers_for(language)]
        for language, pipeline in by_language.items():
            labels = self._engine.labels(pipeline)
            if labels:
                recognizers.append(SpacyRecognizer(supported_language=language, supported_entities=labels))
        self.finds: Mapping[str, tuple[str, ...]] = {
            language: types_of([r for r in recognizers if r.supported_language == language]) for language in by_language
        }
        self._analyzer = _Analyzer(
            RecognizerRegistry(recognizers, supported_languages=list(by_language)),
            self._engine,
            supported_languages=list(by_language),
            context_aware_enhancer=WordContext(),
        )
        for language in self.languages:
            self.find(WARM_UP, language, 0)

    def find(self, text: str, language: str, min_confidence: float) -> list[Finding]:
        """Give the findings of at least that confidence (0 to 1), sorted and apart; `language` is a loaded one.

        Raises:
            SearchLimitError: the text takes more CPU time than a window may.

        """
        budget = Budget()
        found: list[Finding] = []
        for reading in readings(text):
            window = self._engine.window(reading.text, language, budget)
            results = self._analyzer.analyze(
                reading.text, language, score_threshold=min_confidence, nlp_artifacts=window
            )
            known = merge(found)
            found += [finding for finding in reading.restore(_nearest(results)) if not _within(finding, known)]
        return merge(found)


def _within(finding: Finding, known: Sequence[Finding]) -> bool:
    """Tell whether another reading has found the same or more there; its name for it is kept."""
    place = bisect_right(known, finding.start, key=lambda other: other.start) - 1
    return place >= 0 and finding.end <= known[place].end


def _nearest(results: Sequence[RecognizerResult]) -> list[Finding]:
    """Give one finding for each place: the likeliest, then that whose word of context is nearest to it."""
    best: dict[tuple[int, int], tuple[float, float, str]] = {}
    for result in results:
        distance = (result.recognition_metadata or {}).get(DISTANCE, math.inf)
        rank = (-result.score, distance, result.entity_type)
        best[result.start, result.end] = min(best.get((result.start, result.end), rank), rank)
    return [Finding(start, end, entity, -score) for (start, end), (score, _, entity) in best.items()]


def load(path: Path | None) -> PresidioModel:
    """Load and warm up the model at `path`: a spaCy model's directory, or one that holds several, one a language.

    Raises:
        ModelError: there is no model, it cannot be read, or two are for the same language.

    """
    if path is None:
        return _said(PresidioModel([spacy.blank(language) for language in BLANK_LANGUAGES]))
    if not path.is_dir():
        raise ModelError(f"MODEL_PATH={path}: no such directory")
    directories = [path] if (path / "meta.json").is_file() else sorted(meta.parent for meta in path.glob("*/meta.json"))
    if not directories:
        raise ModelError(f"MODEL_PATH={path}: no spaCy model (meta.json) in it")
    try:
        pipelines = [spacy.load(directory) for directory in directories]
    except Exception as error:  # spaCy raises whatever its parts raise
        reason = str(error).partition("\n")[0]
        raise ModelError(f"MODEL_PATH={path}: not a spaCy model this version can load: {reason}") from error
    if len({pipeline.lang for pipeline in pipelines}) < len(pipelines):
        raise ModelError(f"MODEL_PATH={path}: two models for one language")
    return _said(PresidioModel(pipelines))


def _said(model: PresidioModel) -> PresidioModel:
    """Log what the model finds: it is not the same in every language."""
    for language, types in model.finds.items():
        logger.info("language %s finds %s", language, ", ".join(types))
    return model


def write_blank(directory: Path) -> None:
    """Save the blank models as `load` reads them, to start from or to serve as they are."""
    for language in BLANK_LANGUAGES:
        spacy.blank(language).to_disk(directory / language)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m api.privacy.model DIRECTORY")
    write_blank(Path(sys.argv[1]))
