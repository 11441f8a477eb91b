"""The table that the edge goes by names routes of other frameworks as their applications' counts do."""

import sys
from collections.abc import Awaitable, Callable
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import bottle
import falcon
import falcon.asgi
import flask
import pytest
from litestar import Litestar, Router, WebSocket, asgi, get, post, websocket_listener
from litestar.enums import ScopeType
from litestar.params import Parameter
from litestar.types import Receive, Scope, Send
from quart import Quart
from quart import websocket as quart_websocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from sightglass.asgi.shadowed import find_shadowed
from sightglass.frameworks import bottle_template, note_routes, regex_template
from sightglass.route_table import WEBSOCKET, route_table
from sightglass.routes import UNMATCHED
from sightglass.server.loading import load_app
from sightglass.server.wsgi import ServedWSGI
from tests.unit.observed import Client, Observed, http, websocket
from tests.unit.test_route_table import read

APPS = Path(__file__).resolve().parent.parent / "apps"
Case = tuple[str, str, str]
"""A method, a path, and the template of both."""


class Item:
    """A resource of Falcon's."""

    def on_get(self, request: Any, response: Any, **parameters: object) -> None:
        response.media = parameters


class Talk:
    """A resource of Falcon's that has no other method."""

    async def on_websocket(self, request: Any, socket: Any, room: str) -> None:
        await socket.accept()
        await socket.close()


class AsyncItem:
    """The same, awaited."""

    async def on_get(self, request: Any, response: Any, **parameters: object) -> None:
        response.media = parameters


def of_falcon(app: Any, item: object) -> Any:
    app.add_route("/items/{sku}", item)
    app.add_route("/items/special", item)
    app.add_route("/items/{sku}/parts/{part:int}", item)
    app.add_route("/years/{year:int(4)}/summary.txt", item)
    return app


def of_falcon_asgi() -> Any:
    app = of_falcon(falcon.asgi.App(), AsyncItem())
    app.add_route("/rooms/{room}", Talk())
    return app


def of_bottle() -> Any:
    app = bottle.Bottle()
    for rule in (
        "/",
        "/simple/:project/",
        "/simple/all/",
        "/files/<name:path>",
        "/sizes/<size:int>",
        "/<word:re:[a-z]+>",
        "/colours/<colour:re:red|green>",
    ):
        app.route(rule, "GET", lambda **_: "found")
    app.route("/any", "ANY", lambda: "found")
    return ServedWSGI(app)


