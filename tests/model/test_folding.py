"""What typography and invisible characters do not hide, and that redaction covers it and nothing else."""

import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.privacy.folding import readings
from tests.support.model import found, redacted

VALUES = {
    "4111 1111 1111 1111": "CREDIT_CARD",
    "4111-1111-1111-1111": "CREDIT_CARD",
    "4111111111111111": "CREDIT_CARD",
    "DE89 3704 0044 0532 0130 00": "IBAN_CODE",
    "GB29-NWBK-6016-1331-9268-19": "IBAN_CODE",
    "219-09-9999": "US_SSN",
    "219 09 9999": "US_SSN",
    "943 476 5919": "UK_NHS",
    "+44 20 7946 0958": "PHONE_NUMBER",
    "212-555-0123": "PHONE_NUMBER",
    "2024-01-15": "DATE_TIME",
    "192.0.2.1": "IP_ADDRESS",
    "anna@example.com": "EMAIL_ADDRESS",
    "anna@firma.local": "EMAIL_ADDRESS",
    "https://example.org/x": "URL",
}
IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u17b4\u180b\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u2060\u2061\u2066\u2069\u206f"
    "\0\x01\x08\x0e\x1b\x7f\x80\x9f\u3164\ufe00\ufe0f\ufeff\uffa0\U000e0001\U000e0041\U000e0100"
)
SPACES = "\u00a0\u1680\u2000\u2002\u2003\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
DIGITS = [chr(start) for start in (0xFF10, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x0660, 0x0966)]  # noughts: full-width, bold, …


BEFORE, AFTER = (
    st.sampled_from(["", "see ", "„", "\n", "一", "("]),
    st.sampled_from(["", " now", "“", "\n", "。", ")"]),
)


def variants(character: str) -> str:
    if character == " ":
        return SPACES
    if character == "-":
        return HYPHENS
    if character.isdigit():
        return "".join(chr(ord(nought) + int(character)) for nought in DIGITS)
    if "!" <= character <= "~":
        return chr(ord(character) + 0xFEE0)  # full-width
    return character


@st.composite
def disguised(draw: st.DrawFn) -> tuple[str, str]:
    """A value's type, and the value with other characters that look the same and some that are not seen."""
    value = draw(st.sampled_from(sorted(VALUES)))
    parts = []
    for number, character in enumerate(value):
        other = draw(st.booleans()) and draw(st.sampled_from(variants(character)))
        unseen = draw(st.text(IGNORABLE, max_size=2)) if number else ""
        parts.append(unseen + (other or character))
    return VALUES[value], "".join(parts)


@settings(max_examples=3 * settings().max_examples)
@given(
    disguised(),
    st.sampled_from(["", "see ", "„", "\n", "一", "("]),
    st.sampled_from(["", " now", "“", "\n", "。", ")"]),
)
@example(("CREDIT_CARD", "4111\u00a01111\u00a01111\u00a01111"), "", "")
@example(("CREDIT_CARD", "\uff14111111111111111"), "see ", " now")
@example(("IBAN_CODE", "DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00"), "", "")
@example(("US_SSN", "219\u201109\u20119999"), "", "")
@example(("EMAIL_ADDRESS", "anna\uff20example.com"), "", "")
def test_no_disguise_hides_a_value_and_all_of_it_goes(case: tuple[str, str], before: str, after: str) -> None:
    kind, value = case
    assert redacted(f"{before}{value}{after}") == f"{before}[{kind}]{after}"


@given(st.sampled_from(sorted(VALUES)), st.sampled_from(IGNORABLE), st.integers(1, 3))
def test_one_character_everywhere_hides_nothing(value: str, unseen: str, times: int) -> None:
    text = (unseen * times).join(value)
    assert redacted(f"see {text} now") == f"see [{VALUES[value]}] now"


