"""Which recognizers a language has: what is the same everywhere, and the national numbers of where it is spoken."""

from collections.abc import Sequence

from presidio_analyzer import EntityRecognizer, PatternRecognizer, predefined_recognizers

from api.privacy.recognizers.email import EmailSearch
from api.privacy.recognizers.iban import IbanSearch
from api.privacy.recognizers.ip import IpSearch
from api.privacy.recognizers.patterns import make_search
from api.privacy.recognizers.phone import PhoneSearch
from api.privacy.recognizers.url import UrlSearch

EVERYWHERE = (
    "CreditCardRecognizer",
    "CryptoRecognizer",
    "DateRecognizer",
    "MacAddressRecognizer",
    "MedicalLicenseRecognizer",
    "NhsRecognizer",
    "UsBankRecognizer",
    "UsItinRecognizer",
    "UsLicenseRecognizer",
    "UsPassportRecognizer",
    "UsSsnRecognizer",
    "UuidRecognizer",
)
"""Presidio's recognizers that every language has: those it has for English alone as well, as people's papers travel."""
NATIONAL = {
    "de": (
        "DeFuehrerscheinRecognizer",
        "DeHealthInsuranceRecognizer",
        "DeIdCardRecognizer",
        "DePassportRecognizer",
        "DeSocialSecurityRecognizer",
        "DeTaxIdRecognizer",
        "DeVatIdRecognizer",
    ),
    "es": ("EsNieRecognizer", "EsNifRecognizer", "EsPassportRecognizer"),
    "fi": ("FiPersonalIdentityCodeRecognizer",),
    "it": (
        "ItDriverLicenseRecognizer",
        "ItFiscalCodeRecognizer",
        "ItIdentityCardRecognizer",
        "ItPassportRecognizer",
        "ItVatCodeRecognizer",
    ),
    "ko": ("KrDriverLicenseRecognizer", "KrFrnRecognizer", "KrPassportRecognizer", "KrRrnRecognizer"),
    "pl": ("PlPeselRecognizer",),
    "sv": ("SePersonnummerRecognizer",),
    "th": ("ThTninRecognizer",),
    "tr": ("TrNationalIdRecognizer",),
}
"""Those a language has besides, with its own words of context."""
CONTEXT = {
    "UsBankRecognizer": [
        "acc", "a c", "savings", "konto", "bankkonto", "girokonto", "bankverbindung", "compte", "cuenta", "conta n",
        "conta corrente", "conta bancária", "conto corrente", "rekening", "bankrekening",
    ],
    "UsLicenseRecognizer": [
        "licence", "dl", "führerschein", "fahrerlaubnis", "permis de conduire", "licencia de conducir",
        "permiso de conducir", "carnet de conducir", "carta de condução", "patente di guida", "rijbewijs",
    ],
    "UsPassportRecognizer": [
        "reisepass", "passnummer", "passeport", "pasaporte", "passaporte", "passaporto", "paspoort", "paszport",
    ],
    "UsSsnRecognizer": ["ss", "soc sec", "sozialversicherung", "sécurité sociale", "seguridad social"],
    "CreditCardRecognizer": ["karte", "kreditkarte", "carte", "tarjeta", "carta", "cartão", "karta", "kaart"],
    "DateRecognizer": ["datum", "geboren", "geburtsdatum", "né", "née", "fecha", "nacido", "nacida", "data", "nato"],
}  # fmt: skip
"""Words of context besides Presidio's, which has them in English alone."""


def recognizers_for(language: str) -> list[EntityRecognizer]:
    """Give the recognizers of a language, an ISO 639-1 code; any other has what is the same everywhere."""
    searches: list[EntityRecognizer] = [
        EmailSearch(language), IbanSearch(language), IpSearch(language), PhoneSearch(language), UrlSearch(language)
    ]  # fmt: skip
    for name in (*EVERYWHERE, *NATIONAL.get(language, ())):
        inner: PatternRecognizer = getattr(predefined_recognizers, name)(supported_language=language)
        search = make_search(inner, language)
        search.context = [*search.context, *CONTEXT.get(name, ())]
        searches.append(search)
    return searches


def types_of(recognizers: Sequence[EntityRecognizer]) -> tuple[str, ...]:
    """Give the types of what recognizers find, sorted."""
    return tuple(sorted({entity for recognizer in recognizers for entity in recognizer.supported_entities}))
