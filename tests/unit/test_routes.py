"""The route label through everything a FastAPI or Starlette app can be put together from."""

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.staticfiles import StaticFiles
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from sightglass.route_table import route_table
from sightglass.routes import UNMATCHED, RouteTemplates
from tests.unit.observed import Observed, ask, http, websocket


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


class Page(HTTPEndpoint):
    async def get(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("page")


async def route_of(app: Any, path: str, **more: Any) -> str:
    observed = Observed(app)
    await ask(observed, http(path=path, **more))
    [(_, route, _)] = observed.requests()
    return route


def nested() -> FastAPI:
    """Four levels: an app, a router in a router, a mounted app with a router of its own."""
    leaf, branch, shared = APIRouter(prefix="/users/{user}"), APIRouter(prefix="/v1"), APIRouter()

    @leaf.get("/orders/{order:int}")
    async def order(user: str, order: int) -> int:
        return order

    @leaf.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await talk(socket)

    @shared.get("/status/{part}")
    async def status(part: str) -> str:
        return part

    branch.include_router(leaf)
    branch.include_router(shared, prefix="/a")
    branch.include_router(shared, prefix="/b")
    # A mount ignores the prefix of the very router it is in, as in Starlette.
    branch.mount("/plain/{tenant}", Router([Route("/hello/{name}", hello)]))

    sub = FastAPI()
    sub.include_router(shared, prefix="/deep")
    # Each mount has parameters of its own: a name may come again.
    sub.router.routes.append(Route("/members/{tenant:int}", hello))
    sub.mount("/inner/{tenant}", Router([Route("/{tenant:path}/end", hello)]))

    app = FastAPI()
    app.include_router(branch, prefix="/api")
    app.mount("/sub/{tenant}", sub)
    app.router.routes.append(Route("/page/{number}", Page))
    return app


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/api/v1/users/u7/orders/42", "/api/v1/users/{user}/orders/{order}"),
        ("/api/v1/a/status/x", "/api/v1/a/status/{part}"),
        ("/api/v1/b/status/x", "/api/v1/b/status/{part}"),
        ("/api/plain/acme/hello/you", "/api/plain/{tenant}/hello/{name}"),
        ("/api/plain/acme/nothing", "/api/plain/{tenant}/{path}"),
        ("/sub/acme/deep/status/x", "/sub/{tenant}/deep/status/{part}"),
        ("/sub/acme/nothing/here", "/sub/{tenant}/{path}"),
        ("/sub/acme/members/7", "/sub/{tenant}/members/{tenant}"),
        ("/sub/acme/inner/it/a/b/end", "/sub/{tenant}/inner/{tenant}/{tenant}/end"),
        ("/sub/acme/docs", "/sub/{tenant}/docs"),
        ("/page/7", "/page/{number}"),
        ("/docs", "/docs"),
        ("/api/v1/users/u7/orders/not-a-number", UNMATCHED),
        ("/api/v1/nothing", UNMATCHED),
    ],
)
async def test_templates_are_whole(path: str, template: str) -> None:
    assert await route_of(nested(), path) == template


async def test_root_path_is_not_part_of_the_template() -> None:
    for path in ("/proxy/api/v1/b/status/x", "/proxy/sub/acme/deep/status/x"):
        route = await route_of(nested(), path, root_path="/proxy")
        assert route in ("/api/v1/b/status/{part}", "/sub/{tenant}/deep/status/{part}")


async def test_websocket_routes_in_routers() -> None:
    observed = Observed(nested())
    await ask(observed, websocket("/api/v1/users/u7/live"), {"type": "websocket.connect"})
    assert observed.requests() == {("GET", "/api/v1/users/{user}/live", "101"): 1}


