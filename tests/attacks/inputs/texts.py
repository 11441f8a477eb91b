"""Texts made to be costly for regular expressions, and what each repeats."""

COSTLY = {
    "a.a.a.": "a.", "1.1.1.": "1.", "a@a@a@": "a@", "@@@": "@", "1111": "1", "1 1 1 1": "1 ", "01 01 01": "01 ",
    "1-1-1-": "1-", "+1 +1 +1": "+1 ", "14 41 14": "14 41 ", "((((": "(", "''''": "'", "::::": ":", "a:a:a:": "a:",
    "a://a://": "a://", "_@_@": "_@", "____@": "_" * 63 + "@", "www.www.": "www.", "a.com a.com": "a.com ",
    "a@b.c a@b.c": "a@b.c ", "addresses": "1.1.1.1 ", "IPv6": "2001:db8::1 ", "aa:aa:aa": "aa:", "AA00": "AA00 ",
    "cards": "4111 1111 1111 1111 ", "IBANs": "DE89370400440532013000 ", "phones": "212-555-0123 ",
    "country codes": "+442079460958 ", "0044": "0044 20 7946 0958 ", "dates": "1/1/24 ", "SSNs": "219-09-9999 ",
    "nine digits": "912803456 ", "with context": "account 945832201 ", "A1 A1": "A1 ", "1a1a": "1a", "bc1bc1": "bc1q",
    "zero-width": "4\u200b1", "zero-width apart": "1\u200b2 ", "full-width": "\uff14\uff11\uff11\uff11 ",
    "keycaps": "4\ufe0f\u20e3", "ideographs": "卡4", "spaces": " ", "nothing seen": "\u200b",
}  # fmt: skip
"""What bench.search measures."""
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
