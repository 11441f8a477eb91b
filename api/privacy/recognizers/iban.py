"""IBANs by their country's format and their check digits (ISO 13616), whatever follows them."""

import re
from collections.abc import Iterator
from functools import cache

from presidio_analyzer import EntityRecognizer

from api.privacy.recognizers.limit import Budget
from api.privacy.recognizers.patterns import Recognizer
from api.privacy.recognizers.window import View, Window, whole

FORMATS: dict[str, str] = dict(
    re.findall(
        r"([A-Z]{2})(\w+)",
        "AD8n12c AE19n AL8n16c AT16n AZ4a20c BA16n BE12n BG4a6n8c BH4a14c BI23n BR23n1a1c BY4c4n16c CH5n12c CR18n "
        "CY8n16c CZ20n DE18n DJ23n DK14n DO4c20n EE16n EG25n ES20n FI14n FK2a12n FO14n FR10n11c2n GB4a14n GE2a16n "
        "GI4a15c GL14n GR7n16c GT24c HN4a20n HR17n HU24n IE4a14n IL19n IQ4a15n IS22n IT1a10n12c JO4a4n18c KW4a22c "
        "KZ3n13c LB4n20c LC4a24c LI5n12c LT16n LU3n13c LV4a13c LY21n MC10n11c2n MD20c ME18n MK3n10c2n MN16n MR23n "
        "MT4a5n18c MU4a19n3a NI4a20n NL4a10n NO11n OM3n16c PK4a16c PL24n PS4a21c PT21n QA4a21c RO4a16c RS18n RU14n15c "
        "SA2n18c SC4a20n3a SD14n SE20n SI15n SK20n SM1a10n12c SO19n ST21n SV4a20n TL19n TN20n TR5n17c UA6n19c VA18n "
        "VG4a16n XK16n YE4a4n18c",
    )
)
"""What follows a country's code and check digits, as SWIFT's IBAN registry writes it: n digits, a letters, c either."""

_CLASSES = {"n": "[0-9]", "a": "[A-Za-z]", "c": "[0-9A-Za-z]"}
# After lower-case letters an IBAN in capitals begins all the same: kontoDE89…
_START = re.compile(r"(?:(?<![A-Z0-9])[A-Z]{2}|(?<![A-Za-z0-9])[A-Za-z]{2})(?=[0-9]{2})")
# What the last part could go on with: after digits a digit, else also a letter, in lower case only after another.
_AFTER_DIGITS, _AFTER_LETTERS = "(?![0-9])", "(?![A-Z0-9])(?!(?<=[a-z])[a-z])"


class IbanSearch(Recognizer):
    """Looks at each country code for an account number of its format, in any groups."""

    def __init__(self, language: str) -> None:
        super().__init__(["IBAN_CODE"], supported_language=language, name="IbanRecognizer")

    def view(self, window: Window) -> View:
        """Give everything, when there is a start."""
        return whole(window.text if _START.search(window.text) else "")

    def search(self, text: str, budget: Budget) -> Iterator[tuple[int, int, float]]:
        """Give what has right check digits: at each start one format is tried, of 34 characters at most."""
        for start in _START.finditer(text):
            budget.tick()
            country = start[0].upper()
            match = _pattern(country).match(text, start.end()) if country in FORMATS else None
            if match and is_valid(country + match[0]):
                yield start.start(), match.end(), EntityRecognizer.MAX_SCORE


def is_valid(iban: str) -> bool:
    """Tell whether the check digits are right (ISO 7064, MOD 97-10)."""
    plain = iban.replace(" ", "").replace("-", "")
    return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1


@cache
def _pattern(country: str) -> re.Pattern[str]:
    parts = re.findall(r"(\d+)([nac])", FORMATS[country])
    account = "".join(rf"(?:[ -]?{_CLASSES[kind]}){{{count}}}" for count, kind in parts)
    return re.compile("[0-9]{2}" + account + (_AFTER_DIGITS if parts[-1][1] == "n" else _AFTER_LETTERS))
