"""The shipped model over blank pipelines, and what it finds as (type, value)."""

from functools import cache

import spacy

from api.privacy.findings import redact
from api.privacy.model import PresidioModel

THRESHOLD = 0.35  # what a request has unless it says otherwise


@cache
def blank(*languages: str) -> PresidioModel:
    """Return a model of blank pipelines, built once."""
    return PresidioModel([spacy.blank(language) for language in languages])


def found(text: str, language: str = "en") -> list[tuple[str, str]]:
    """Return types and values of what is found in a text."""
    return [(f.type, text[f.start : f.end]) for f in blank(language).find(text, language, THRESHOLD)]


def redacted(text: str, language: str = "en") -> str:
    """Return the text without what is found."""
    return redact(text, blank(language).find(text, language, THRESHOLD))
