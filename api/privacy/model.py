"""The model: Presidio's recognizers over spaCy, and no download at any moment.

Without `MODEL_PATH` spaCy's blank English tokenizer serves: e-mail, card, IBAN, IP, phone, URL and the like are found
by pattern and checksum. A trained spaCy model adds what has no pattern: names, places, organisations.
"""

import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from spacy.language import Language

from api.privacy.findings import Finding, ModelError, merge

BLANK_LANGUAGES = ("en",)
WARM_UP = "Mail anna@example.com, call +1 212 555 0123, pay 4111 1111 1111 1111, see https://example.org or 192.0.2.1."

# It says which recognizers it has and has not, at every load, and which labels it does not know, at every text.
logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)

# The recognizers call `tldextract.extract`, which fetches the list of public suffixes on first use; the list that
# comes with the package does.
tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # type: ignore[assignment]


class _Engine(SpacyNlpEngine):
    """Presidio's spaCy engine over pipelines that are loaded already: its own loader downloads what it misses."""

    def __init__(self, pipelines: dict[str, Language]) -> None:
        super().__init__([{"lang_code": language, "model_name": language} for language in pipelines])
        self.nlp = pipelines  # type: ignore[assignment]


class PresidioModel:
    """Finds personal data in texts; safe to use from several threads."""

    def __init__(self, pipelines: Sequence[Language]) -> None:
        by_language = {str(pipeline.lang): pipeline for pipeline in pipelines}
        meta = pipelines[0].meta
        blank = all(not pipeline.pipe_names for pipeline in pipelines)
        self.name = "presidio-patterns" if blank else "+".join(f"{p.lang}_{p.meta['name']}" for p in pipelines)
        self.version = version("presidio-analyzer") if blank else str(meta["version"])
        self.languages: Sequence[str] = tuple(by_language)
        self._analyzer = AnalyzerEngine(nlp_engine=_Engine(by_language), supported_languages=list(by_language))
        for language in self.languages:
            self.find(WARM_UP, language, 0)

    def find(self, text: str, language: str, min_confidence: float) -> list[Finding]:
        """Give the findings of at least that confidence (0 to 1), sorted and apart; `language` is a loaded one."""
        results = self._analyzer.analyze(text, language, score_threshold=min_confidence)
        return merge([Finding(result.start, result.end, result.entity_type, result.score) for result in results])


def load(path: Path | None) -> PresidioModel:
    """Load and warm up the model at `path`: a spaCy model's directory, or one that holds several, one a language.

    Raises:
        ModelError: there is no model, it cannot be read, or two are for the same language.

    """
    if path is None:
        return PresidioModel([spacy.blank(language) for language in BLANK_LANGUAGES])
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
    return PresidioModel(pipelines)


def write_blank(directory: Path) -> None:
    """Save the blank models as `load` reads them, to start from or to serve as they are."""
    for language in BLANK_LANGUAGES:
        spacy.blank(language).to_disk(directory / language)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m api.privacy.model DIRECTORY")
    write_blank(Path(sys.argv[1]))
