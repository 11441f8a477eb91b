"""The routes of applications of frameworks that are not Starlette's, in the order in which they are tried."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sightglass.frameworks import BOTTLE_WILDCARD, INLINE_FLAGS, bottle_template, regex_template, template
from sightglass.routes import REST, WEBSOCKET, layers

Routes = Iterator[tuple[Iterable[str] | None, str, str]]
"""Of each route its methods (None: all of HTTP), its path's regular expression and its template."""

_SEGMENT = "[^/]+"
_REST = ".+"


def read_routes(app: Any) -> Routes | None:
    """Return an application's routes; None if it is of no such framework."""
    for kind in type(app).__mro__:
        module = "bottle" if kind.__module__.endswith(".bottle") else kind.__module__
        if (read := _READERS.get(f"{module}.{kind.__qualname__}")) is not None:
            return read(app)
    return None


def _werkzeug(app: Any) -> Routes:
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule.count("<"), -len(rule.rule))):
        methods = [WEBSOCKET] if getattr(rule, "websocket", False) else rule.methods
        yield methods, _filled(rule.rule, r"<([^<>]*)>", _werkzeug_converter), template(rule.rule)


def _werkzeug_converter(parameter: str) -> str:
    """Return the regular expression of ``name`` or ``converter(arguments):name``."""
    converter, _, _ = parameter.rpartition(":")
    kinds = {"path": _REST, "int": r"\d+", "float": r"\d+\.\d+", "uuid": "[0-9A-Fa-f-]{36}"}
    sign = "-?" if "signed=True" in converter else ""
    return sign + kinds.get(converter.partition("(")[0], _SEGMENT)


def _dispatcher(middleware: Any) -> Routes:
    for prefix, app in sorted(middleware.mounts.items(), key=lambda mount: -len(mount[0])):
        for methods, regex, label in _inner(app):
            yield methods, re.escape(prefix) + regex, prefix + label
        yield None, re.escape(prefix) + "(?:/.*)?", prefix + REST
    yield from _inner(middleware.app)


def _inner(app: Any) -> Routes:
    yield from next(filter(None, map(read_routes, layers(app))), ())


def _bottle(app: Any) -> Routes:
    for route in sorted(app.routes, key=lambda route: BOTTLE_WILDCARD.search(route.rule) is not None):
        methods = {"ANY": None, "GET": ["GET", "HEAD"]}.get(route.method, [route.method])
        yield methods, _filled(route.rule, BOTTLE_WILDCARD, _bottle_filter), bottle_template(route.rule)


def _bottle_filter(wildcard: str) -> str:
    """Return the regular expression of ``name``, ``name:filter``, ``name:re:regex`` or ``name#regex#``."""
    if "#" in wildcard:
        return _grouped(wildcard.split("#")[1])
    _, kind, config = [*wildcard.split(":", 2), "", ""][:3]
    return {"re": _grouped(config), "path": _REST, "int": r"-?\d+", "float": r"-?[\d.]+"}.get(kind, _SEGMENT)


def _falcon(app: Any) -> Routes:
    from falcon.inspect import inspect_routes

    kinds = {"int": r"\d+", "path": _REST}
    for route in sorted(inspect_routes(app), key=lambda route: route.path.count("{")):
        regex = _filled(route.path, r"\{([^{}]*)\}", lambda part: kinds.get(part.partition(":")[2], _SEGMENT))
        for methods in ([WEBSOCKET], None):
            yield methods, regex, template(route.path)


def _litestar(app: Any) -> Routes:
    kinds = {"int": r"-?\d+", "Path": _REST}
    for route in sorted(app.routes, key=_litestar_place):
        parts = (
            re.escape(part) if isinstance(part, str) else kinds.get(part.type.__name__, _SEGMENT)
            for part in route.path_components
        )
        regex = "/" + "/".join(parts)
        match type(route).__name__:
            case "WebSocketRoute":
                yield [WEBSOCKET], regex, route.path_format
            case "HTTPRoute":
                yield route.methods, regex, route.path_format
            case _ if route.route_handler.is_mount:
                for methods in ([WEBSOCKET], None):
                    yield methods, regex + ".*", route.path_format.rstrip("/") + REST
            case _:
                yield None, regex, route.path_format


def _litestar_place(route: Any) -> tuple[int, bool, int]:
    """Return what it is sorted by: paths without parameters, then mounts, the longest first, then all else."""
    parameters = sum(not isinstance(part, str) for part in route.path_components)
    is_mount = getattr(getattr(route, "route_handler", None), "is_mount", False)
    return parameters, is_mount, -len(route.path) if is_mount else 0


def _django(_: object) -> Routes:
    from django.urls import get_resolver

    return _django_level(get_resolver().url_patterns, "/", "")


def _django_level(patterns: Iterable[Any], prefix: str, route: str) -> Routes:
    for pattern in patterns:
        regex, whole_route = prefix + _grouped(pattern.pattern.regex.pattern), route + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _django_level(pattern.url_patterns, regex, whole_route)
        else:
            yield None, _whole(regex), template(whole_route)


def _datasette(router: Any) -> Routes:
    for regex, _ in router.routes:
        yield None, _whole(_grouped(regex.pattern)), regex_template(regex.pattern)


_READERS: dict[str, Callable[[Any], Routes]] = {
    "bottle.Bottle": _bottle,
    "datasette.app.DatasetteRouter": _datasette,
    "django.core.handlers.base.BaseHandler": _django,
    "falcon.app.App": _falcon,
    "flask.app.Flask": _werkzeug,
    "litestar.app.Litestar": _litestar,
    "quart.app.Quart": _werkzeug,
    "werkzeug.middleware.dispatcher.DispatcherMiddleware": _dispatcher,
}
"""By the name of an application's class."""


def _filled(rule: str, parameter: str | re.Pattern[str], regex_of: Callable[[str], str]) -> str:
    """Return the regular expression of a rule, given what its parameters look like and the expression of each."""
    parts = re.split(parameter, rule)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = map(regex_of, parts[1::2])
    return "".join(parts)


def _grouped(regex: str) -> str:
    """Return what can stand within another expression."""
    bare = re.sub(r"(^|\|)\^", r"\1", INLINE_FLAGS.sub("", regex))
    return f"(?:{bare})" if "|" in bare else bare


def _whole(regex: str) -> str:
    """Return what matches a whole path for an expression that may match its beginning."""
    ended = re.sub(r"\\[Zz]$", "$", regex)
    return ended if ended.endswith("$") else ended + ".*"
