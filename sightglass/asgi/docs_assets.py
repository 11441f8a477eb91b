"""The scripts and styles of FastAPI's `/docs` and `/redoc`, served by the application's own server.

FastAPI's pages name a CDN, whose files change and which a closed network does not reach. Here they name paths relative
to themselves, so that they hold under any root path, in any mounted application and behind any proxy. The files are
those of the package fastapi-offline.
"""

import asyncio
import re
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

ROUTE = "/_sightglass/docs/{version}/{file}"

_PACKAGE = "fastapi_offline"
MARK = "/_sightglass/docs/"
"""In the path of each of the files, and of nothing else."""
_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
# FastAPI's parameters, and what they name by default.
_SWAGGER = {
    "swagger_js_url": "swagger-ui-bundle.js",
    "swagger_css_url": "swagger-ui.css",
    "swagger_favicon_url": "favicon.png",
}
_REDOC = {"redoc_js_url": "redoc.standalone.js", "redoc_favicon_url": "favicon.png"}
# Redoc loads its maker's logo from elsewhere.
_ELSEWHERE = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
_YEAR_SECONDS = 365 * 24 * 3600


class DocsAssets:
    """The files of one version of the package.

    Args:
        directory: where they are.
        version: names them in URLs, so that browsers may keep them.

    """

    def __init__(self, directory: Path, version: str) -> None:
        self._directory = directory
        self._version = version
        self.pattern = f".*{MARK}([^/]+)/({'|'.join(map(re.escape, _TYPES))})"
        """The paths of the files, as a regular expression."""
        self._path = re.compile(self.pattern).fullmatch

    def serves(self, path: str) -> bool:
        """Whether a path, below whatever prefix, is that of a file."""
        return self._path(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET or HEAD for a file."""
        found = self._path(scope["path"])
        assert found is not None, "asked of what `serves` confirmed"  # noqa: S101
        body = await asyncio.to_thread((self._directory / found[2]).read_bytes)
        # A page of another version, during a deploy, gets this one's files.
        lasting = f"public, max-age={_YEAR_SECONDS}, immutable" if found[1] == self._version else "no-store"
        headers = {"cache-control": lasting, "x-content-type-options": "nosniff"}
        await Response(body.replace(_ELSEWHERE, b"data:,"), 200, headers, _TYPES[found[2]])(scope, receive, send)

    def name_in_pages(self) -> None:
        """Make FastAPI's pages, if FastAPI is there, name these files where the application does not say otherwise."""
        pages: Any = sys.modules.get("fastapi.openapi.docs")
        if pages is None:
            return
        base = f"{MARK[1:]}{self._version}/"
        for page, names in ((pages.get_swagger_ui_html, _SWAGGER), (pages.get_redoc_html, _REDOC)):
            for parameter, name in names.items():
                if parameter in page.__kwdefaults__:
                    page.__kwdefaults__[parameter] = base + name
        pages.get_redoc_html.__kwdefaults__["with_google_fonts"] = False
        # Swagger UI has a service of its maker judge the description.
        pages.swagger_ui_default_parameters.setdefault("validatorUrl", None)


def docs_assets() -> DocsAssets | None:
    """Return the files, None where the package is not installed."""
    found = find_spec(_PACKAGE)  # not imported: that takes FastAPI along
    if found is None or not found.submodule_search_locations:
        return None
    return DocsAssets(Path(found.submodule_search_locations[0]) / "static", version(_PACKAGE))
