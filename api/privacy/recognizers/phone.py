"""Phone numbers by the metadata of `phonenumbers`, in one pass for all regions.

Digits alone are an order number as well: a number has a `+` (or 00) and its country's code, or a separator where its
region's format has the first (ITU-T E.123), or a word before it says that it is one.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
from phonenumbers.phonemetadata import PhoneMetadata
from presidio_analyzer import RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from api.privacy.recognizers.context import GOODS, find, raise_score, words
from api.privacy.recognizers.limit import Budget
from api.privacy.recognizers.patterns import Recognizer
from api.privacy.recognizers.window import View, Window

SCORE, BARE = 0.4, 0.05
"""With evidence, as Presidio scores it, and without."""
CONTEXT = sorted(
    words(
        "phone telephone tel telefon telefono teléfono telefone téléphone telefoon telefonnummer cell cellphone mobile "
        "mobil handy handynummer rufnummer durchwahl móvil celular telemóvel cellulare portable komórka komórkowy "
        "mobiel gsm whatsapp sms call calling dial hotline fax anrufen rufen appeler appelez llamar llame ligar ligue "
        "chiamare chiami zadzwoń dzwonić bellen телефон тел моб 電話 电话"
    )
)
OTHER = sorted(GOODS | words("reference ref case customer account contract policy id kundennummer vertrag"))
"""Words that say a bare number is another kind of number; the nearer one counts."""
REACH = 4
"""Words before a number that are looked at."""
DEFAULT_REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
"""Regions whose numbers are found without a country code in every language: Presidio's own choice."""
REGIONS = {
    "cs": ("CZ",), "da": ("DK",), "de": ("AT", "CH"), "el": ("GR",), "es": ("ES", "MX"), "fi": ("FI",),
    "fr": ("BE", "CH"), "hu": ("HU",), "it": ("IT", "CH"), "ja": ("JP",), "ko": ("KR",), "nb": ("NO",),
    "nl": ("NL", "BE"), "pl": ("PL",), "pt": ("PT",), "ro": ("RO",), "ru": ("RU",), "sv": ("SE",), "tr": ("TR",),
    "uk": ("UA",), "zh": ("CN",),
}  # fmt: skip
"""Further regions of a language."""
LEAST, MOST = 7, 15
"""Digits: of a national number, and of any (ITU-T E.164)."""

PARTS, SHORTEST = 4, 2
"""Groups at most, and their digits at least, where no 0 or country code is before them."""
GROUPS = 6
"""Groups of digits at most; two more with a country code."""

_DIGITS = re.compile(r"[0-9]+")
_BETWEEN = re.compile(r"(?: {1,2}| ?[\-/]{1,2} ?|\.| ?\(| ?\) ?[\-/]? ?|\)[\-.]?\()")
_LONGEST_BETWEEN = 4
_PLUS = re.compile(r"(?<![0-9+])\+ ?\(? ?$")
_EXTENSION = re.compile(r" ?(?:;ext=|,? ?ext(?:ension)?[.:]?|x|#) ?[0-9]{1,6}(?![\w])", re.IGNORECASE)
_KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip


class Format(NamedTuple):
    """How numbers are written that start as `leading` says; `trunk` when a 0 is dialled before them at home."""

    pattern: re.Pattern[str]
    leading: re.Pattern[str] | None
    trunk: bool


class Region(NamedTuple):
    """A region's numbering plan."""

    numbers: re.Pattern[str]
    formats: list[Format]
    trunk: str

    def area(self, number: str) -> tuple[int, bool]:
        """Give the length of the first group a valid number is written in, and whether it needs a 0 before it."""
        for pattern, leading, trunk in self.formats:
            if leading is None or leading.match(number):
                match = pattern.fullmatch(number)
                if match:
                    return len(match[1]), trunk
        return len(number), False


