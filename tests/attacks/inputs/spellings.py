"""Request targets that may lead to /metrics, or to what else is inside."""

from itertools import product

_WORDS = (
    "metrics",
    "Metrics",
    "METRICS",
    "m%65trics",
    "%6d%65%74%72%69%63%73",
    "%6D%45trics",
    "metric%73",
    "met%72ics",
)
_BEFORE = (
    "/", "//", "///", "/./", "/.//", "/x/../", "/x/y/../../", "/%2e/", "/%2e%2e/", "/x/%2e%2e/", "/x/..%2f", "/%2f",
    "/..;/", "/x/..;/", "/.%2e/", "/%252f", "/\\", "/x\\..\\", "/%5c", "/health/../", "/api/v1/../../", "/ready/%2e./",
    "/.well-known/../", "/.edge/problem/../../", "/%c0%af", "/%u002f", "/;/", "/x/./../", "/%09", "/%20", "/?/../",
)  # fmt: skip
_AFTER = (
    "", "/", "//", "/.", "/..;/metrics", "?", "?name[]=http_requests_total", "#x", ";x", ";/x", "%20", "%00", "%0a",
    "%0d%0a", "%3f", "%23", "%2f", ".", ".json", "/x/..", "%2e", "/%2e", "~", "*", "%09", "/metrics", "%ff", "\\",
)  # fmt: skip

SPELLINGS = sorted(
    {f"{before}metrics{after}" for before, after in product(_BEFORE, ("", "/", "?x"))}
    | {f"{before}{word}" for before, word in product(_BEFORE[:12], _WORDS)}
    | {f"/{word}{after}" for word, after in product(_WORDS, _AFTER)}
    | {
        f"{scheme}{host}/metrics"
        for scheme, host in product(
            ("http://", "https://", "HTTP://", "gopher://"),
            ("localhost", "127.0.0.1:9113", "nginx:9113", "api:9464", "api:8000", "[::1]:9113",
            "127.0.0.1:9113@localhost"),
        )
    }
    | {"metrics", "*", "*/metrics", "localhost:9113", "api:9464/metrics", "/nginx_status", "/replicas",
    "/.edge/problem",
       "/.edge/../replicas", "/@problem", "/@routes", "/api:9464/metrics", "/http://api:9464/metrics", "/stub_status",
       "/metrics.js", "/nginx/metrics.js", "/proc/self/environ", "/..%2f..%2fproc/self/environ", "/server-status"}
)  # fmt: skip
