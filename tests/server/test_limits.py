"""No document takes more memory than there is for one, and what is beyond a limit is refused by its name.

One of each kind, and the refused ones; tests/long has them all.
"""

from tests.support.format_memory import NAMES_OF_CHARSETS, REFUSED, check


def test_a_document_at_its_limits_is_done_within_the_memory_of_one() -> None:
    check("long wide encoding", "wide text", "two long tags", "wide string", "wide cell", "text without a space")


def test_what_is_beyond_a_limit_is_refused_by_its_name() -> None:
    check(*(name for name in REFUSED if name != NAMES_OF_CHARSETS))