class Plans(NamedTuple):
    """Several regions' plans, and what is a number of any of them."""

    regions: list[Region]
    numbers: re.Pattern[str]

    @classmethod
    def of(cls, regions: list[Region]) -> "Plans":
        """Put plans together."""
        return cls(regions, re.compile("|".join(region.numbers.pattern for region in regions)))


class Group(NamedTuple):
    """A run of digits; `apart` when there is a space, or nothing of a number, before it."""

    start: int
    end: int
    apart: bool
    bracketed: bool


@cache
def _region(name: str, code: int = 0) -> Region:
    metadata = PhoneMetadata.metadata_for_region(name) or PhoneMetadata.metadata_for_nongeo_region(code)
    assert metadata is not None  # noqa: S101  (its own list of regions names it)
    descriptions = [getattr(metadata, kind) for kind in _KINDS]
    patterns = {entry.national_number_pattern for entry in descriptions if entry and entry.national_number_pattern}
    formats = []
    for entry in metadata.number_format:
        leading = entry.leading_digits_pattern
        rule = entry.national_prefix_formatting_rule or ""
        trunk = rule.lstrip("(").startswith("0") and not entry.national_prefix_optional_when_formatting
        formats.append(Format(re.compile(entry.pattern or ""), re.compile(leading[-1]) if leading else None, trunk))
    numbers = re.compile("|".join(f"(?:{pattern})" for pattern in sorted(patterns)) or "(?!)")
    return Region(numbers, formats, metadata.national_prefix or "")


@cache
def _country(code: int) -> tuple[Region, ...]:
    """Give the regions of a country code."""
    return tuple(_region(name, code if name == "001" else 0) for name in COUNTRY_CODE_TO_REGION_CODE.get(code, ()))


