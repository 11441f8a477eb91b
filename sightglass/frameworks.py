"""Frameworks that leave no route in the ASGI scope: they are had to tell the template of the one that serves a request.

Only of those that are imported already, which those that an application is made with are.
"""

import re
import sys
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from sightglass.context import current_request

_CONVERTER = re.compile(r"<(?:[^<>]*:)?(\w+)>")
_IS_REGEX = re.compile(r"\(\?|[\^$\\]")


def note_routes() -> None:
    """Have the frameworks tell; a second call changes nothing."""
    for name, hook in _HOOKS.items():
        if name in sys.modules:
            hook(sys.modules[name])


def own_templates(app: Any) -> frozenset[str]:
    """Return the templates of a Flask or Quart application; none of any other."""
    url_map = getattr(app, "url_map", None)
    return frozenset() if url_map is None else frozenset(template(rule.rule) for rule in url_map.iter_rules())


@cache  # of as many as the application has routes
def template(rule: str) -> str:
    """Return a rule of Flask's or a route of Django's as Starlette would write it: ``/users/{id}``."""
    if _IS_REGEX.search(rule):  # Django's re_path
        rule = _without_regex(rule)
    return "/" + _CONVERTER.sub(r"{\1}", rule).removeprefix("/")


def _without_regex(route: str) -> str:
    from django.contrib.admindocs import utils

    for simplify in (
        getattr(utils, "remove_non_capturing_groups", str),  # since 4.1
        utils.replace_named_groups,
        utils.replace_unnamed_groups,
        getattr(utils, "replace_metacharacters", str),
    ):
        route = simplify(route)
    return route


def _note(route: str | None) -> None:
    request = current_request.get()
    if request is not None and route is not None:
        request.route = template(route)


def _flask(flask: Any) -> None:
    def started(sender: object, **_: object) -> None:  # noqa: ARG001 - blinker's signature
        _note(getattr(flask.request.url_rule, "rule", None))

    _connect(flask.request_started, started)


def _quart(quart: Any) -> None:
    # Of coroutines: a plain function would be given a thread.
    async def request_started(sender: object, **_: object) -> None:  # noqa: ARG001
        _note(getattr(quart.request.url_rule, "rule", None))

    async def websocket_started(sender: object, **_: object) -> None:  # noqa: ARG001
        _note(getattr(quart.websocket.url_rule, "rule", None))

    _connect(quart.request_started, request_started)
    _connect(quart.websocket_started, websocket_started)


def _connect(signal: Any, receiver: Callable[..., Any]) -> None:
    if not getattr(signal, "sightglass", False):
        signal.connect(receiver, weak=False)
        signal.sightglass = True


def _django(base: Any) -> None:
    resolve: Callable[..., Any] = base.BaseHandler.resolve_request
    if getattr(resolve, "sightglass", False):
        return

    @wraps(resolve)
    def resolve_request(handler: Any, request: Any) -> Any:
        match = resolve(handler, request)
        _note(match.route)
        return match

    resolve_request.sightglass = True  # type: ignore[attr-defined]
    base.BaseHandler.resolve_request = resolve_request


_HOOKS: dict[str, Callable[[Any], None]] = {
    "flask": _flask,
    "quart": _quart,
    "django.core.handlers.base": _django,
}
