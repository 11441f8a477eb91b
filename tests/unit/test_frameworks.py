"""The route label of applications whose frameworks keep their routes to themselves."""

import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from litestar import Litestar, get
from quart import Quart

from sightglass.frameworks import note_routes, template
from sightglass.route_table import route_table
from sightglass.routes import UNMATCHED
from sightglass.server.loading import load_app
from sightglass.server.wsgi import ServedWSGI
from tests.unit.observed import Observed, ask, http

APPS = Path(__file__).resolve().parent.parent / "apps"


@pytest.fixture(autouse=True)
def third_parties(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("notes", "polls"):
        monkeypatch.syspath_prepend(str(APPS / name))


async def label(app: Any, path: str, method: str = "GET", **more: Any) -> tuple[str, str]:
    note_routes()
    observed = Observed(app)
    await ask(observed, http(path=path, method=method, **more))
    [(_, route, status)] = observed.requests()
    return route, status


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/notes/7", ("/notes/{number}", "200")),
        ("/notes/files/a/b.txt", ("/notes/files/{name}", "200")),
        ("/static/none.css", ("/static/{filename}", "404")),
        ("/notes/seven", (UNMATCHED, "404")),
        ("/notes/broken", ("/notes/broken", "500")),
        ("/nowhere", (UNMATCHED, "404")),
    ],
)
@pytest.mark.parametrize("app", ["notes:create_app", "notes:create_app()", "notes.wsgi:app"])
async def test_flask(app: str, path: str, expected: tuple[str, str]) -> None:
    assert await label(load_app(app), path) == expected


POLLS = [
    ("/", ("/", "200")),
    ("/polls/7/results/", ("/polls/{poll}/results/", "200")),
    ("/polls/best-of", ("/polls/{name}", "200")),
    ("/articles/2024/", ("/articles/{year}/", "200")),
    ("/broken", ("/broken", "500")),
    ("/api/users/", ("/api/users/", "200")),
    ("/shelves/1/books/2/", ("/shelves/{pk}/books/{pk}/", "200")),
    ("/polls/7/nothing/", (UNMATCHED, "404")),
    ("/articles/24/", (UNMATCHED, "404")),
]


@pytest.mark.parametrize(("path", "expected"), POLLS)
@pytest.mark.parametrize("app", ["polls.wsgi:application", "polls.asgi:application"])
async def test_django(app: str, path: str, expected: tuple[str, str]) -> None:
    assert await label(load_app(app), path) == expected


async def test_a_template_that_is_noted_goes_on_behind_its_mount() -> None:
    app = FastAPI()
    app.mount("/old/{tenant}", load_app("notes:create_app"))
    assert await label(app, "/old/acme/notes/7") == ("/old/{tenant}/notes/{number}", "200")
    assert await label(app, "/old/acme/nowhere") == ("/old/{tenant}/{path}", "404")


async def test_litestar_and_quart() -> None:
    @get("/users/{user_id:int}")
    async def user(user_id: int) -> dict[str, int]:
        return {"user": user_id}

    quart = Quart(__name__)

    @quart.get("/users/<int:user_id>")
    async def same(user_id: int) -> dict[str, int]:
        return {"user": user_id}

    for app in (Litestar([user]), quart):
        assert await label(app, "/users/7") == ("/users/{user_id}", "200")
        assert await label(app, "/users/seven") == (UNMATCHED, "404")
        assert await label(app, "/nowhere") == (UNMATCHED, "404")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("/users/<id>", "/users/{id}"),
        ("/users/<any(a, b):kind>/<float(min=0):x>", "/users/{kind}/{x}"),
        ("users/<uuid:pk>/", "/users/{pk}/"),
        (r"^a/(\\d+)/b$", "/a/{var}/b"),
        ("", "/"),
    ],
)
def test_rules_are_written_as_starlette_writes_them(rule: str, expected: str) -> None:
    assert template(rule.replace("\\\\", "\\")) == expected


def test_own_routes_of_flask_are_known() -> None:
    app = load_app("notes:create_app")
    assert isinstance(app, ServedWSGI)
    assert {"/notes/{number}", "/static/{filename}"} <= {template for _, template in route_table(app)}


async def test_a_route_that_cannot_be_told_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(rule: str) -> str:
        raise ValueError(rule)

    monkeypatch.setattr("sightglass.frameworks.template", fail)
    assert await label(load_app("polls.wsgi:application"), "/polls/best-of") == (UNMATCHED, "200")
    assert await label(load_app("notes:create_app"), "/notes/7") == (UNMATCHED, "200")


def test_noting_twice_changes_nothing() -> None:
    load_app("polls.wsgi:application")
    note_routes()
    base = sys.modules["django.core.handlers.base"]
    hooked = base.BaseHandler.resolve_request
    note_routes()
    assert base.BaseHandler.resolve_request is hooked