class PhoneSearch(Recognizer):
    """Puts groups of digits together to numbers, longest first; no group is looked at more often than a number has."""

    def __init__(self, language: str) -> None:
        regions = [_region(name) for name in (*DEFAULT_REGIONS, *REGIONS.get(language, ()))]
        self._trunked = Plans.of([region for region in regions if region.trunk == "0"])
        self._bare = Plans.of(regions)
        self._parted = Plans.of([region for region in regions if any(not entry.trunk for entry in region.formats)])
        for code in COUNTRY_CODE_TO_REGION_CODE:  # now, so that no text has to wait for it
            _country(code)
        super().__init__(["PHONE_NUMBER"], supported_language=language, name="PhoneRecognizer", context=CONTEXT)

    def view(self, window: Window) -> View:
        """Give the words with digits and those around them."""
        return window.digits

    def search(self, text: str, budget: Budget) -> Iterator[tuple[int, int, float]]:
        """Give numbers, left to right and apart."""
        for groups in _sequences(text):
            number = 0
            while number < len(groups):
                budget.tick()
                found = self._number(text, groups, number)
                if found is None:
                    number += 1
                    continue
                last, start, end, score = found
                yield start, end, score
                number = last + 1

    def enhance_using_context(
        self,
        text: str,  # noqa: ARG002
        raw_recognizer_results: list[RecognizerResult],
        other_raw_recognizer_results: list[RecognizerResult],  # noqa: ARG002
        nlp_artifacts: NlpArtifacts,
        context: list[str] | None = None,  # noqa: ARG002
    ) -> list[RecognizerResult]:
        """Raise a number's score where the nearest word that says something of it says that it is a phone's."""
        assert isinstance(nlp_artifacts, Window)  # noqa: S101  (the engine gives no other)
        for result in raw_recognizer_results:
            result.recognition_metadata[RecognizerResult.IS_SCORE_ENHANCED_BY_CONTEXT_KEY] = True
            before = nlp_artifacts.before(result.start, REACH)
            distance = find(CONTEXT, before)
            other = find(OTHER, before)
            if distance is not None and (other is None or distance < other):
                raise_score(result, distance)
        return raw_recognizer_results

    def _number(self, text: str, groups: Sequence[Group], first: int) -> tuple[int, int, int, float] | None:
        start = groups[first].start
        near = text[max(start - 4, 0) : start]
        plus = _PLUS.search(text, start - len(near), start) if "+" in near else None
        if not plus and (not groups[first].apart or _is_word(text[start - 1 : start])):
            return None
        digits, places, choices = "", [], []
        for number in range(first, min(first + GROUPS + (2 if plus else 0), len(groups))):
            if number > first + 1 and groups[number].bracketed:  # only an area code is in brackets
                break
            digits += text[groups[number].start : groups[number].end]
            if len(digits) > MOST + 2:
                break
            places.append(len(digits))
            if len(digits) >= LEAST:
                choices.append(number)
        for last in reversed(choices):
            end = groups[last].end
            if _is_word(text[end : end + 1]) or (last + 1 < len(groups) and not groups[last + 1].apart):
                continue
            size = places[last - first]
            score = self._score(digits[:size], places[: last - first], text, start, bool(plus))
            if score:
                if plus:
                    start = plus.start()
                elif text[start - 1 : start] == "(" and ")" in text[start:end]:
                    start -= 1
                extension = _EXTENSION.match(text, end) if score == SCORE else None
                return last, start, extension.end() if extension else end, score
        return None

    def _score(self, digits: str, places: Sequence[int], text: str, start: int, plus: bool) -> float:
        """Tell what speaks for a number; `places` are those in its digits where separators are."""
        if plus:
            return SCORE if _is_international(digits) else 0
        score = SCORE if places else BARE
        if digits.startswith("00"):
            return score if _is_international(digits[2:]) else 0
        if digits.startswith("0"):
            # The area code with its 0 is a group by itself, if only by the way it is spoken.
            if places and places[0] == 1 and text[start - 1 : start] != "(":
                return 0
            if self._trunked.numbers.fullmatch(digits, 1):
                for region in self._trunked.regions:
                    if region.numbers.fullmatch(digits, 1):
                        area = region.area(digits[1:])[0] + 1
                        if not places or area == len(digits) or area in places or area + 1 in places:
                            return score
        return score if self._is_national(digits, places) else 0

    def _is_national(self, digits: str, places: Sequence[int]) -> bool:
        """Tell whether it is a number without a 0 before it, parted, if it is, after the area code."""
        plans = self._parted if places else self._bare
        # In 1-800-555-0199 the 1 is a group; in 1800 555 0199 it is not.
        for trunk in (0, 1) if digits[0] == "1" else (0,):
            own = [place - trunk for place in places if place > trunk]
            ends = [*own, len(digits) - trunk]
            if len(ends) > PARTS or (own and min(map(int.__sub__, ends, [0, *own])) < SHORTEST):
                continue
            if not plans.numbers.fullmatch(digits, trunk):
                continue
            for region in plans.regions:
                if (trunk and region.trunk != "1") or not region.numbers.fullmatch(digits, trunk):
                    continue
                if not own or (own[0], False) == region.area(digits[trunk:]):
                    return True
        return False


def _is_international(digits: str) -> bool:
    for size in (1, 2, 3):
        regions = _country(int(digits[:size])) if digits[0] != "0" else ()
        if regions:
            break
    else:
        return False
    # A 0 that is not dialled from abroad is written all the same: +44 (0)20 7946 0958.
    return any(
        region.numbers.fullmatch(digits, size) or (digits[size] == "0" and region.numbers.fullmatch(digits, size + 1))
        for region in regions
    )


def _sequences(text: str) -> Iterator[list[Group]]:
    groups: list[Group] = []
    for match in _DIGITS.finditer(text):
        start, end = match.span()
        between = text[groups[-1].end : start] if groups else ""
        if groups and len(between) <= _LONGEST_BETWEEN and _BETWEEN.fullmatch(between):
            groups.append(Group(start, end, " " in between, "(" in between))
            continue
        if groups:
            yield groups
        groups = [Group(start, end, apart=True, bracketed=False)]
    if groups:
        yield groups


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
