"""Domain names: which last labels are public, and where a name ends when a sentence goes on without a space."""

from collections.abc import Sequence
from functools import cache

import tldextract

EXTRACT = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
"""With the list that comes with the package; the library's own fetches another on first use."""
PRIVATE = frozenset(("corp", "example", "home", "internal", "intranet", "lan", "local", "localdomain", "private"))
"""Top-level domains of no list that networks and documentation use (RFC 2606; RFC 6762, appendix G)."""


@cache
def _public() -> frozenset[str]:
    names = {suffix.rpartition(".")[2] for suffix in EXTRACT.tlds}
    decoded = {name.encode().decode("idna") for name in names if name.startswith("xn--")}
    return frozenset(names | decoded)


def is_public(label: str) -> bool:
    """Tell whether a label, in whatever case, is a top-level domain of the public suffix list."""
    return label.lower() in _public()


def sentence_start(labels: Sequence[str]) -> int | None:
    """Give which label starts a sentence, the one before it ending a public name: `example.com.Later`."""
    for number in range(2, len(labels)):
        before, label = labels[number - 1], labels[number]
        if label[0].isupper() and label[1:].islower() and before.islower() and is_public(before):
            return number
    return None


def without_numbers(labels: Sequence[str]) -> Sequence[str]:
    """Give a name without the numbers at its end, of which none is a top-level domain (RFC 3696, section 2).

    They are what follows a full stop without its space, or a footnote's: `example.com.2`, `4.50`.
    """
    end = len(labels)
    while end and labels[end - 1].isdigit():
        end -= 1
    return labels[:end]
