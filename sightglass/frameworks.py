"""Frameworks that leave no route in the ASGI scope: they are had to tell the template of the one that serves a request.

Only of those that are imported already, which those that an application is made with are.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, wraps
from itertools import count
from types import ModuleType
from typing import Any

from sightglass.context import current_request

_CONVERTER = re.compile(r"<(?:[^<>]*:)?(\w+)>|\{(\w+)(?::[^{}]*)?\}")
BOTTLE_WILDCARD = re.compile(r"(?:<|:(?=\w))(\w+(?::[^<>]*(?=>)|#[^#]*#)?)>?")
_IS_REGEX = re.compile(r"\(\?|[\^$\\]")
_GROUP_NAME = re.compile(r"\(\?P<(\w+)>")
INLINE_FLAGS = re.compile(r"\(\?[aiLmsux]+\)")


def note_routes() -> None:
    """Have the frameworks tell; a second call changes nothing."""
    for name, module in list(sys.modules.items()):
        # Bottle is one file, which applications carry with them.
        hook = _HOOKS.get("bottle" if name.endswith(".bottle") else name)
        if hook is not None and module is not None:
            hook(module)


@cache  # of as many as the application has routes
def template(rule: str) -> str:
    """Return a rule of Flask's or a route of Django's or Falcon's as Starlette would write it: ``/users/{id}``."""
    if _IS_REGEX.search(rule):  # Django's re_path
        rule = regex_template(rule)
    return "/" + _CONVERTER.sub(lambda found: f"{{{found[1] or found[2]}}}", rule).removeprefix("/")


@cache
def bottle_template(rule: str) -> str:
    """Return a rule of Bottle's, whose wildcards begin with the name: ``/files/<name:path>``, also ``/files/:name``."""
    return BOTTLE_WILDCARD.sub(lambda found: f"{{{re.split('[:#]', found[1])[0]}}}", rule)


@cache
def regex_template(regex: str) -> str:
    """Return the template of a regular expression: groups by their names, without what may be absent.

    What is no regular expression, as what frameworks put together of several may be none, is returned as it is.
    """
    parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
    # Put together, flags may stand anywhere and one name twice, which no regex can: only there both go.
    numbers = count()
    single = _GROUP_NAME.sub(lambda found: f"(?P<{found[1]}_{next(numbers)}>", INLINE_FLAGS.sub("", regex))
    for expression in (regex, single):
        with suppress(re.error, DeprecationWarning):  # Python 3.10 only warns of flags
            tree = parser.parse(expression)
            break
    else:
        return regex
    names = {number: name for name, number in tree.state.groupdict.items()}
    if expression is not regex:
        names = {number: name.rpartition("_")[0] for number, name in names.items()}

    def written(parts: Iterable[tuple[Any, Any]]) -> str:
        return "".join(part(str(operation), argument) for operation, argument in parts)

    def part(operation: str, argument: Any) -> str:
        match operation:
            case "LITERAL":
                return chr(argument)
            case "ANY":
                return "."
            case "AT":
                return ""
            case "SUBPATTERN":
                name = names.get(argument[0])
                return f"{{{name}}}" if name else written(argument[3]) if argument[0] is None else "{var}"
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT" if argument[0] == 0:
                return ""
            case _:
                return "{var}"

    return written(tree)


def litestar_mount(scope: Any) -> str | None:
    """Return the path of the mount of Litestar's that serves a request; it leaves the handler then and no template."""
    handler = scope.get("route_handler")
    return _path_of_mount(scope.get("litestar_app"), handler) if getattr(handler, "is_mount", False) else None


@cache  # of as many as the application has mounts
def _path_of_mount(app: Any, handler: Any) -> str | None:
    routes = getattr(app, "routes", ())
    path = next((route.path_format for route in routes if getattr(route, "route_handler", None) is handler), None)
    return None if path is None else path.rstrip("/")


def _note(route_of: Callable[[Any], str | None], found: Any) -> None:
    """Keep the route that `route_of` reads from what a framework found."""
    with suppress(Exception):  # no request is to fail for its name
        request, route = current_request.get(), route_of(found)
        if request is not None and route is not None:
            request.route = request.mount + template(route)


def _flask(flask: Any) -> None:
    # Not its signals: before Flask 2.3 they need a package that an application may not have.
    _wrap_server(flask.Flask, "full_dispatch_request", lambda: flask.request)


def _quart(quart: Any) -> None:
    _wrap_server(quart.Quart, "full_dispatch_request", lambda: quart.request)
    _wrap_server(quart.Quart, "full_dispatch_websocket", lambda: quart.websocket)


def _rule_of(request_of: Callable[[], Any]) -> str | None:
    rule: str | None = getattr(request_of().url_rule, "rule", None)
    return rule


def _wrap_server(owner: Any, name: str, request_of: Callable[[], Any]) -> None:
    """Have what serves a request that is routed already tell its route first."""
    serve: Callable[..., Any] | None = getattr(owner, name, None)
    if serve is None or getattr(serve, "sightglass", False):
        return

    @wraps(serve)
    def serving(*arguments: Any) -> Any:
        _note(_rule_of, request_of)
        return serve(*arguments)

    serving.sightglass = True  # type: ignore[attr-defined]
    setattr(owner, name, serving)


def _wrap(owner: Any, name: str, route_of: Callable[[Any], str | None]) -> None:
    """Have what finds a request's route tell it: `route_of` takes what `name` of `owner` returned.

    A version that does without has no names in metrics, and runs.
    """
    find: Callable[..., Any] | None = getattr(owner, name, None)
    if find is None or getattr(find, "sightglass", False):
        return

    @wraps(find)
    def finding(*arguments: Any) -> Any:
        found = find(*arguments)
        _note(route_of, found)
        return found

    finding.sightglass = True  # type: ignore[attr-defined]
    setattr(owner, name, finding)


def _django(base: Any) -> None:
    _wrap(base.BaseHandler, "resolve_request", lambda match: match.route)


def _falcon(falcon: Any) -> None:
    _wrap(falcon.App, "_get_responder", lambda found: found[3])


def _bottle(bottle: Any) -> None:
    _wrap(getattr(bottle, "Router", None), "match", lambda found: bottle_template(found[0].rule))


def _datasette(datasette: Any) -> None:
    _wrap(datasette, "resolve_routes", lambda found: found[0] and regex_template(found[0].re.pattern))


def _dispatcher(dispatcher: Any) -> None:
    """Have Werkzeug's way to put WSGI applications side by side tell the path at which one of them is."""
    kind = dispatcher.DispatcherMiddleware
    serve: Callable[..., Any] = kind.__call__
    if getattr(serve, "sightglass", False):
        return

    @wraps(serve)
    def serving(self: Any, environ: dict[str, Any], start_response: Any) -> Any:
        request, at = current_request.get(), environ.get("PATH_INFO", "")
        while at and at not in self.mounts:
            at = at.rpartition("/")[0]
        if at and request is not None:
            request.mount += at
            request.route = request.mount + "/{path}"  # unless the application there tells
        return serve(self, environ, start_response)

    serving.sightglass = True  # type: ignore[attr-defined]
    kind.__call__ = serving


_HOOKS: dict[str, Callable[[ModuleType], None]] = {
    "bottle": _bottle,
    "datasette.app": _datasette,
    "django.core.handlers.base": _django,
    "falcon.app": _falcon,
    "flask": _flask,
    "quart": _quart,
    "werkzeug.middleware.dispatcher": _dispatcher,
}
