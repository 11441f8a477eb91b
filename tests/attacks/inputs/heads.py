"""Bytes on a TLS connection to an HTTP/1.1 server: smuggling (RFC 9112, 11.2) and what else no client should send.

`GET /smuggled` is what a smuggled request would ask for.
"""

_HOST = b"Host: localhost\r\n"
_INNER = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
_POST = b"POST /api/v1/predict HTTP/1.1\r\n" + _HOST + b"Content-Type: application/json\r\n"
_GET = b"GET /health HTTP/1.1\r\n" + _HOST

# How Transfer-Encoding may be written so that one server reads it and another does not.
_ENCODINGS = (
    b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: cow", b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: 'chunked'",
    b"Transfer-Encoding:chunked ",
    b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    b"TRANSFER-ENCODING: CHUNKED",
    b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b" Transfer-Encoding: chunked", b"X: y\n Transfer-Encoding: chunked", b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked", b"Transfer_Encoding: chunked", b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked;q=1", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding\x00: chunked", b"Transfer\xadEncoding: chunked", b"\x00Transfer-Encoding: chunked",
    b"Transfer-Encoding:\x0cchunked", b"Transfer-Encoding: chunked,", b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding:",
    b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", b"Foo: bar\r\n\rTransfer-Encoding: chunked",
    b"Transfer-Encoding: ch\xc5\xbfnked", b"TE: chunked\r\nTransfer-Encoding: trailers",
)  # fmt: skip
_LENGTHS = (
    b"Content-Length: 5\r\nContent-Length: 48", b"Content-Length: 48\r\nContent-Length: 5", b"Content-Length: 5, 48",
    b"Content-Length: +5", b"Content-Length: -1", b"Content-Length: 0x5", b"Content-Length: 5 5", b"Content-Length : 5",
    b"Content-Length: 5\x00", b"Content-Length: 00000005", b"Content-Length: 5;x", b"Content-Length:\r\n 5",
    b"Content-Length:",
    b"Content-Length: 18446744073709551621", b"Content-Length: 9223372036854775808", b"Content-Length: 4294967301",
    b"Content-Length: 99999999999999999999999999999999", b"Content-Length: 5e0", b"Content-Length: 5.0",
    b"Content-Length: \xef\xbc\x95",
    b"Content_Length: 48", b"Content-Length: 5\r\nConnection: Content-Length", b" Content-Length: 5",
    b"Content-Length: 5\n",
    b"Content-Length\x0b: 5", b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 0_5",
    b"Content-Length: \x0b5",
)  # fmt: skip
_CHUNKS = (
    b"5\r\nabcde\r\n0\r\n\r\n", b"0x5\r\nabcde\r\n0\r\n\r\n", b"+5\r\nabcde\r\n0\r\n\r\n", b"-5\r\nabcde\r\n0\r\n\r\n",
    b"5 \r\nabcde\r\n0\r\n\r\n",
    b"5;x=y\r\nabcde\r\n0\r\n\r\n", b"5;" + b"x" * 9000 + b"\r\nabcde\r\n0\r\n\r\n", b"5\nabcde\n0\n\n",
    b"5\r\nabcde0\r\n\r\n", b"5\r\nabc\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nabc", b"fffffffffffffffff\r\nabc", b"10000000000000005\r\nabcde\r\n0\r\n\r\n",
    b"7fffffffffffffff\r\nabc",
    b"\r\nabcde\r\n0\r\n\r\n", b"g\r\nabcde\r\n0\r\n\r\n", b"5\x00\r\nabcde\r\n0\r\n\r\n",
    b"00000000000000000000000000005\r\nabcde\r\n0\r\n\r\n",
    b"5\r\nabcdeXX0\r\n\r\n", b"5;\n\r\nabcde\r\n0\r\n\r\n", b"5\r\r\nabcde\r\n0\r\n\r\n", b"0\r\nX: y\r\n\r\n",
    b"0\r\nContent-Length: 48\r\n\r\n",
    b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
    b"0\r\n" + b"X: " + b"y" * 40000 + b"\r\n\r\n", b"0;\r\n\r\n",
    b"1\r\na\r\n" * 4000 + b"0\r\n\r\n", b"0\r\n: x\r\n\r\n", b"5_0\r\nabcde\r\n0\r\n\r\n", b"0_0\r\n\r\n",
)  # fmt: skip
_LINES = (
    b"GET /health", b"GET /health HTTP/1.1 ", b"GET  /health HTTP/1.1", b"GET\t/health\tHTTP/1.1",
    b" GET /health HTTP/1.1", b"GET /health HTTP/1.9",
    b"GET /health HTTP/2.0", b"GET /health HTTP/0.9", b"GET /health HTTP/11", b"GET /health http/1.1",
    b"GET /health HTTP/1.1x", b"get /health HTTP/1.1",
    b"G\x00T /health HTTP/1.1", b"GET /hea\x00lth HTTP/1.1", b"GET /health\x7f HTTP/1.1", b"GET /\xff\xfe HTTP/1.1",
    b"GET /health HTTP/1.1\x00",
    b"GET health HTTP/1.1", b"GET ?x HTTP/1.1", b"GET * HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT api:8000 HTTP/1.1",
    b"CONNECT / HTTP/1.1",
    b"TRACE /health HTTP/1.1", b"TRACK /health HTTP/1.1", b"PRI * HTTP/2.0", b"PRI /x HTTP/1.1",
    b"DEBUG /health HTTP/1.1", b"A" * 40 + b" /health HTTP/1.1",
    b"GE\xc3\x89 /health HTTP/1.1", b"GET http://evil.example/health HTTP/1.1", b"GET http:///health HTTP/1.1",
    b"GET http://localhost:x/ HTTP/1.1",
    b"GET https://user:pass@localhost/health HTTP/1.1", b"GET //evil.example/health HTTP/1.1",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1", b"GET /" + b"%61" * 2600 + b" HTTP/1.1",
    b"GET /?" + b"a=b&" * 1900 + b" HTTP/1.1", b"GET /" + b"../" * 2000 + b" HTTP/1.1", b"GET /%zz HTTP/1.1",
    b"GET /% HTTP/1.1", b"GET /%00 HTTP/1.1",
    b"GET /health#/../metrics HTTP/1.1", b"GET /health%0d%0aX-Injected:%20y HTTP/1.1",
    b"GET /a%0d%0a%0d%0aGET%20/smuggled HTTP/1.1", b"GET /..%2f..%2fetc/passwd HTTP/1.1",
    b"GET /static/..%252f..%252fetc/passwd HTTP/1.1", b"GET /.git/config HTTP/1.1", b"GET /.env HTTP/1.1",
    b"GET /proc/self/environ HTTP/1.1", b"",
)  # fmt: skip
_FIELDS = (
    b"", b"Host: localhost\r\n", b"Host: a\r\nHost: b\r\n", b"Host: localhost\r\nHost: localhost\r\n", b"Host:\r\n",
    b"Host: \x00\r\n", b"host:localhost\r\nHOST:localhost\r\n",
    b"Host: localhost\r\n X-Folded: y\r\n", b"Host: localhost\r\nX: y\r\n z\r\n", b"Host: localhost\r\nX: y\r\n\tz\r\n",
    b"Host: localhost\r\nNoColon\r\n", b"Host: localhost\r\n: empty\r\n",
    b"Host: localhost\r\nX : y\r\n", b"Host: localhost\r\nX\x00: y\r\n", b"Host: localhost\r\nX: \x00\r\n",
    b"Host: localhost\r\nX: a\rb\r\n", b"Host: localhost\nX: y\n",
    b"Host: localhost\r\n" + b"X: y\r\n" * 3000, b"Host: localhost\r\n" + b"X" * 9000 + b": y\r\n",
    b"Host: localhost\r\nX: " + b"y" * 9000 + b"\r\n",
    b"Host: localhost\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 7000) for n in range(8)),
    b"Host: localhost\r\n\xff\xfe: y\r\n", b"Host: localhost\r\n(): y\r\n",
    b"Host: localhost\r\nX: \x1b[31m\r\n", b"Host: localhost\r\n" + b"Cookie: a=b\r\n" * 1500,
    b"Host: localhost\r\nContent-Length: 10\r\n",
)  # fmt: skip

