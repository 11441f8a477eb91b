"""FastAPI's pages about an API: whole without a network, whatever application they are of."""

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.server.server import Server
from tests.support.waiting import awaited

CATALOGUE = """
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html

app = FastAPI(root_path="/behind/a/proxy")
app.mount("/plain", FastAPI())
app.mount("/moved", FastAPI(docs_url="/internal/help/", redoc_url="/internal/reference"))


@app.get("/by-hand", include_in_schema=False)
def by_hand():
    return get_swagger_ui_html(openapi_url="/openapi.json", title="By hand")


@app.get("/theirs", include_in_schema=False)
def theirs():
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Theirs",
        swagger_js_url="https://example.org/ui.js",
        swagger_ui_parameters={"validatorUrl": "https://example.org/validate"},
    )
"""
PAGES = {
    "/docs": 3,
    "/redoc": 2,
    "/behind/a/proxy/docs": 3,
    "/behind/a/proxy/plain/docs": 3,
    "/behind/a/proxy/plain/redoc": 2,
    "/behind/a/proxy/moved/internal/help/": 3,
    "/behind/a/proxy/moved/internal/reference": 2,
    "/by-hand": 3,
}
TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "png": "image/png"}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("catalogue")
    (directory / "catalogue.py").write_text(CATALOGUE)
    with Server(directory, path=directory, APP="catalogue:app", GUNICORN_TIMEOUT="10") as server:
        yield server


class Named(HTMLParser):
    """The URLs a page loads something from."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.urls += [value or "" for name, value in attrs if name in ("src", "href")]


@pytest.mark.parametrize("path", PAGES)
def test_everything_a_page_names_is_here(catalogue: Server, path: str) -> None:
    page = catalogue.get(path)
    assert page.status_code == 200
    assert "//" not in page.text.replace("<!--", "")
    urls = Named(page.text).urls
    assert len(urls) == PAGES[path]
    for url in urls:
        answer = catalogue.get(urljoin(str(page.url), url))
        assert answer.status_code == 200
        assert answer.headers["content-type"] == TYPES[url.rpartition(".")[2]]
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.content) > 4000
        assert b"cdn." not in answer.content
        head = catalogue.client.head(urljoin(str(page.url), url))
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(answer.content))


def test_what_the_application_names_itself_stays(catalogue: Server) -> None:
    page = catalogue.get("/theirs").text
    assert "https://example.org/ui.js" in Named(page).urls
    assert '"validatorUrl": "https://example.org/validate"' in page


def test_page_of_another_version_gets_the_files_but_keeps_them_not(catalogue: Server) -> None:
    answer = catalogue.get("/_sightglass/docs/0.0.1/swagger-ui.css")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "path",
    [
        "/_sightglass/docs/1.0/other.js",
        "/_sightglass/docs/swagger-ui.css",
        "/_sightglass/docs/1.0/../swagger-ui.css",
        "/_sightglass/docs/1.0/%2e%2e/__init__.py",
        "/_sightglass/docs/1.0/swagger-ui.css/",
        "/docs/1.0/swagger-ui.css",
    ],
)
def test_nothing_else_is_served(catalogue: Server, path: str) -> None:
    assert catalogue.get(path).status_code == 404


def test_files_are_counted_under_one_route_whatever_prefix(catalogue: Server) -> None:
    for prefix in ("", "/a", "/a/b/c"):
        assert catalogue.get(f"{prefix}/_sightglass/docs/0.0.2/favicon.png").status_code == 200
    assert catalogue.client.post("/_sightglass/docs/0.0.2/favicon.png").status_code == 404

    def lines() -> list[dict[str, Any]]:
        return [line for line in catalogue.access_lines() if "/0.0.2/" in line["path"]]

    found = awaited(lines, lambda found: len(found) == 4)
    assert [(line["method"], line["route"]) for line in found] == [
        *[("GET", "/_sightglass/docs/{version}/{file}")] * 3,
        ("POST", "(unmatched)"),
    ]
