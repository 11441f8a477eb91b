"""What every language finds, what some find besides, and that it is said."""

import logging
import re
from pathlib import Path

import pytest
import spacy

from api.privacy.model import PresidioModel, load
from api.privacy.recognizers.catalogue import NATIONAL, recognizers_for, types_of
from tests.support.model import blank, found

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "model.md"
EVERYWHERE = {
    "CREDIT_CARD": "4111 1111 1111 1111",
    "CRYPTO": "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
    "DATE_TIME": "2024-01-15",
    "EMAIL_ADDRESS": "anna@firma.local",
    "IBAN_CODE": "DE89 3704 0044 0532 0130 00",
    "IP_ADDRESS": "2001:db8::1",
    "MAC_ADDRESS": "00:1a:2b:3c:4d:5e",
    "PHONE_NUMBER": "+44 20 7946 0958",
    "UK_NHS": "943 476 5919",
    "URL": "https://example.org/x",
    "US_ITIN": "912-70-1234",
    "US_SSN": "219-09-9999",
    "UUID": "550e8400-e29b-41d4-a716-446655440000",
}
# French is among those of tests/long: a blank pipeline of it takes seconds.
LANGUAGES = ["en", "de", "pt", "es", "it", "nl", "pl", "sv", "tr", "ru", "xx"]
NUMBERS = [
    ("de", "DE_TAX_ID", "Steuer-ID 86095742719"),
    ("de", "DE_SOCIAL_SECURITY", "Rentenversicherung 15070649C103"),
    ("es", "ES_NIF", "DNI 12345678Z"),
    ("es", "ES_NIE", "NIE X1234567L"),
    ("it", "IT_FISCAL_CODE", "codice fiscale RSSMRA85T10A562S"),
    ("pl", "PL_PESEL", "PESEL 44051401359"),
    ("fi", "FI_PERSONAL_IDENTITY_CODE", "henkilötunnus 131052-308T"),
    ("sv", "SE_PERSONNUMMER", "personnummer 811218-9876"),
    ("tr", "TR_NATIONAL_ID", "kimlik 10000000146"),
]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_has_a_form_of_its_own_is_found_in_every_language(language: str) -> None:
    for kind, value in EVERYWHERE.items():
        assert found(f"Nota: {value}.", language) == [(kind, value)]


@pytest.mark.parametrize(("language", "kind", "text"), NUMBERS)
def test_a_language_finds_its_countries_numbers(language: str, kind: str, text: str) -> None:
    assert kind in [name for name, _ in found(text, language)]


@pytest.mark.parametrize(
    ("language", "text", "kind"),
    [
        ("de", "Mein Handy: 01711234567", "PHONE_NUMBER"),
        ("de", "Telefon (0171) 1234567", "PHONE_NUMBER"),
        ("es", "teléfono 612 345 678", "PHONE_NUMBER"),
        ("it", "telefono 347 123 4567", "PHONE_NUMBER"),
        ("pt", "telemóvel 912 345 678", "PHONE_NUMBER"),
        ("pl", "telefon 601 123 456", "PHONE_NUMBER"),
        ("pl", "allegro.pl", "URL"),
        ("de", "firma.at", "URL"),
        ("nl", "firma.be", "URL"),
        ("de", "Kontonummer 945832201", "US_BANK_NUMBER"),
        ("de", "Reisepassnummer: 912803456", "US_PASSPORT"),
        ("de", "Führerschein A1234567", "US_DRIVER_LICENSE"),
        ("fr", "numéro de passeport 912803456", "US_PASSPORT"),
        ("fr", "compte bancaire 945832201", "US_BANK_NUMBER"),
        ("fr", "permis de conduire A1234567", "US_DRIVER_LICENSE"),
        ("pt", "conta nº 945832201", "US_BANK_NUMBER"),
        ("pt", "passaporte 912803456", "US_PASSPORT"),
        ("es", "seguridad social 219099999", "US_SSN"),
    ],
)
def test_a_language_has_its_regions_numbers_and_words(language: str, text: str, kind: str) -> None:
    assert [name for name, _ in found(text, language)] == [kind]


def test_what_each_language_finds_is_logged_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for language in ("de", "pt"):
        spacy.blank(language).to_disk(tmp_path / language)
    with caplog.at_level(logging.INFO):
        model = load(tmp_path)
    for language in ("de", "pt"):
        assert f"language {language} finds {', '.join(model.finds[language])}" in caplog.messages
    assert "DE_TAX_ID" in model.finds["de"]
    assert "DE_TAX_ID" not in model.finds["pt"]


def test_a_pipelines_own_labels_are_among_what_it_finds() -> None:
    pipeline = spacy.blank("de")
    ruler = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PER", "pattern": "Anna"}, {"label": "LOC", "pattern": "Köln"}])  # type: ignore[attr-defined]
    finds = PresidioModel([pipeline]).finds["de"]
    assert {"PERSON", "LOCATION"} <= set(finds)
    assert not {"PERSON", "LOCATION"} & set(blank("de").finds["de"])


def test_the_document_says_what_each_language_finds() -> None:
    text = DOCUMENT.read_text()
    table = dict(re.findall(r"^\| (every language|`\w\w`) \| (.*) \|$", text, re.MULTILINE))
    everywhere = set(types_of(recognizers_for("xx")))
    assert set(re.findall(r"`(\w+)`", table["every language"])) == everywhere
    assert {key.strip("`") for key in table} == {"every language", *NATIONAL}
    for language in NATIONAL:
        assert (
            set(re.findall(r"`(\w+)`", table[f"`{language}`"])) == set(types_of(recognizers_for(language))) - everywhere
        )