async def test_static_files_have_one_route(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    app = FastAPI()
    app.mount("/static", StaticFiles(directory=tmp_path))
    observed = Observed(app)
    for path in ("/static/a.txt", "/static/b.txt", "/static/none.txt"):
        await ask(observed, http(path=path))
    assert observed.requests() == {("GET", "/static/{path}", "200"): 2, ("GET", "/static/{path}", "404"): 1}


async def test_starlette_alone() -> None:
    app = Starlette(
        routes=[
            Mount("/m", routes=[Route("/x/{y}", hello), WebSocketRoute("/talk", talk)]),
            Host("api.example", Router([Route("/hosted/{z}", hello)])),
        ]
    )
    assert await route_of(app, "/m/x/1") == "/m/x/{y}"
    assert await route_of(app, "/m/none") == "/m/{path}"
    assert await route_of(app, "/hosted/1", headers=[("host", "api.example")]) == "/hosted/{z}"


async def test_mounted_behind_middleware() -> None:
    app = FastAPI()
    app.mount("/wrapped", GZipMiddleware(nested()))
    assert await route_of(app, "/wrapped/page/7") == "/wrapped/page/{number}"


async def test_one_endpoint_on_several_paths() -> None:
    app = Starlette(routes=[Route("/one/{a}", hello), Route("/two/{b}", hello)])
    assert [await route_of(app, "/one/1"), await route_of(app, "/two/1")] == ["/one/{a}", "/two/{b}"]


async def test_routes_added_while_running_are_found() -> None:
    app = FastAPI()
    observed = Observed(app)
    await ask(observed, http(path="/late/1"))
    app.add_api_route("/late/{number}", lambda number: number)
    await ask(observed, http(path="/late/1"))
    routes = {route for _, route, _ in observed.requests()}
    assert routes == {UNMATCHED, "/late/{number}"}


class _Unwalkable(Starlette):
    @property
    def routes(self) -> list[Any]:
        raise RuntimeError("no routes for you")


async def test_endpoints_made_anew_for_each_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightglass.routes.MOST_UNKNOWN", 3)
    walks: list[object] = []
    read = RouteTemplates._read

    def counted(templates: RouteTemplates) -> Any:
        walks.append(templates)
        return read(templates)

    monkeypatch.setattr(RouteTemplates, "_read", counted)

    class Endpoint:
        pass

    app = Starlette(routes=[Route("/known", hello)])
    templates = RouteTemplates(app)
    made: list[weakref.ref[Endpoint]] = []
    for _ in range(10):
        endpoint = Endpoint()
        made.append(weakref.ref(endpoint))
        assert templates.find({"endpoint": endpoint, "path": "/made"}) == UNMATCHED
        del endpoint
    gc.collect()
    assert len(walks) == 3
    assert sum(one() is not None for one in made) == 3
    assert templates.find({"endpoint": hello, "path": "/known"}) == "/known"


async def test_routes_that_cannot_be_walked_cost_no_request(caplog: pytest.LogCaptureFixture) -> None:
    observed = Observed(_Unwalkable(routes=[Route("/one", hello), Route("/two", hello)]))
    for path in ("/one", "/one", "/two"):
        assert (await ask(observed, http(path=path))).status == 200
    assert observed.requests() == {("GET", UNMATCHED, "200"): 3}
    assert observed.value("http_requests_in_progress") == 0
    assert caplog.messages == ["the app's routes have no names in metrics: RuntimeError"]


async def test_an_app_without_routes() -> None:
    assert await route_of(PlainTextResponse("x"), "/any/thing") == UNMATCHED


@given(st.text(max_size=60))
def test_no_path_makes_a_label_of_its_own(path: str) -> None:
    observed = Observed(_APP)
    scope = {**http(path="/"), "path": "/" + path, "raw_path": b"/"}
    asyncio.run(ask(observed, scope))
    routes = {route for _, route, _ in observed.requests()}
    assert routes <= {UNMATCHED, "/docs", "/redoc", "/openapi.json"} | {"/page/{number}", "/sub/{tenant}/{path}"}


_APP = nested()


@pytest.mark.parametrize("kind", ["itself", "each other"])
async def test_what_is_mounted_in_itself_has_names_and_an_end(kind: str) -> None:
    one, other = FastAPI(), FastAPI()

    @one.get("/items/{item}")
    async def read(item: int) -> int:
        return item

    one.mount("/in", one if kind == "itself" else other)
    other.mount("/out", one)
    again = "/in" if kind == "itself" else "/in/out"
    assert await route_of(one, "/items/1") == "/items/{item}"
    assert await route_of(one, f"{again}/items/1") == f"{again}/items/{{item}}"
    assert await route_of(one, f"{again * 3}/items/1") == UNMATCHED
    templates = {template for _, template in route_table(one)}
    assert {"/items/{item}", f"{again}/items/{{item}}"} <= templates
    assert all(template.count("/in") <= 3 for template in templates)