@given(st.sampled_from(sorted(VALUES)), st.sampled_from("\u200b\u200c\u200d\ufeff\u200e\u2063"))
def test_an_unseen_character_between_a_word_and_a_value_hides_nothing(value: str, unseen: str) -> None:
    kind = VALUES[value]
    if kind in ("EMAIL_ADDRESS", "URL"):  # the word would be part of it
        return
    assert kind in redacted(f"call{unseen}{value}{unseen}now")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4\ufe0f\u20e31\ufe0f\u20e31\ufe0f\u20e31\ufe0f\u20e3 1111 1111 111\u0336\u0031\u0336", "[CREDIT_CARD]"),
        ("Call +1 212 555 0123¹ now", "Call [PHONE_NUMBER]¹ now"),
        ("anna@example.com—she writes", "[EMAIL_ADDRESS]—she writes"),
        ("Nr. 03ー1234ー5678", "Nr. [PHONE_NUMBER]"),
        ("anna@例え。jp", "[EMAIL_ADDRESS]。jp"),
        ("カード4111111111111111です。", "カード[CREDIT_CARD]です。"),
        ("电话号码是2125550123", "电话号码是[PHONE_NUMBER]"),
        ("메일은anna@example.com입니다", "메일은[EMAIL_ADDRESS]입니다"),
        ("บัตร4111111111111111", "บัตร[CREDIT_CARD]"),
        ("コーヒー192.0.2.1ー", "コーヒー[IP_ADDRESS]ー"),
        ("anna@example。jp です", "[EMAIL_ADDRESS] です"),
        ("\u200b4111111111111111\u200b", "\u200b[CREDIT_CARD]\u200b"),
        ("andre\u0301@firma.de", "[EMAIL_ADDRESS]"),
        ("a\u0301nna@example.com", "[EMAIL_ADDRESS]"),
        ("jose\u0301.garci\u0301a+x@correo.lan, 4111", "[EMAIL_ADDRESS], 4111"),
        ("anna@mu\u0308ller.de", "[EMAIL_ADDRESS]"),
        ("www.bu\u0308cher.example", "[URL]"),
        ("né: cafe\u0301 4111111111111111", "né: cafe\u0301 [CREDIT_CARD]"),
        ("Zürich \u2013 die Stadt…", "Zürich \u2013 die Stadt…"),
        ("name\x00219-09-9999\x00Anna\x01", "name\x00[US_SSN]\x00Anna\x01"),
        ("a\x0b219-09-9999\x1c4111111111111111\x85", "a\x0b[US_SSN]\x1c[CREDIT_CARD]\x85"),
        ("می\u200cخ", "می\u200cخ"),
    ],
)
def test_edges(text: str, expected: str) -> None:
    assert redacted(text) == expected


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=60))
def test_every_place_of_a_copy_is_a_place_of_the_text(text: str) -> None:
    for reading in readings(text):
        if reading.starts is None or reading.ends is None:
            assert reading.text == text
            continue
        assert len(reading.text) == len(reading.starts) == len(reading.ends)
        assert reading.starts == sorted(reading.starts)
        assert all(start <= end <= len(text) for start, end in zip(reading.starts, reading.ends, strict=True))


def test_a_text_of_every_character_leaves_little_behind() -> None:
    tracemalloc.start()
    try:
        for start in range(0x80, 0x20000, 2048):
            list(readings("".join(map(chr, range(start, start + 2048))).encode("utf-8", "ignore").decode()))
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 4 * 1024 * 1024


def test_text_without_such_characters_is_searched_as_it_is() -> None:
    for text in ("plain\t\r\n\x0b\x0c\x1c", "Обычный текст", "中文", "Größe: 5 µ", "naïve café", "日本語のテキスト"):
        assert next(readings(text)).starts is None or "µ" in text


def test_values_are_what_they_are_without_any_disguise() -> None:
    for value, kind in VALUES.items():
        assert found(f"see {value} now") == [(kind, value)]