def of_litestar() -> Litestar:
    @get("/orders/{order:int}")
    async def order(order: Annotated[int, Parameter()]) -> dict[str, int]:
        return {"order": order}

    @post("/orders/special")
    async def special() -> None:
        return None

    @get("/files/{path:path}")
    async def file(path: Annotated[Path, Parameter()]) -> str:
        return str(path)

    @websocket_listener("/live/{room:str}")
    async def live(data: str, room: str, socket: WebSocket[Any, Any, Any]) -> str:
        return data

    @asgi("/old", is_mount=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
            return
        await PlainTextResponse("old")(scope, receive, send)  # type: ignore[arg-type]

    @get("/old/news")
    async def news() -> str:
        return "new"

    async def room(request: Request) -> PlainTextResponse:
        return PlainTextResponse("room")

    starlette = Starlette(routes=[Route("/rooms/{room}/", room)])
    inner = asgi("/inner", is_mount=True)(starlette)
    return Litestar([Router("/shop", route_handlers=[order, special, file]), live, mounted, news, inner])


def dispatched() -> Any:
    def of(rule: str) -> flask.Flask:
        app = flask.Flask(rule)
        app.add_url_rule(rule, rule, lambda **_: "found")
        return app

    def plain(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"plain"]

    inside = DispatcherMiddleware(of("/top"), {"/deep": of("/tables/<table>")})
    mounts: dict[str, Any] = {"/admin": of("/users/<int:user>"), "/admin/old": inside, "/raw": plain}
    return ServedWSGI(DispatcherMiddleware(of("/prices/<item>"), mounts))


def of_quart() -> Quart:
    app = Quart(__name__)

    @app.get("/rooms/<int:room>")
    async def room(room: int) -> dict[str, int]:
        return {"room": room}

    @app.websocket("/rooms/<int:room>/talk")
    async def talk(room: int) -> None:
        await quart_websocket.accept()

    return app


def of_django() -> ASGIApp:
    return load_app("polls.asgi:application")


def behind_functions() -> ASGIApp:
    """Return an application whose middleware is made of functions, one of which says what it wraps."""

    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    def plain(app: ASGIApp, settings: object, kind: type, request: object) -> ASGIApp:
        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            _ = settings, kind, request
            await app(scope, receive, send)

        return middleware

    def telling(app: Callable[..., Awaitable[None]]) -> ASGIApp:
        @wraps(app)
        async def middleware(*arguments: Any) -> None:
            await app(*arguments)

        return middleware

    return plain(telling(Starlette(routes=[Route("/hello/{name}", hello)])), {}, Starlette, flask.request)


MAKERS: dict[str, Callable[[], Any]] = {
    "falcon": lambda: ServedWSGI(of_falcon(falcon.App(), Item())),
    "falcon, async": of_falcon_asgi,
    "bottle": of_bottle,
    "dispatched": dispatched,
    "litestar": of_litestar,
    "quart": of_quart,
    "django": of_django,
    "functions": behind_functions,
}
FALCON: list[Case] = [
    ("GET", "/items/7", "/items/{sku}"),
    ("POST", "/items/7", "/items/{sku}"),  # 405
    ("GET", "/items/special", "/items/special"),
    ("GET", "/items/7/parts/3", "/items/{sku}/parts/{part}"),
    ("GET", "/items/7/parts/three", UNMATCHED),
    ("GET", "/years/2024/summary.txt", "/years/{year}/summary.txt"),
    ("GET", "/items/7/", UNMATCHED),
    ("GET", "/nowhere", UNMATCHED),
]
CASES: dict[str, list[Case]] = {
    "falcon": FALCON,
    "falcon, async": [*FALCON, (WEBSOCKET, "/rooms/a", "/rooms/{room}")],
    "bottle": [
        ("GET", "/", "/"),
        ("HEAD", "/simple/foo/", "/simple/{project}/"),
        ("GET", "/simple/all/", "/simple/all/"),
        ("GET", "/files/a/b", "/files/{name}"),
        ("GET", "/sizes/7", "/sizes/{size}"),
        ("GET", "/word", "/{word}"),
        ("GET", "/colours/green", "/colours/{colour}"),
        ("GET", "/any/thing/green", UNMATCHED),
        ("PUT", "/any", "/any"),
        ("POST", "/simple/foo/", UNMATCHED),
        ("GET", "/a/b/c/d", UNMATCHED),
    ],
    "litestar": [
        ("GET", "/shop/orders/7", "/shop/orders/{order}"),
        ("GET", "/shop/orders/seven", UNMATCHED),
        ("POST", "/shop/orders/special", "/shop/orders/special"),
        ("DELETE", "/shop/orders/7", UNMATCHED),  # 405
        ("GET", "/shop/files/a/b.txt", "/shop/files/{path}"),
        (WEBSOCKET, "/live/a", "/live/{room}"),
        ("GET", "/old/a/b", "/old/{path}"),
        ("GET", "/old", "/old/{path}"),
        ("GET", "/old/news", "/old/news"),  # beside the mount, not in it
        ("POST", "/old/a", "/old/{path}"),
        (WEBSOCKET, "/old/a", "/old/{path}"),
        ("GET", "/inner/rooms/7", "/inner/{path}"),  # of an application that leaves a route of its own in the scope
        ("GET", "/inner/nowhere", "/inner/{path}"),
        ("GET", "/nowhere", UNMATCHED),
    ],
    "dispatched": [
        ("GET", "/prices/4", "/prices/{item}"),
        ("GET", "/nowhere", UNMATCHED),
        ("GET", "/admin/users/7", "/admin/users/{user}"),
        ("GET", "/admin/users/seven", "/admin/{path}"),
        ("GET", "/admin/prices/4", "/admin/{path}"),
        ("GET", "/administrators", UNMATCHED),
        ("GET", "/admin/old/top", "/admin/old/top"),
        ("GET", "/admin/old/users/7", "/admin/old/{path}"),
        ("GET", "/admin/old/deep/tables/x", "/admin/old/deep/tables/{table}"),
        ("GET", "/admin/old/deep/x/y", "/admin/old/deep/{path}"),
        ("GET", "/raw", "/raw/{path}"),
        ("GET", "/raw/a/b", "/raw/{path}"),
        ("GET", "/users/7", UNMATCHED),
    ],
    "quart": [
        ("GET", "/rooms/7", "/rooms/{room}"),
        (WEBSOCKET, "/rooms/7/talk", "/rooms/{room}/talk"),
        ("GET", "/rooms/7/talk", UNMATCHED),
        (WEBSOCKET, "/rooms/7", UNMATCHED),
        ("DELETE", "/rooms/7", UNMATCHED),
    ],
    "django": [
        ("GET", "/", "/"),
        ("GET", "/polls/7/results/", "/polls/{poll}/results/"),
        ("GET", "/polls/best-of", "/polls/{name}"),
        ("PUT", "/articles/2024/", "/articles/{year}/"),
        ("GET", "/articles/24/", UNMATCHED),
        ("GET", "/api/users/", "/api/users/"),
        ("GET", "/shelves/1/books/2/", "/shelves/{pk}/books/{pk}/"),
        ("GET", "/red/", "/{var}"),
        ("GET", "/green/7/", "/{var}"),
        ("GET", "/no/red/", UNMATCHED),
        ("GET", "/polls/7/results", UNMATCHED),  # redirected
        ("GET", "/nowhere", UNMATCHED),
    ],
    "functions": [
        ("GET", "/hello/you", "/hello/{name}"),
        ("GET", "/nowhere", UNMATCHED),
    ],
}


@pytest.fixture(autouse=True)
def third_parties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(APPS / "polls"))


