"""IP addresses: what is one by RFC 791 and RFC 4291, and no clock, version or name in a program."""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address, IPv6Network

from api.privacy.recognizers.limit import Budget
from api.privacy.recognizers.patterns import Recognizer
from api.privacy.recognizers.window import View, Window, whole

SCORE = 0.6
CONTEXT = ["ip", "ipv4", "ipv6"]
LONGEST = 45
"""Characters of an address: six groups and an IPv4 address."""
# Where addresses are (RFC 4291, section 2.4; RFC 4193; RFC 6052): `a::b` is well-formed too, and nobody's.
_USED = [
    IPv6Network(block)
    for block in ("2000::/3", "fc00::/7", "fe80::/10", "ff00::/8", "64:ff9b::/96", "::ffff:0:0/96", "::ffff:0:0:0/96")
]
_GROUPS = 8

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])"
_V4 = re.compile(
    rf"(?<![^\W_])(?<![0-9]\.)(?:{_OCTET}\.){{3}}{_OCTET}(?:/(?:3[0-2]|[0-2]?[0-9])(?![0-9]))?(?![^\W_]|\.[0-9])"
)
_VERSION = re.compile(
    r"\b(?:version|versión|versão|versione|wersja|release|build|firmware|ver|rev)[.:=]? ?\Z", re.IGNORECASE
)
_PRODUCT = re.compile(r"[A-Za-z]/\Z")
"""Of RFC 9110, section 10.1.5: browsers say `Chrome/120.0.0.0`, and no host has such an address."""
_V6 = re.compile(r"(?<![\w:])[0-9A-Fa-f]*+:[0-9A-Fa-f:.]*+")
_REST = re.compile(r"(?:%[0-9A-Za-z]{1,16})?(?:/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])(?![0-9]))?")


class IpSearch(Recognizer):
    """Four octets; and runs of hexadecimal groups that are an address somebody can have."""

    def __init__(self, language: str) -> None:
        super().__init__(["IP_ADDRESS"], supported_language=language, name="IpRecognizer", context=CONTEXT)

    def view(self, window: Window) -> View:
        """Give everything when there are as many dots or colons as an address has."""
        text = window.text
        return whole(text if text.count(":") > 1 else "") if text.count(".") < 3 else whole(text)

    def search(self, text: str, budget: Budget) -> Iterator[tuple[int, int, float]]:
        """Give IPv4 addresses, then IPv6 ones."""
        for match in _V4.finditer(text):
            if not _is_version(text, *match.span()):
                yield match.start(), match.end(), SCORE
        for match in _V6.finditer(text):
            budget.tick()
            end = _end_of_v6(text, *match.span())
            if end:
                yield match.start(), end, SCORE


def _is_version(text: str, start: int, end: int) -> bool:
    before = text[max(start - LONGEST, 0) : start]
    return bool(_VERSION.search(before) or (text.endswith(".0.0.0", start, end) and _PRODUCT.search(before)))


def _end_of_v6(text: str, start: int, end: int) -> int | None:
    following = text[end : end + 1]
    if end - start > LONGEST + 2 or following.isalnum() or following == "_":
        return None
    address = text[start:end].rstrip(".")
    if address.endswith(":") and not address.endswith("::"):
        address = address[:-1]
    if not _is_used(address) or (address == "::1" and _is_slice(text, start)):
        return None
    rest = _REST.match(text, start + len(address))
    return rest.end() if rest else start + len(address)


def _is_used(text: str) -> bool:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return False
    if text.count(":") == _GROUPS - 1 and "::" not in text:
        return True
    if address.is_loopback or ("." in text and int(address) >> 32 == 0):
        return True
    return any(address in block for block in _USED)


def _is_slice(text: str, start: int) -> bool:
    """Tell whether it is Python's `items[::1]`."""
    return start > 1 and text[start - 1] == "[" and (text[start - 2].isalnum() or text[start - 2] in "_)]")
