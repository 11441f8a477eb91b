"""Texts made to be costly for regular expressions, and what each repeats."""

from bench.search import COSTLY

_MORE = {
    "a.-": "a.-", "a..b": "a..", "http://a": "http://a", "//": "//", "?=&": "?a=b&", "-.-.": "-.", "a-a-a-": "a-",
    "....": ".", "%2e": "%2e", "a@": "a@b.", "@a.": "@a.", "'@": "'a'@", '"@': '"a"@',
    "<<<<": "<", "a@[": "a@[1.", "0.0.": "0.", "255.": "255.", "1.1.1.1.": "1.1.1.1.", "::ffff:": "::ffff:",
    "f:f:": "f:", "%eth": "fe80::1%e", "00:11": "00:11:", "AA-BB": "AA-", "+": "+", "+1": "+1", "(1)": "(1) ",
    "1(": "1(",
    "ext": "1 ext ", "DE": "DE", "DE89": "DE89 ", "GB29NWBK": "GB29NWBK", "A": "A", "AB12": "AB12 ",
    "letters and digits": "a1b2 ", "hex": "deadbeef", "base58": "1BoatSLRHtKNngkdXEeobR", "3": "3", "bc1": "bc1",
    "0x": "0x", "2024-": "2024-",
    "12:": "12:", "Jan": "Jan 1 ", "T00": "2024-01-01T00:00:00", "tabs": "\t1", "newlines": "1\n", "NBSP": "1\u00a0",
    "soft hyphens": "4\u00ad1", "combining": "a\u0301", "joiners": "a\u200d", "RTL": "\u202e1", "fractions": "\u00bd",
    "circled": "\u2460",
    "math digits": "\U0001d7ce", "Arabic digits": "\u0661", "Thai digits": "\u0e51", "ligatures": "\ufb03",
    "emoji": "\U0001f468\u200d\U0001f469", "flags": "\U0001f1e9\U0001f1ea", "surrogate-like": "\ufffd",
    "long s": "\u017f", "Kelvin": "\u212a",
    "dotless i": "\u0131", "sharp s": "\u1e9e", "Hangul": "\u1100\u1161", "a" * 30: "a" * 30 + " ", "one word": "a",
    "one number": "1", "words": "account ", "passport": "passport A1234567 ", "ssn": "ssn 219-09-", "iban": "iban ",
    "all": "a@b.c 1.1.1.1 4111 ",
}  # fmt: skip
SIZE = 16 * 1024
TEXTS: dict[str, str] = {name: (unit * SIZE)[:SIZE] for name, unit in (COSTLY | _MORE).items()}
