"""E-mail addresses by RFC 5321 and RFC 6531, whatever their domain: public, an intranet's, one label, a literal."""

import re
from collections.abc import Iterator

import regex

from api.privacy.recognizers import domains
from api.privacy.recognizers.limit import Budget
from api.privacy.recognizers.patterns import Recognizer
from api.privacy.recognizers.window import View, Window, whole

PUBLIC, DOTTED, SINGLE = 1.0, 0.85, 0.5
"""Scores: of a domain with a public suffix, or an IP address; of another with a dot; of one label alone."""
QUOTED = 66
"""Characters of a quoted local part at most: 64 and its quotes (RFC 5321, section 4.5.3.1.1)."""

_AT = re.compile("@")
# The vowel signs of Indic scripts are marks, which are no letters to `re`.
_LOCAL_REVERSED = regex.compile(r"[\w!#$%&'*+\-/=?^`{|}~.]*+")
_QUOTED_REVERSED = re.compile(r'"(?:[^"\\\r\n]|[^\r\n]\\){1,64}?"(?!\\)')
_START = regex.compile(r"[^\W_]")
_LABEL = r"[^\W_]++(?:[-_]++[^\W_]++)*+"
_DOMAIN = regex.compile(rf"{_LABEL}(?:\.{_LABEL})*+")
_LITERAL = re.compile(r"\[(?:(?:\d{1,3}\.){3}\d{1,3}|[A-Za-z][\w-]{0,15}:[!-Z^-~]{1,64})\]")
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}")


class EmailSearch(Recognizer):
    """Looks at each `@` for what stands before and after it."""

    def __init__(self, language: str) -> None:
        super().__init__(["EMAIL_ADDRESS"], supported_language=language, name="EmailRecognizer")

    def view(self, window: Window) -> View:
        """Give everything when there is an `@`."""
        return whole(window.text if "@" in window.text else "")

    def search(self, text: str, budget: Budget) -> Iterator[tuple[int, int, float]]:
        """Give what is an address: no character is looked at for more than the two `@` beside it.

        Addresses that share a part (`a@b@c.example`) are one.
        """
        reverse = text[::-1]
        found: tuple[int, int, float] | None = None
        for at in _AT.finditer(text):
            budget.tick()
            start = _start(text, reverse, at.start())
            if start is None:
                continue
            end, score = _end(text, at.end())
            if end is None:
                continue
            if found and start < found[1]:
                found = min(found[0], start), end, max(found[2], score)
                continue
            if found:
                yield found
            found = start, end, score
        if found:
            yield found


def _start(text: str, reverse: str, at: int) -> int | None:
    back = len(text) - at
    if text[at - 1 : at] == '"':
        quoted = _QUOTED_REVERSED.match(reverse, back)
        return len(text) - quoted.end() if quoted else None
    local = _LOCAL_REVERSED.match(reverse, back)
    start = len(text) - (local.end() if local else back)
    if start == at:
        return None
    # Quotes, brackets and markup around an address are no part of it; a name of nothing else is one all the same.
    inside = _START.search(text, start, at)
    if inside is None:
        return start
    return start + len(text[start : inside.start()].rstrip("_"))


def _end(text: str, start: int) -> tuple[int | None, float]:
    literal = _LITERAL.match(text, start)
    if literal:
        return literal.end(), PUBLIC
    domain = _DOMAIN.match(text, start)
    if domain is None:
        return None, 0
    if _ADDRESS.fullmatch(domain[0]):
        return domain.end(), PUBLIC
    name = domain[0].split(".")
    labels = domains.without_numbers(name)
    if len(labels) < len(name) and len(labels) <= 1:  # 3@4.50, checkout@v1.0.8
        return None, 0
    end = start + len(".".join(labels))
    if domains.is_public(labels[-1]):
        return end, PUBLIC if len(labels) > 1 else SINGLE
    sentence = domains.sentence_start(labels)
    if sentence:  # a full stop without its space
        return start + len(".".join(labels[:sentence])), PUBLIC
    if len(labels) < len(name) and labels[-1].lower() not in domains.PRIVATE:  # react@next.canary.18
        return None, 0
    return end, DOTTED if len(labels) > 1 else SINGLE
