"""HTTP/2 (RFC 9113) as no client speaks it: what a gateway to HTTP/1.1 may be tricked by, and what is out of order.

Each is what follows the connection's preface; a request with a pseudo-header of `/smuggled` in it must not arrive.
"""

from collections.abc import Callable

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)  # fmt: skip

Fields = list[tuple[str, str]]
GET_HEALTH: Fields = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/health")]
_POST: Fields = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "localhost"),
    (":path", "/api/v1/predict"),
    ("content-type", "application/json"),
]
_INNER = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def headers(fields: Fields, stream: int = 1, *, end: bool = True, encoder: Encoder | None = None) -> bytes:
    """Return a HEADERS frame, whatever the fields say."""
    frame = HeadersFrame(
        stream,
        (encoder or Encoder()).encode(fields, huffman=False),
        flags=["END_HEADERS", *(["END_STREAM"] if end else [])],
    )
    return frame.serialize()


def data(content: bytes, stream: int = 1, *, end: bool = True) -> bytes:
    """Return a DATA frame."""
    return DataFrame(stream, content, flags=["END_STREAM"] if end else []).serialize()


def _with(*more: tuple[str, str], base: Fields = GET_HEALTH) -> bytes:
    return headers([*base, *more])


def _instead(name: str, value: str, base: Fields = GET_HEALTH) -> bytes:
    return headers([(one, value if one == name else old) for one, old in base])


def _frame(frame: Frame) -> bytes:
    return frame.serialize()


def _raw(kind: int, flags: int, stream: int, body: bytes, length: int | None = None) -> bytes:
    return (
        (len(body) if length is None else length).to_bytes(3, "big")
        + bytes([kind, flags])
        + stream.to_bytes(4, "big")
        + body
    )


_VALUES = {
    "a line": "x\r\nX-Injected: y", "a request": f"x\r\n\r\n{_INNER}", "a newline": "x\ny", "a return": "x\ry",
    "NUL": "x\x00y", "spaces around": " x ", "8 bits": "\u00ff", "tab": "\tx", "escape": "\x1b[31m",
    "long": "x" * 40_000,
}  # fmt: skip
_PSEUDO = {
    "a space": "/health HTTP/1.1\r\nHost: evil\r\n\r\nGET /smuggled", "a line": "/health\r\nX-Injected: y",
    "absolute": "https://evil.example/health", "no slash": "health", "empty": "", "star": "*", "NUL": "/\x00",
    "fragment": "/health#/smuggled", "metrics": "/./metrics", "8 bits": "/\u00ff", "long": "/" + "a" * 40_000,
    "tab": "/health\tHTTP/1.1",
}  # fmt: skip

