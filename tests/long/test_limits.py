"""Every kind of document at, or beyond, a limit."""

import pytest

from tests.support.format_memory import ALL, check


@pytest.mark.parametrize("name", ALL)
def test_a_document_at_its_limits(name: str) -> None:
    check(name)