HEADS: dict[str, bytes] = {
    **{f"CL.TE {n}": _POST + b"Content-Length: %d\r\n" % (5 + len(_INNER)) + field + b"\r\n\r\n0\r\n\r\n" + _INNER
    for n, field in enumerate(_ENCODINGS)},
    **{f"TE.CL {n}": _POST + field + b"\r\nContent-Length: 4\r\n\r\n2e\r\n" + _INNER + b"\r\n0\r\n\r\n" for n,
    field in enumerate(_ENCODINGS)},
    **{f"TE {n}": _POST + field + b"\r\n\r\n0\r\n\r\n" for n, field in enumerate(_ENCODINGS)},
    **{f"CL {n}": _POST + field + b"\r\n\r\n12345" + _INNER for n, field in enumerate(_LENGTHS)},
    **{f"CL of GET {n}": _GET + field + b"\r\n\r\n12345" + _INNER for n, field in enumerate(_LENGTHS)},
    **{f"chunks {n}": _POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + _INNER for n,
    chunks in enumerate(_CHUNKS)},
    **{f"chunks of GET {n}": _GET + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + _INNER for n,
    chunks in enumerate(_CHUNKS)},
    **{f"line {n}": line + b"\r\nHost: localhost\r\n\r\n" for n, line in enumerate(_LINES)},
    **{f"fields {n}": b"GET /health HTTP/1.1\r\n" + fields + b"\r\n" for n, fields in enumerate(_FIELDS)},
    **{f"HTTP/1.0 {n}": b"GET /health HTTP/1.0\r\n" + fields + b"\r\n" + _INNER for n, fields in enumerate(_FIELDS)},
    "HTTP/1.0 chunked": b"POST /api/v1/predict HTTP/1.0\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + _INNER,
    "upgrade to h2c": _GET
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" + _INNER,
    "upgrade to websocket, then a request": _GET
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + _INNER,
    "upgrade to a wrong websocket": _GET
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n\r\n" + _INNER,
    "expect and a body": _POST + b"Expect: 100-continue\r\nContent-Length: 46\r\n\r\n" + _INNER,
    "pipelined 200": _GET + b"\r\n" + (_GET + b"\r\n") * 199,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 64,
    "PROXY protocol": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\n" + _GET + b"\r\n",
    "PROXY protocol 2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x7f\x00\x00\x01" * 3 + _GET + b"\r\n",
    "FastCGI": b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00",
    "SMTP": b"EHLO localhost\r\nMAIL FROM:<a@b>\r\n\r\n",
    "redis": b"*1\r\n$4\r\nINFO\r\n\r\n",
    "NULs": b"\x00" * 70_000,
    "newlines": b"\r\n" * 40_000,
    "one byte": b"G",
}  # fmt: skip
