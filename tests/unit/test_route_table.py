"""The table of routes that the edge goes by says what the API says, and the API tells the edge alone."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import flask
import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from sightglass.asgi.docs_assets import docs_assets
from sightglass.asgi.endpoints import Endpoints
from sightglass.asgi.health import Health
from sightglass.exchange import EDGE
from sightglass.metrics import exporter
from sightglass.metrics.process import ProcessMetrics
from sightglass.metrics.slots import SlotDirectory
from sightglass.route_table import WEBSOCKET, RouteTable, route_table
from sightglass.routes import UNMATCHED
from tests.unit.observed import Client, Observed, ask, http, websocket


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


class Page(HTTPEndpoint):
    async def get(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("page")


def anything() -> FastAPI:
    """Return an app in which one path has many readings."""
    parts = APIRouter(prefix="/parts")
    parts.add_api_route("/{part}", hello, methods=["GET"])
    parts.add_api_route("/{part:path}", hello, methods=["PUT"])
    items = APIRouter()
    items.add_api_route("/items/{number:int}", hello, methods=["GET"])
    items.add_api_route("/items/{name}", hello, methods=["GET", "POST"])
    items.add_api_route("/items/special", hello, methods=["DELETE"])
    items.add_api_websocket_route("/items/{name}", talk)
    items.include_router(parts, prefix="/items")
    admin = FastAPI()
    admin.add_api_route("/users/{path}", hello, methods=["GET"])
    admin.mount("/deep", Router([Route("/{path}", hello, methods=["POST"]), WebSocketRoute("/ws", talk)]))
    app = FastAPI()
    app.include_router(items, prefix="/api")
    app.add_api_route("/admin/early", hello, methods=["PATCH"])
    app.mount("/admin", admin)
    app.add_api_route("/admin/users/late", hello, methods=["DELETE"])
    app.mount("/files", StaticFiles(directory=Path(__file__).parent))
    app.router.routes.append(Route("/page", Page))
    app.router.routes.append(Mount("/a|b", routes=[Route('/"{x}"', hello)]))
    app.router.routes.append(WebSocketRoute("/ws/{room}", talk))
    app.router.routes.append(Host("other.example", Router([Route("/elsewhere/{x}", hello)])))
    return app


APP = anything()
TABLE = route_table(APP)
WORDS = st.sampled_from(
    [
        "api", "items", "special", "7", "x", "parts", "admin", "early", "users", "late", "deep", "ws", "files", "page",
        "room", "elsewhere", "größe", "test_routes.py", "a|b", "", '"q"', " ", "%41",
    ]
)  # fmt: skip
HOSTS = st.sampled_from(["one.example", "other.example"])
PATHS = st.lists(WORDS, max_size=6).map(lambda words: "/" + "/".join(words))


def read(table: RouteTable, method: str, path: str, host: str = "one.example") -> str:
    return next((template for regex, template in table if re.match(regex, f"{method} {host} {path}")), UNMATCHED)


async def told(app: Any, scope: Scope) -> tuple[str, str]:
    """Return the route that the edge is told and the one that is counted."""
    observed = Observed(app)
    client = Client({"type": "websocket.connect"}) if scope["type"] == "websocket" else Client()
    await observed.app({**scope, EDGE: True}, client.receive, client.send)
    [(_, route, _)] = observed.requests()
    headers = dict(client.headers) if "headers" in client.sent[0] else {}
    return headers.get("x-sightglass-route", route), route


@settings(max_examples=200)
@given(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW", WEBSOCKET]), HOSTS, PATHS)
def test_the_table_the_header_and_the_count_are_one(method: str, host: str, path: str) -> None:
    scope = websocket(path) if method == WEBSOCKET else http(method, path)
    scope["headers"] = [(b"host", f"{host}:8000".encode())]
    header, counted = asyncio.run(told(APP, scope))
    assert (header, read(TABLE, method, path, host)) == (counted, counted)


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/api/items/7", "/api/items/{number}"),
        ("POST", "/api/items/7", "/api/items/{name}"),
        ("PATCH", "/api/items/7", "/api/items/{number}"),  # 405 of the first
        ("DELETE", "/api/items/special", "/api/items/special"),
        (WEBSOCKET, "/api/items/7", "/api/items/{name}"),
        (WEBSOCKET, "/page", UNMATCHED),
        ("GET", "/ws/1", UNMATCHED),
        ("DELETE", "/page", "/page"),
        ("GET", "/admin/users/late", "/admin/users/{path}"),
        ("DELETE", "/admin/users/late", "/admin/users/{path}"),  # the mount has it, whatever comes after
        ("DELETE", "/admin/nowhere", "/admin/{path}"),
        (WEBSOCKET, "/admin/deep/ws", "/admin/deep/ws"),
        ("GET", "/files/test_routes.py", "/files/{path}"),
        ("GET", "/api/items/7/", UNMATCHED),
    ],
)
def test_the_table_reads_as_starlette_routes(method: str, path: str, template: str) -> None:
    assert read(TABLE, method, path) == template


def test_own_endpoints_are_in_it() -> None:
    table = Endpoints(ProcessMetrics(), Health("1"), docs_assets()).table()
    assert read(table, "GET", "/health") == "/health"
    assert read(table, "HEAD", "/ready") == "/ready"
    assert read(table, "POST", "/ready") == UNMATCHED
    assert read(table, "GET", "/x/_sightglass/docs/1/swagger-ui.css") == "/_sightglass/docs/{version}/{file}"
    assert read(table, "GET", "/metrics") == UNMATCHED


def test_flasks_rules_are_in_it() -> None:
    app = flask.Flask(__name__, static_folder=None)
    for rule in ("/users/<name>", "/users/<int:number>/posts", "/users/me", "/files/<path:rest>"):
        app.add_url_rule(rule, rule, lambda **_: "")
    table = route_table(app)
    assert read(table, "GET", "/users/me") == "/users/me"
    assert read(table, "HEAD", "/users/you") == "/users/{name}"
    assert read(table, "GET", "/users/7/posts") == "/users/{number}/posts"
    assert read(table, "GET", "/files/a/b") == "/files/{rest}"
    assert read(table, "POST", "/users/me") == read(table, "GET", "/nowhere") == UNMATCHED


@pytest.mark.parametrize("app", [None, object(), lambda *_: None, type("Odd", (), {"routes": [1, 2]})()])
def test_an_unknown_kind_has_none(app: Any) -> None:
    assert route_table(app) == []


async def forging(scope: Scope, receive: Receive, send: Send) -> None:
    answer = Response("", headers={"X-Sightglass-Route": scope["headers"][0][1].decode()})
    await answer(scope, receive, send)


async def test_nobody_but_the_edge_is_told_and_nobody_forges() -> None:
    forged = [("X-Sightglass-Route", "/forged")]
    for app in (APP, forging):
        client = await ask(Observed(app), http(path="/page", headers=forged))
        assert "x-sightglass-route" not in dict(client.headers)
    client = await ask(Observed(forging), {**http(path="/page", headers=forged), EDGE: True})
    assert [value for name, value in client.headers if name == "x-sightglass-route"] == [UNMATCHED]


async def test_a_route_that_no_header_can_say_is_not_sent() -> None:
    app = FastAPI()
    app.add_api_route("/a\nb", hello)
    app.add_api_route("/größe/{x}", hello)
    client = await ask(Observed(app), {**http(path="/a\nb"), EDGE: True})
    assert "x-sightglass-route" not in dict(client.headers)
    client = await ask(Observed(app), {**http(path="/größe/1"), EDGE: True})
    assert dict(client.headers)["x-sightglass-route"] == "/größe/{x}"


async def test_the_exporter_has_the_table_of_the_started_app(tmp_path: Path) -> None:
    app = FastAPI(lifespan=_adding)
    observed = Observed(app)
    observed.process.directory = SlotDirectory(tmp_path)

    def asked() -> httpx.Response:
        with exporter._Server(("127.0.0.1", 0), SlotDirectory(tmp_path)) as server:
            loop = asyncio.get_running_loop().run_in_executor(None, server.handle_request)
            answer = httpx.get(f"http://127.0.0.1:{server.server_address[1]}/routes")
            assert not loop.cancelled()
            return answer

    assert asked().status_code == 404
    await ask(observed, {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    answer = asked()
    assert answer.headers["content-type"] == "application/json"
    assert read(json.loads(answer.text), "GET", "/added/1") == "/added/{x}"
    assert read(json.loads(answer.text), "GET", "/health") == "/health"


def _adding(app: FastAPI) -> Any:
    class Context:
        async def __aenter__(self) -> None:
            app.add_api_route("/added/{x}", hello)

        async def __aexit__(self, *_: object) -> None: ...

    return Context()
