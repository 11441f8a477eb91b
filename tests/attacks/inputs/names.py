"""What stands where a name belongs: ids, cursors, parameters, idempotency keys, file names."""

_NAMES = (
    "..", ".", "../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e", "..\\..\\", "/etc/passwd", "%00", "a%00b",
    "%0a", "%0d%0aX:y", "%ff", "%c0%ae", "%ed%a0%80", "%f0%9f%92%a9", "a" * 4000, "0", "-1", "1e9",
    "9" * 400, "null", "None", "undefined", "true", "NaN", "*", "%25", "%2500", "'", '"', "`", "';--", "' OR '1'='1",
    "1; DROP TABLE jobs", "1 UNION SELECT key FROM keys", "$(id)", "`id`", "|id", ";id", "${7*7}", "{{7*7}}",
    "#{7*7}", "%{7*7}", "<%=7*7%>", "<script>", "%3Cscript%3E", "jobs.db", "jobs.db-wal", ".secret", "secret",
    "document", "result", "__class__", "constructor", "con", "aux", "nul", "~root", "{job_id}", "[]", "a,b", "a;b",
    "a:b", "a@b",
    "00000000-0000-0000-0000-000000000000", "0" * 32, "f" * 32, "F" * 32, "g" * 32, "0" * 31, "0" * 33, "A" * 22,
    "_" * 22, "-" * 22, " ", "%20", "%09", "\u00e4", "\u202e",
)  # fmt: skip

NAMES: list[tuple[str, str, dict[str, str]]] = [
    *(("GET", f"/api/v1/jobs/{name}", {}) for name in _NAMES),
    *(("DELETE", f"/api/v1/jobs/{name}", {}) for name in _NAMES),
    *(("GET", f"/api/v1/jobs/{name}/result", {}) for name in _NAMES),
    *(("GET", f"/api/v1/jobs?before={name}", {}) for name in _NAMES),
    *(("GET", f"/api/v1/jobs?batch={name}", {}) for name in _NAMES),
    *(("GET", f"/api/v1/jobs?limit={name}", {}) for name in _NAMES[:40]),
    *(("POST", f"/api/v1/process?language={name}", {}) for name in _NAMES),
    *(("POST", f"/api/v1/process?min_confidence={name}", {}) for name in _NAMES[:40]),
    *(("POST", f"/api/v1/process?delimiter={name}", {"Content-Type": "text/csv"}) for name in _NAMES[:40]),
    *(("POST", "/api/v1/jobs", {"Idempotency-Key": name}) for name in _NAMES),
    *(("POST", "/api/v1/process", {"Content-Disposition": f'attachment; filename="{name}"'}) for name in _NAMES),
    *(("POST", "/api/v1/process", {"Content-Disposition": f"attachment; filename*=utf-8''{name}",
    "Content-Type": "application/octet-stream"}) for name in _NAMES),
    *(("GET", f"/{name}", {}) for name in _NAMES), *(("GET", f"/docs/{name}", {}) for name in _NAMES),
    *((name, "/health", {}) for name in (
        "get", "PROPFIND", "MKCOL", "PURGE", "BREW", "SEARCH", "LINK", "VERSION-CONTROL", "G-T", "A" * 2000, "DELETE",
        "PUT", "PATCH", "OPTIONS", "HEAD", "POST", "TRACE", "CONNECT")),
]  # fmt: skip
"""Method, target and further headers."""
