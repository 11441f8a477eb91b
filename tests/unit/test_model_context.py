"""Weak patterns, and the words that make them findings."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from api.privacy.model import PresidioModel
from tests.support.model import found

WITH_CONTEXT = [
    ("my passport number is 912803456", "US_PASSPORT", "912803456"),
    ("Passport: 912803456", "US_PASSPORT", "912803456"),
    ("his passports, 912803456", "US_PASSPORT", "912803456"),
    ("passport A12803456", "US_PASSPORT", "A12803456"),
    ("my ssn: 219099999", "US_SSN", "219099999"),
    ("Social Security number 219099999", "US_SSN", "219099999"),
    ("ssn=219099999", "US_SSN", "219099999"),
    ('{"ssn": 219099999}', "US_SSN", "219099999"),
    ("ssn 219-099999", "US_SSN", "219-099999"),
    ("bank account number 945832201", "US_BANK_NUMBER", "945832201"),
    ("bank_account_number: 945832201", "US_BANK_NUMBER", "945832201"),
    ("bankAccountNumber 945832201", "US_BANK_NUMBER", "945832201"),
    ("debit 9458322014455", "US_BANK_NUMBER", "9458322014455"),
    ("driver license A1234567", "US_DRIVER_LICENSE", "A1234567"),
    ("her driving permit is 12345678", "US_DRIVER_LICENSE", "12345678"),
    ("DRIVER'S LICENSE NO. 12345678", "US_DRIVER_LICENSE", "12345678"),
    ("A/C 1234567890", "US_BANK_NUMBER", "1234567890"),
    ("Acc: 123456789012", "US_BANK_NUMBER", "123456789012"),
    ("savings 123456789012", "US_BANK_NUMBER", "123456789012"),
    ("DL# D1234562", "US_DRIVER_LICENSE", "D1234562"),
    ("driving licence no. 12345678", "US_DRIVER_LICENSE", "12345678"),
    ("SS# 219099999", "US_SSN", "219099999"),
    ("soc. sec. no. 219099999", "US_SSN", "219099999"),
    ("patient id 9434765919", "UK_NHS", "9434765919"),
    ("NHS number of the order: 943 476 5919", "UK_NHS", "943 476 5919"),
    ("taxpayer number 912803456", "US_ITIN", "912803456"),
    ("date 03/2024", "DATE_TIME", "03/2024"),
]
WITHOUT = [
    "the answer is 912803456",
    "because 912803456",  # holds "us"
    "a status of 912803456",
    "in public 12345678",  # holds "lic"
    "an update 03/2024",
    "a class of 219099999",  # holds "ss"
    "the container, in contact with 12345678",  # begins as "conta"
    "row 219099999",
    "version 945832201",
    "page 12345678",
]


@pytest.mark.parametrize(("text", "kind", "value"), WITH_CONTEXT)
def test_a_word_before_a_weak_number_says_what_it_is(text: str, kind: str, value: str) -> None:
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize("text", WITHOUT)
def test_a_weak_number_without_such_a_word_stays(text: str) -> None:
    assert found(text) == []


def test_the_nearest_word_names_a_number() -> None:
    text = "my passport number is 912803456, my ssn: 219099999, bank account number 945832201, driver license A1234567"
    assert found(text) == [
        ("US_PASSPORT", "912803456"),
        ("US_SSN", "219099999"),
        ("US_BANK_NUMBER", "945832201"),
        ("US_DRIVER_LICENSE", "A1234567"),
    ]


@given(st.integers(0, 8), st.sampled_from([" ", ": ", " is ", " - ", "\n", " the of a "]))
def test_context_reaches_five_words(distance: int, joint: str) -> None:
    filler = " ".join(["lorem"] * distance)
    expected = [("US_SSN", "219099999")] if distance < 5 else []
    assert found(f"ssn {filler}{joint}219099999") == expected


def test_a_pipelines_base_forms_are_context_too() -> None:
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("attribute_ruler")
    ruler.add(patterns=[[{"LOWER": "papers"}]], attrs={"LEMMA": "passport"})  # type: ignore[attr-defined]
    model = PresidioModel([pipeline])
    (finding,) = model.find("my papers: 912803456", "en", 0.35)
    assert (finding.type, finding.score) == ("US_PASSPORT", 0.4)