FRAMES: dict[str, bytes] = {
    **{f"value: {name}": _with(("x-attack", value)) for name, value in _VALUES.items()},
    **{f"name: {name}": _with((f"x{value[:9000]}", "y")) for name, value in _VALUES.items()},
    **{f"path: {name}": _instead(":path", value) for name, value in _PSEUDO.items()},
    **{f"method: {name}": _instead(":method", value) for name,
    value in {"a space": "GET /smuggled", "a line": "GET /smuggled HTTP/1.1\r\nX: y", "empty": "", "lower": "get",
    "CONNECT": "CONNECT", "TRACE": "TRACE", "long": "A" * 9000}.items()},
    **{f"scheme: {name}": _instead(":scheme", value) for name,
    value in {"http": "http", "a line": "https\r\nX: y", "empty": "", "path": "https://evil.example/",
    "odd": "gopher"}.items()},
    **{f"authority: {name}": _instead(":authority", value) for name,
    value in {"other": "evil.example", "a line": "localhost\r\nX: y", "empty": "", "user": "a@localhost",
    "port": "localhost:99999", "two": "localhost,evil"}.items()},
    **{f"a length of {length}, {len(body)} bytes, {name}": headers([*_POST, ("content-length", length)],
    end=not body) + (data(body) if body else b"")
       for length in ("0", "5", "46", "-1", "+5", "5,5", "x", "18446744073709551621", "") for name,
       body in (("none", b""), ("a request", _INNER.encode()))},
    **{f"encoding {value}": headers([*_POST, ("transfer-encoding", value)],
    end=False) + data(b"0\r\n\r\n" + _INNER.encode()) for value in ("chunked", "identity", "cow", "chunked\r\n")},
    **{f"connection's own {name}": _with((name, value)) for name,
    value in (("connection", "close"), ("connection", "x-request-id"), ("keep-alive", "1"), ("proxy-connection", "x"),
    ("upgrade", "h2c"), ("upgrade", "websocket"), ("te", "gzip"), ("host", "evil.example"),
    ("http2-settings", "AAAA"))},
    **{f"twice {name}": headers([*GET_HEALTH, (name, value)]) for name,
    value in ((":path", "/smuggled"), (":method", "POST"), (":authority", "evil.example"), (":scheme", "http"))},
    **{f"without {name}": headers([field for field in GET_HEALTH if field[0] != name]) for name in (":path", ":method",
    ":authority", ":scheme")},
    "an unknown pseudo-header": _with((":evil", "x")), "a status": _with((":status", "200")),
    "a protocol": _with((":protocol", "websocket")), "pseudo-headers last": headers([("x", "y"), *GET_HEALTH]),
    "upper case": _with(("X-Attack", "y")),
    "an empty name": _with(("", "x")), "a colon in a name": _with(("x:y", "z")),
    "two hosts": _with(("host", "a"), ("host", "b")), "cookies in crumbs": _with(*[("cookie", f"a{n}=b") for n
    in range(1000)]), "many fields": _with(*[(f"x-{n}", "y") for n in range(5000)]),
    "trailers with a path": headers(_POST, end=False) + data(b"{}", end=False) + headers([(":path", "/smuggled")]),
    "trailers with a length": headers(_POST, end=False) + data(b"{}",
    end=False) + headers([("content-length", "99"), ("transfer-encoding", "chunked")]),
    "data before headers": data(b"x"), "data on stream 0": _raw(0, 0, 0, b"x"),
    "headers on stream 0": _raw(1, 5, 0, b"\x82"), "an even stream": headers(GET_HEALTH, 2),
    "a lower stream": headers(GET_HEALTH, 5) + headers(GET_HEALTH, 3),
    "the same stream": headers(GET_HEALTH) + headers(GET_HEALTH),
    "data after the end": headers(GET_HEALTH) + data(b"x"), "a stream of its own": _frame(PriorityFrame(1, depends_on=1,
    stream_weight=1)) + headers(GET_HEALTH), "continuation alone": _frame(ContinuationFrame(1, b"\x82",
    flags=["END_HEADERS"])), "headers between": _frame(HeadersFrame(1, b"\x82")) + headers(GET_HEALTH, 3),
    "padding beyond": _raw(1, 0x0D, 1, b"\xff\x82"), "padding of data beyond": headers(_POST, end=False) + _raw(0, 0x09,
    1, b"\xff"), "a frame too large": _raw(0, 0, 1, b"", 16_777_215),
    "an unknown frame": _raw(99, 255, 1, b"x" * 1000) + headers(GET_HEALTH),
    "a push": _frame(PushPromiseFrame(1, 2, b"\x82")),
    "settings of 5 bytes": _raw(4, 0, 0, b"\x00" * 5), "settings on a stream": _raw(4, 0, 1, b""),
    "an acknowledgement with content": _raw(4, 1, 0, b"\x00" * 6),
    "a window of 0": _frame(WindowUpdateFrame(0, 1))[:-4] + b"\x00" * 4,
    "a window too large": _frame(WindowUpdateFrame(0, 2**31 - 1)),
    "an initial window too large": _raw(4, 0, 0, b"\x00\x04\xff\xff\xff\xff"),
    "a frame size too small": _raw(4, 0, 0, b"\x00\x05\x00\x00\x00\x01"),
    "push of 2": _raw(4, 0, 0, b"\x00\x02\x00\x00\x00\x02"), "a ping of 7": _raw(6, 0, 0, b"x" * 7),
    "a ping on a stream": _raw(6, 0, 1, b"x" * 8),
    "a reset of an idle stream": _frame(RstStreamFrame(9, 8)), "a reset of stream 0": _raw(3, 0, 0, b"\x00" * 4),
    "goodbye and on": _frame(GoAwayFrame(0, 0, 0)) + headers(GET_HEALTH),
    "HPACK of nothing": _raw(1, 5, 1, b"\xff\xff\xff\xff\xff\xff"), "HPACK index 0": _raw(1, 5, 1, b"\x80"),
    "HPACK beyond the table": _raw(1, 5, 1, b"\xfe"), "HPACK table resized too far": _raw(1, 5, 1,
    b"\x3f\xff\xff\xff\xff\x0f"), "HPACK with a broken Huffman code": _raw(1, 5, 1,
    b"\x82\x87\x84\x41\x83\xff\xff\xff"), "no frame": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "no settings": b"",
}  # fmt: skip


