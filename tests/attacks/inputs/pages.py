"""What a page in an operator's browser tries, in JavaScript: `door(port, path)` is an address of the operators' door.

Each is the body of an async function; what it returns is what the page has got hold of, and should be nothing.
"""

_SILENCE = (
    'JSON.stringify({matchers: [{name: "alertname", value: ".+", isRegex: true, isEqual: true}], '
    'startsAt: new Date().toISOString(), endsAt: "2036-01-01T00:00:00Z", createdBy: "x", comment: "x"})'
)
_ALERT = 'JSON.stringify([{labels: {alertname: "Forged"}}])'


def _send(name: str, path: str, body: str, kind: str, mode: str) -> str:
    return (
        f"const answer = await fetch(door('{name}', '{path}'), {{method: 'POST', mode: '{mode}',"
        f"credentials: 'include', headers: {{'Content-Type': '{kind}'}}, body: {body}}});"
        "return answer.type === 'opaque' ? '' : answer.status;"
    )


def _read(name: str, path: str, mode: str, credentials: str) -> str:
    return (
        f"const answer = await fetch(door('{name}', '{path}'), {{mode: '{mode}', credentials: '{credentials}'}});"
        "return answer.type === 'opaque' ? '' : (await answer.text()).slice(0, 200);"
    )


def _element(tag: str, attribute: str, name: str, path: str) -> str:
    return (
        f"const one = document.createElement('{tag}'); one.{attribute} = door('{name}', '{path}');"
        "const came = new Promise((done) => { one.onload = () => done('loaded'); one.onerror = () => done('');"
        "setTimeout(() => done(''), 3000); }); document.body.append(one); return await came;"
    )


def _form(name: str, path: str, kind: str, body: str) -> str:
    return (
        f"const form = document.createElement('form'); form.method = 'POST'; form.enctype = '{kind}';"
        f"form.action = door('{name}', '{path}'); form.target = 'sink'; const field = document.createElement('input');"
        f"field.name = {body}; form.append(field); document.body.append(form); form.submit();"
        "await pause(500); return '';"
    )


_KINDS = ("application/json", "text/plain", "application/x-www-form-urlencoded")
_READ = {
    "PROMETHEUS_PORT": "/api/v1/query?query=up",
    "ALERTMANAGER_PORT": "/api/v2/silences",
    "GRAFANA_PORT": "/api/health",
}

PAGES: dict[str, str] = {
    **{
        f"{what} as {kind}, {mode}": _send(name, path, body, kind, mode)
        for what, name, path, body in (
            ("a silence", "ALERTMANAGER_PORT", "/api/v2/silences", _SILENCE),
            ("an alert", "ALERTMANAGER_PORT", "/api/v2/alerts", _ALERT),
            ("a reload", "PROMETHEUS_PORT", "/-/reload", "''"),
            ("an end", "PROMETHEUS_PORT", "/-/quit", "''"),
            ("a deletion", "PROMETHEUS_PORT", "/api/v1/admin/tsdb/delete_series?match[]=up", "''"),
        )
        for kind in _KINDS
        for mode in ("cors", "no-cors")
    },
    **{
        f"{name} read, {mode}, {credentials}": _read(name, path, mode, credentials)
        for name, path in _READ.items()
        for mode in ("cors", "no-cors")
        for credentials in ("include", "omit")
    },
    **{
        f"{name} as {tag}": _element(tag, attribute, name, path)
        for name, path in _READ.items()
        for tag, attribute in (
            ("script", "src"),
            ("img", "src"),
            ("link", "href"),
            ("object", "data"),
            ("video", "src"),
        )
    },
    **{
        f"a silence by a form, {kind}": _form("ALERTMANAGER_PORT", "/api/v2/silences", kind, _SILENCE)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
    },
    **{
        f"{name} by a socket": f"const one = new WebSocket(door('{name}', '/api/live/ws').replace('http', 'ws'));"
        "return await new Promise((done) => { one.onopen = () => done('open'); one.onerror = () => done(''); });"
        for name in _READ
    },
    **{
        f"{name} in a frame": "const one = document.createElement('iframe');"
        f"one.src = door('{name}', '{path}'); document.body.append(one); await pause(1000);"
        "try { return one.contentDocument ? one.contentDocument.body.innerText : ''; } catch (_) { return ''; }"
        for name, path in _READ.items()
    },
    **{
        f"{name} by a beacon": f"navigator.sendBeacon(door('{name}', '/api/v2/silences'), {_SILENCE});"
        "await pause(300); return '';"
        for name in _READ
    },
    **{
        f"{name} by events": f"const one = new EventSource(door('{name}', '/'), {{withCredentials: true}});"
        "return await new Promise((done) => { one.onopen = () => done('open'); one.onerror = () => done(''); });"
        for name in _READ
    },
}

MARK = "/it-ran"
_SCRIPT = f"fetch('{MARK}'); new Image().src = '{MARK}'"
DOCUMENTS: dict[str, tuple[str, str]] = {
    "XHTML": ("application/xml", f'<html xmlns="http://www.w3.org/1999/xhtml"><script>{_SCRIPT}</script></html>'),
    "XHTML's handler": (
        "application/xml",
        f'<html xmlns="http://www.w3.org/1999/xhtml"><body onload="{_SCRIPT}"/></html>',
    ),
    "SVG": ("application/xml", f'<svg xmlns="http://www.w3.org/2000/svg" onload="{_SCRIPT}"/>'),
    "SVG as such": ("image/svg+xml", f'<svg xmlns="http://www.w3.org/2000/svg"><script>{_SCRIPT}</script></svg>'),
    "a style sheet of its own": (
        "application/xml",
        '<?xml-stylesheet type="text/xsl" href="#s"?><d><s id="s"/><script xmlns="http://www.w3.org/1999/xhtml">'
        f"{_SCRIPT}</script></d>",
    ),
    "XHTML as such": (
        "application/xhtml+xml",
        f'<html xmlns="http://www.w3.org/1999/xhtml"><script>{_SCRIPT}</script></html>',
    ),
    "HTML as text": ("text/plain", f"<!doctype html><script>{_SCRIPT}</script>"),
    "HTML as CSV": ("text/csv", f"a,b\n<script>{_SCRIPT}</script>,c\n"),
    "HTML as NDJSON": ("application/x-ndjson", f'"<!doctype html><script>{_SCRIPT}</script>"\n'),
    "HTML in UTF-7": ("text/plain", "+ADw-script+AD4-fetch('/it-ran')+ADw-/script+AD4-"),
}
"""Documents whose result a browser is led to: media type and text."""
