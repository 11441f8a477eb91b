"""Card numbers, and others in groups, beside groups that are none of theirs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.model import found

CARDS = [
    "4111 1111 1111 1111",
    "5500 0000 0000 0004",
    "4111-1111-1111-1111",
    "3782 822463 10005",
    "3056 930902 5904",
    "4111111111111111",
    "6011 0009 9013 9424",
]
groups = st.integers(0, 9999).map("{:04}".format)


def covered(text: str, value: str) -> bool:
    """Tell whether a finding covers a value, whatever else it covers."""
    return any(value in other for _, other in found(text))


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("before", ["1225", "1500", "0000", "4111", "2024 12", "1 22 333", "1225 1500", "4111 1111"])
@pytest.mark.parametrize("joint", [" ", "-", ", ", "\n"])
def test_a_card_after_other_groups_is_found(card: str, before: str, joint: str) -> None:
    text = f"{before}{joint}{card}"
    assert covered(text, card), found(text)


@given(st.lists(groups, max_size=4), st.sampled_from(CARDS), st.lists(groups, max_size=4), st.sampled_from(" -"))
def test_a_card_between_any_groups_is_found(before: list[str], card: str, after: list[str], joint: str) -> None:
    text = joint.join([*before, card, *after])
    assert covered(text, card), found(text)


def test_groups_that_are_no_cards_are_none() -> None:
    assert found("1225 4111 1111 1111 1112") == []


def test_an_italian_vat_number_after_another_group_is_found() -> None:
    assert ("IT_VAT_CODE", "007 4311 0157") in found("partita IVA 2024 007 4311 0157", "it")