def _stream_numbers(count: int) -> range:
    return range(1, 2 * count, 2)


def rapid_reset(count: int) -> bytes:
    """CVE-2023-44487: requests taken back at once."""
    encoder = Encoder()
    return b"".join(
        headers(GET_HEALTH, n, encoder=encoder) + RstStreamFrame(n, 8).serialize() for n in _stream_numbers(count)
    )


def resets_of_posts(count: int) -> bytes:
    """The same of requests that have begun to send."""
    encoder = Encoder()
    return b"".join(
        headers(_POST, n, end=False, encoder=encoder) + data(b"{", n, end=False) + RstStreamFrame(n, 8).serialize()
        for n in _stream_numbers(count)
    )


def made_to_be_reset(count: int) -> bytes:
    """CVE-2025-8671: the server is made to reset them."""
    encoder = Encoder()
    return b"".join(
        headers(_POST, n, end=False, encoder=encoder) + _frame(WindowUpdateFrame(n, 1))[:-4] + b"\x00" * 4
        for n in _stream_numbers(count)
    )


def many_streams(count: int) -> bytes:
    """More at once than allowed."""
    encoder = Encoder()
    return b"".join(headers(_POST, n, end=False, encoder=encoder) for n in _stream_numbers(count))


def continuation(count: int) -> bytes:
    """CVE-2024-27316 and its like: headers without end."""
    part = ContinuationFrame(1, Encoder().encode([("x", "y" * 900)], huffman=False)).serialize()
    return HeadersFrame(1, Encoder().encode(GET_HEALTH)).serialize() + part * count


def empty_continuation(count: int) -> bytes:
    """The same of nothing."""
    return HeadersFrame(1, Encoder().encode(GET_HEALTH)).serialize() + ContinuationFrame(1, b"").serialize() * count


def settings(count: int) -> bytes:
    """CVE-2019-9515: each wants an answer."""
    return SettingsFrame(0, settings={3: 100}).serialize() * count


def pings(count: int) -> bytes:
    """CVE-2019-9512: so does each of these."""
    return PingFrame(0, b"12345678").serialize() * count


def empty_data(count: int) -> bytes:
    """CVE-2019-9518: frames of nothing."""
    return headers(_POST, end=False) + data(b"", end=False) * count


def single_bytes(count: int) -> bytes:
    """A body of one byte a frame."""
    return headers(_POST, end=False) + data(b" ", end=False) * count


def windows(count: int) -> bytes:
    """CVE-2019-9511's side: windows opened by a byte."""
    return headers(GET_HEALTH) + WindowUpdateFrame(0, 1).serialize() * count


def priorities(count: int) -> bytes:
    """CVE-2019-9513: the tree of priorities shuffled."""
    return b"".join(
        PriorityFrame(1 + 2 * (n % 50), depends_on=1 + 2 * ((n + 1) % 50), stream_weight=n % 256).serialize()
        for n in range(count)
    )


def unknown_frames(count: int) -> bytes:
    """Frames of no known kind."""
    return _raw(99, 0, 1, b"x" * 100) * count


def hpack_bomb(count: int) -> bytes:
    """CVE-2016-6581: one large field, referred to over and over."""
    encoder = Encoder()
    first = headers([*GET_HEALTH, ("x-bomb", "y" * 3000)], 1, encoder=encoder)
    return first + b"".join(
        headers([*GET_HEALTH, *[("x-bomb", "y" * 3000)] * 100], n, encoder=encoder) for n in range(3, 3 + 2 * count, 2)
    )


FLOODS: dict[str, Callable[[int], bytes]] = {
    one.__name__: one for one in (
        rapid_reset, resets_of_posts, made_to_be_reset, many_streams, continuation, empty_continuation, settings, pings,
        empty_data, single_bytes, windows,
        priorities, unknown_frames, hpack_bomb,
    )
}  # fmt: skip
