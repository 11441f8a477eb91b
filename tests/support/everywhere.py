"""The same recognizers without any shortcut: Presidio's engine and its own recognizers, everything searched whole."""

from functools import cache

import spacy
from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry

from api.privacy.model import PresidioModel
from api.privacy.recognizers.catalogue import recognizers_for
from api.privacy.recognizers.context import WordContext
from api.privacy.recognizers.patterns import GroupSearch, PatternSearch, Recognizer
from api.privacy.recognizers.window import View, Window, whole

# What a text may be made of, so that every recognizer has something to do and something to be misled by.
FRAGMENTS = [
    "4111 1111 1111 1111", "4111-1111-1111-1111", "5500005555555559", "378282246310005",
    "DE89 3704 0044 0532 0130 00",
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S", "GB29NWBK60161331926819", "SC18 SSCB 1101 0000 0000 0000 1497 USD",
    "219-09-9999", "219099999", "219 09 9999", "912-70-1234", "912803456", "943 476 5919", "A1234567", "V123456",
    "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "AB1234563", "f91234563",
    "2024-01-15", "1/2/24", "03/2024", "15-JAN-2024", "MAR-99", "2024-01-15T10:30:00Z", "15.1.2024",
    "00:1a:2b:3c:4d:5e", "aa-bb-cc-dd-ee-ff", "abcd.efab.cdef", "550e8400-e29b-41d4-a716-446655440000",
    "anna@example.com", "root@localhost", "a@b@c", '"x y"@z.org', "@", "x@", "@y", "a@[1.2.3.4]", "'q@r.st'",
    "https://example.org/x?y=z", "www.example", "example.com", "main.py", "://", "http://", "a://b://c",
    "e.g.", "x..y",
    "192.0.2.1", "2001:db8::1", "::1", "a::b", "12:30:45", "1.2.3.4.5", "fe80::1%eth0/64", ":", "::",
    "+1 212 555 0123", "(212) 555-0123", "212-555-0123", "2125550123", "+44 (0)20 7946 0958", "030/1234567",
    "0049 30 1234567",
    "ext. 12", "+", "(", ")", "-", " - ", "/", ".", ",", ";", "\n", "\t", "  ", "\x00", "\x1c", "\u2028",
    "\u200b", "\u00ad",
    "\u00a0", "\u2011", "\uff14\uff11\uff11\uff11", "¹", "ー", "カード", "é", "\u017f", "\u212a", "_", "$", "'",
    '"', "“", "#", "A-Z]]12",
    "passport", "ssn", "SSN:", "bank account", "driver license", "call", "phone", "order number", "date",
    "iban", "nhs",
    "the", "of", "and", "Anna", "went", "to", "Köln", "RSSMRA85T10A562S", "44051401359", "12345678Z",
    "86095742719", "B 12 HRB 77",
    "1", "12", "123", "1234", "12345678", "123456789012", "0", "00", "9" * 20, "a", "b" * 30, "F" * 12,
    "1a2b3c", "A1", "1 2 3 4 5 6",
]  # fmt: skip


@cache
def everywhere(language: str) -> PresidioModel:
    """Return the model of a blank pipeline whose recognizers take no shortcut."""
    model = PresidioModel([spacy.blank(language)])
    recognizers: list[EntityRecognizer] = []
    for recognizer in recognizers_for(language):
        if isinstance(recognizer, PatternSearch) and not isinstance(recognizer, GroupSearch):
            inner: EntityRecognizer = recognizer._inner
            inner.context = recognizer.context
            inner.enhance_using_context = recognizer.enhance_using_context  # type: ignore[method-assign]
            recognizers.append(inner)
        else:
            assert isinstance(recognizer, Recognizer)
            recognizer.view = _everything  # type: ignore[method-assign]
            recognizers.append(recognizer)
    model._analyzer = AnalyzerEngine(  # type: ignore[assignment]
        RecognizerRegistry(recognizers, supported_languages=[language]),
        model._engine,
        supported_languages=[language],
        context_aware_enhancer=WordContext(),
    )
    return model


def _everything(window: Window) -> View:
    return whole(window.text)
