"""The shortcuts change nothing: the findings are those of the same recognizers run everywhere. More in tests/long."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.privacy.recognizers.window import GAP, around_digits
from api.privacy.scanner import WINDOW
from tests.support.everywhere import FRAGMENTS, everywhere
from tests.support.model import blank

ROOT = Path(__file__).resolve().parents[2]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=40).flatmap(
    lambda parts: st.sampled_from(["", " ", ", ", "\n"]).map(lambda joint: joint.join(parts))
)


@settings(max_examples=60)
@given(texts)
def test_a_made_up_texts_findings_are_those_of_a_search_everywhere(text: str) -> None:
    assert blank("en").find(text, "en", 0) == everywhere("en").find(text, "en", 0)


@pytest.mark.parametrize("language", ["de", "it", "pl"])
def test_every_fragments_findings_are_those_of_a_search_everywhere(language: str) -> None:
    for text in (*FRAGMENTS, " ".join(FRAGMENTS)[:WINDOW]):
        assert blank(language).find(text, language, 0) == everywhere(language).find(text, language, 0), text


def test_a_documents_findings_are_those_of_a_search_everywhere() -> None:
    text = "".join((ROOT / "docs" / page).read_text() for page in ("service.md", "model.md"))
    for start in range(0, len(text), WINDOW):
        part = text[start : start + WINDOW]
        assert blank("en").find(part, "en", 0) == everywhere("en").find(part, "en", 0)


@given(texts)
def test_a_view_has_every_digit_and_the_words_around_it_at_their_places(text: str) -> None:
    view = around_digits(text)
    places = [view.source(place) for place, character in enumerate(view.text) if character.isdecimal()]
    assert places == [place for place, character in enumerate(text) if character.isdecimal()]
    for place, character in enumerate(view.text):
        if character != GAP:
            assert text[view.source(place)] == character