made = cache(lambda name: MAKERS[name]())


@pytest.mark.parametrize(("app", "case"), [(app, case) for app, cases in CASES.items() for case in cases])
async def test_the_table_and_the_count_are_one(app: str, case: Case) -> None:
    method, path, template = case
    served = made(app)
    note_routes()
    observed = Observed(served)
    scope = websocket(path) if method == WEBSOCKET else http(method, path)
    if method == WEBSOCKET:
        del scope["method"]
    opened_and_closed: list[Message] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
    client = Client(*opened_and_closed * (method == WEBSOCKET))
    await observed.app(scope, client.receive, client.send)
    [entry] = observed.log.entries
    counted = entry["route"]
    assert (counted, read(route_table(served), method, path)) == (template, template)


@pytest.mark.parametrize(
    ("regex", "template"),
    [
        (r"/(?P<database>[^\/\.]+)/(?P<table>[^\/\.]+)(\.(?P<format>\w+))?$", "/{database}/{table}"),
        (r"/(\.(?P<format>jsono?))?$", "/"),
        (r"/-/config.json", "/-/config.json"),
        (r"/(?P<database>[^\/\.]+)\.db$", "/{database}.db"),
        (r"^a/(\d+)/b\Z", "a/{var}/b"),
        (r"^(?:x|y)/[a-z]+/(?:page-(?P<page>\d+)/)?$", "{var}/{var}/"),
        (r"^labels/(?P<pk>[^/.]+)\.(?P<format>[a-z0-9]+)/?$", "labels/{pk}.{format}"),
        (r"api/v1/^plays$", "api/v1/plays"),
        (r"api/(?i)^users/(?P<pk_1>\d+)$", "api/users/{pk_1}"),
        (r"^shelves/(?P<pk>\d+)/^books/(?P<pk>\d+)/$", "shelves/{pk}/books/{pk}/"),
        (r"sets/(/^(?P<pk>\d+)$", r"sets/(/^(?P<pk>\d+)$"),
        (r"^(?P<outer>a/(?P<inner>b))/c", "{outer}/c"),
        (r"^(?P<year>\d+)/(?P=year)/$", "{year}/{var}/"),
        (r"^a/(?P<x>b)?(?(x)c|d)/$", "a/{var}/"),
        (r"(?x)^a/ (?P<id>\d+) / # c", "a/{id}/"),
    ],
)
def test_a_regular_expression_is_its_groups_names(regex: str, template: str) -> None:
    assert regex_template(regex) == template


@pytest.mark.parametrize(
    ("rule", "template"),
    [
        ("/packages/:filename#.*#", "/packages/{filename}"),
        ("/<size:int>/<rest:path>", "/{size}/{rest}"),
        ("/<word:re:[a-z]+>.html", "/{word}.html"),
        ("/a:80/<b>", "/a{80}/{b}"),
    ],
)
def test_rules_of_bottles(rule: str, template: str) -> None:
    assert bottle_template(rule) == template


def test_a_module_that_is_called_bottle_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wines.bottle", ModuleType("wines.bottle"))
    note_routes()


@pytest.mark.parametrize("app", ["falcon", "falcon, async", "bottle"])
def test_their_own_health_is_found(app: str) -> None:
    served = MAKERS[app]()
    inner: Any = served.app if isinstance(served, ServedWSGI) else served
    if app == "bottle":
        inner.route("/ready", "GET", lambda: "well")
    else:
        inner.add_route("/ready", AsyncItem() if "async" in app else Item())
    assert list(find_shadowed(served, ["/health", "/ready"], [])) == ["/ready"]


def test_what_wraps_itself_has_no_end() -> None:
    class Circle:
        app: Any

        async def __call__(self, *_: Any) -> None: ...

    circle = Circle()
    circle.app = circle
    assert route_table(circle) == []
