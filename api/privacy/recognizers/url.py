"""URLs: with a scheme (RFC 3986) whatever their host, without one where something says that a name is a host's.

What says so is `www.`, a path, or a top-level domain as a whole label. Labels that programs, files and sentences end
names with as well (`main.py`, `user.name`, `the end.It was`) do not say so alone.
"""

import re
from collections.abc import Iterator, Sequence

from api.privacy.recognizers import domains
from api.privacy.recognizers.context import words
from api.privacy.recognizers.limit import Budget
from api.privacy.recognizers.patterns import Recognizer
from api.privacy.recognizers.phone import REGIONS
from api.privacy.recognizers.window import View, Window, whole

WITH_SCHEME, WITHOUT, UNCLEAR = 0.6, 0.5, 0.2
"""Scores; the last is too low by itself, but a word of context raises it."""
CONTEXT = sorted(
    words(
        "url website link homepage webpage domain visit site webseite seite adresse besuchen lien sitio enlace sito "
        "strona"
    )
)
CLEAR = words(
    "com org net edu gov mil info biz aero asia coop museum jobs mobi tel xxx app dev xyz online shop cloud tech blog "
    "website bayern berlin hamburg koeln cologne ruhr saarland wien tirol swiss paris bzh london scot wales cymru "
    "amsterdam brussels vlaanderen gent nyc boston miami vegas tokyo osaka sydney melbourne moscow madrid barcelona "
    "eus gal africa capetown durban joburg istanbul quebec rio frl stockholm helsinki budapest google amazon apple "
    "microsoft bmw audi"
)
"""Longer top-level domains that are no attribute, file or English word."""
UNCLEAR_COUNTRIES = words(
    "am as at be by cc cr do id in is la md me mk ml mm mo ms my nc no pl pm ps py rs sc sh so st tf to us vi"
)
"""Country codes that are file extensions, attributes or English words as well."""
REVERSED = words("com net org")
"""What the names of programs' packages begin with, `com.example.app`, and those of hosts end with."""
_LENGTH_OF_COUNTRY = 2

_SCHEME_REVERSED = re.compile(r"[A-Za-z0-9+.\-]{1,15}")
_CHARACTERS = r"[^\s<>\"`{}|\\^\x00-\x1f\x7f\u2018-\u201f\u2039\u203a\u00ab\u00bb]"
_AFTER_SCHEME = re.compile(rf"(?=[\w\[%:]){_CHARACTERS}++")
_TAIL = re.compile(rf"(?::[0-9]{{1,5}}(?![0-9]))?(?:[/?#]{_CHARACTERS}*+)?")
_DOT = re.compile(r"\.(?=[^\W_])")
_RUN_REVERSED = re.compile(r"[\w.\-]*+")
_RUN = re.compile(r"[\w.\-]*+")
_LABEL = r"[^\W_]++(?:[-_]++[^\W_]++)*+"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})++")
_WWW = re.compile(r"www[0-9]{0,3}")


class UrlSearch(Recognizer):
    """Looks at each `://`, and at each dot within a word."""

    def __init__(self, language: str) -> None:
        self._own = {language, *(region.lower() for region in REGIONS.get(language, ()))}
        super().__init__(["URL"], supported_language=language, name="UrlRecognizer", context=CONTEXT)

    def view(self, window: Window) -> View:
        """Give everything when there is a dot within a word or a scheme's end."""
        text = window.text
        return whole(text if "://" in text or _DOT.search(text) else "")

    def search(self, text: str, budget: Budget) -> Iterator[tuple[int, int, float]]:
        """Give what has a scheme, then what has none: no character is in two runs that are looked at."""
        reverse = text[::-1]
        end, place = 0, text.find("://")
        while place >= 0:
            budget.tick()
            if place >= end:
                scheme = _SCHEME_REVERSED.match(reverse, len(text) - place)
                start = len(text) - scheme.end() if scheme else place
                while start < place and not (text[start].isascii() and text[start].isalpha()):
                    start += 1
                rest = _AFTER_SCHEME.match(text, place + 3)
                if start < place and rest:
                    start, end = max(start, end), rest.end()
                    yield start, _trim(text, start, end), WITH_SCHEME
            place = text.find("://", place + 3)
        end = 0
        for dot in _DOT.finditer(text):
            if dot.start() < end:
                continue
            budget.tick()
            left = _RUN_REVERSED.match(reverse, len(text) - dot.start())
            right = _RUN.match(text, dot.start())
            start, end = len(text) - (left.end() if left else 0), right.end() if right else dot.end()
            for name in _NAME.finditer(text, start, end):
                found = self._host(text, *name.span())
                if found:
                    yield found

    def _host(self, text: str, start: int, end: int) -> tuple[int, int, float] | None:
        before, after = text[start - 1 : start], text[end : end + 1]
        if before in ("@", "\\") or after in ("@", "\\"):
            return None
        labels = text[start:end].split(".")
        www = _WWW.fullmatch(labels[0].lower()) is not None
        if after == "(" and not www:  # a call
            return None
        tail = _TAIL.match(text, end)
        url_end = max(_trim(text, start, tail.end()) if tail else end, end)
        named = domains.without_numbers(labels)
        public = len(named) > 1 and domains.is_public(named[-1])
        sentence = domains.sentence_start(named)
        if sentence is None and public and len(named) < len(labels) and url_end == end:
            sentence = len(named)
        if sentence:
            end = start + len(".".join(labels[:sentence]))
            return self._scored(start, end, labels[:sentence], sure=www)
        last, hyphen, _ = labels[-1].partition("-")
        if hyphen and domains.is_public(last) and not domains.is_public(labels[-1]):  # example.com-based
            labels[-1] = last
            end = start + len(".".join(labels))
            return self._scored(start, end, labels, sure=www)
        if not public and not www:
            return None
        path = public and text[end:url_end].lstrip(":0123456789")[:1] in ("/", "?", "#")
        return self._scored(start, url_end, named, sure=www or path)

    def _scored(self, start: int, end: int, labels: Sequence[str], *, sure: bool) -> tuple[int, int, float] | None:
        score = self._score(labels, sure=sure)
        return (start, end, score) if score else None

    def _score(self, labels: Sequence[str], *, sure: bool) -> float:
        last = labels[-1]
        if sure:
            return WITHOUT
        if not last.islower() and last.isascii() and not (".".join(labels).isupper() and last != "NET"):
            return 0
        last = last.lower()
        if labels[0] in REVERSED and last not in REVERSED:
            return UNCLEAR
        if not last.isascii() or last.startswith("xn--") or last in CLEAR or last in self._own:
            return WITHOUT
        if len(last) == _LENGTH_OF_COUNTRY and last not in UNCLEAR_COUNTRIES:
            return WITHOUT
        return UNCLEAR


def _trim(text: str, start: int, end: int) -> int:
    """Leave out what ends the sentence, the quotation or the brackets around a URL."""
    if text[start - 1 : start] == "'":
        quote = text.find("'", start, end)
        end = quote if quote > start else end
    closing = {close: text.count(close, start, end) - text.count(open_, start, end) for close, open_ in _PAIRS}
    while end > start:
        last = text[end - 1]
        if last in ".,;:!?'*_~…。、":
            end -= 1
        elif closing.get(last, 0) > 0:
            closing[last] -= 1
            end -= 1
        else:
            break
    return end


_PAIRS = ((")", "("), ("]", "["))
