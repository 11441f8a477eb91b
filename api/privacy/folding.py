"""A text as it is searched: what looks the same is the same character, and what is not seen is not there.

A number keeps its meaning when its spaces do not break, its hyphens are typographic, its digits full-width, or when
something invisible stands between them; a pattern does not see that. So patterns see a copy (Unicode's NFKC, without
control, format and other ignorable characters), and what they find is mapped back.
"""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import regex

from api.privacy.findings import Finding

REMEMBERED = 8192
"""Characters whose folding is remembered, of the million that texts may have."""
_CONTROLS = r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
"""Control characters (category Cc) but for spaces and ends of lines."""
_IGNORABLE = rf"\p{{Cf}}\p{{DI}}{_CONTROLS}"
"""With format characters (category Cf) and the rest of Default_Ignorable_Code_Point (Unicode, section 5.21)."""
_UNSEEN = regex.compile(f"[{_IGNORABLE}]")
_CONTROL = regex.compile(f"[{_CONTROLS}]")
_HYPHENS = "\u2010\u2011\u2012\u02d7\u2043\u2212\ufe63\uff0d"
"""A dash that is no more than a hyphen or minus; others may part a sentence, as in “a@b.example—she”."""
_LIFTED = "⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉"

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Letters of scripts that put no space between a word and a number, or put endings right after it."""

_TO_FOLD = regex.compile(
    rf"[{_IGNORABLE}\p{{Zl}}\p{{Zp}}[\p{{Zs}}--\ ][\p{{Pd}}--\-]\p{{Me}}{_HYPHENS}。[\p{{Nd}}--[0-9]]]"
    rf"|(?<=[\d@.\-])\p{{Mn}}|(?<=[{_UNSPACED}])[A-Za-z0-9]|(?<=[A-Za-z0-9])[{_UNSPACED}]",
    regex.VERSION1,
)
"""What a search does not see as it is though NFKC leaves it so."""
_LONG_VOWEL = regex.compile(r"(?<=\p{Nd})[ーｰ](?=\p{Nd})")
"""Serves as a hyphen in numbers."""
_BORDER = regex.compile(rf"[{_UNSPACED}][A-Za-z0-9]|[A-Za-z0-9][{_UNSPACED}]")
_DASH = regex.compile(
    r"(?<=[A-Za-z0-9])[\p{Pd}--\-](?=[A-Za-z0-9])|(?<=[A-Za-z0-9])。(?=[A-Za-z0-9])",
    regex.VERSION1,
)
_AMBIGUOUS = regex.compile(
    rf"(?<=[A-Za-z0-9])[[{_IGNORABLE}]--\p{{M}}--[\u00ad\u2060]]+(?=\w)"
    rf"|(?<=\w)[[{_IGNORABLE}]--\p{{M}}--[\u00ad\u2060]]+(?=[A-Za-z0-9])"
    rf"|(?<=\w)[{_LIFTED}]+(?!\w)",
    regex.VERSION1,
)
"""What is nothing, or a digit, within a number and ends it elsewhere: a zero-width space, a footnote's mark."""


class Reading(NamedTuple):
    """A copy of a text, and where the original of each of its characters starts and ends; None: it is the text.

    A space that only the copy has starts and ends in the same place.
    """

    text: str
    starts: list[int] | None = None
    ends: list[int] | None = None

    def restore(self, found: list[Finding]) -> list[Finding]:
        """Give findings in the copy with their places in the original."""
        if self.starts is None or self.ends is None:
            return found
        return [finding._replace(start=self.starts[finding.start], end=self.ends[finding.end - 1]) for finding in found]


def readings(text: str) -> Iterator[Reading]:
    """Give the copies to search: one, or a second where an unseen character may also be the end of a word."""
    if (text.isascii() and not _CONTROL.search(text)) or (
        unicodedata.is_normalized("NFKC", text) and not _TO_FOLD.search(text)
    ):
        yield Reading(text)
        return
    yield _fold(text)
    if _AMBIGUOUS.search(text):
        yield _fold(_AMBIGUOUS.sub(lambda match: " " * len(match[0]), text))


def _fold(text: str) -> Reading:
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for place, character in enumerate(_LONG_VOWEL.sub("-", text)):
        folded = character if " " <= character < "\x7f" else _fold_character(character)
        if not folded.isascii() or not folded:
            attached = bool(ends) and ends[-1] == place and unicodedata.category(character) in ("Mn", "Me")
            if attached:
                letter = bool(folded) and parts[-1].isalpha()
                composed = unicodedata.normalize("NFC", parts[-1] + folded) if letter else parts[-1]
                # A letter and its accent are one letter; a digit crossed out or in a box is a digit.
                if len(composed) == len(parts[-1]):
                    parts[-1] = composed
                    ends[-1] = place + 1
                    continue
        if folded and parts and _BORDER.match(parts[-1][-1] + folded[0]):
            parts.append(" ")
            starts.append(place)
            ends.append(place)
        if folded:
            parts.append(folded)
            starts += [place] * len(folded)
            ends += [place + 1] * len(folded)
    return Reading(_DASH.sub(_plain_dash, "".join(parts)), starts, ends)


def _plain_dash(match: "regex.Match[str]") -> str:
    if match[0] == "。":  # parts the labels of a domain too (RFC 3490, section 3.1)
        return "."
    text: str = match.string
    between_words = text[match.start() - 1].islower() and text[match.end()].islower()
    return match[0] if between_words else "-"


@lru_cache(REMEMBERED)
def _fold_character(character: str) -> str:
    if _UNSEEN.match(character):
        return ""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", character)
    if folded in _HYPHENS:
        return "-"
    match unicodedata.category(folded[0]):
        case "Zl" | "Zp":
            return "\n"
        case "Zs":
            return " " * len(folded)
    return folded
