"""The application's routes as data, for who must name a request's route without asking the application: the edge."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.routing import BaseRoute, Mount

from sightglass.framework_tables import read_routes
from sightglass.routes import WEBSOCKET as WEBSOCKET
from sightglass.routes import compile_template, iter_route_contexts, layers, mounted, routes_of

RouteTable = list[tuple[str, str]]
"""Regular expressions, each with its template; a request has the template of the first that matches its subject.

The subject is the method, the host without a port and the decoded path, with spaces between, such as
``GET example.org /items/7``; a WebSocket's method is `WEBSOCKET`. The expressions mean the same to Python and to
ECMAScript, as long as the application's own convertors do.
"""

_HTTP = f"(?!{WEBSOCKET} )[^ ]+"
_ANY = "[^ ]*"
_GROUP_NAME = re.compile(r"\(\?P<\w+>")


def route_table(app: Any) -> RouteTable:
    """Return the table of an app's routes, in the order they are tried; empty for a kind of app that is not known."""
    try:
        others = next(filter(None, map(read_routes, layers(app))), None)
        found = _level(routes_of(app), "", _ANY) if others is None else (entry(*other) for other in others)
        return [(regex, template) for regex, template in found if template.isprintable()]
    except Exception:
        return []


def entry(methods: Iterable[str] | None, path: str, template: str, host: str = _ANY) -> tuple[str, str]:
    """Return the entry of a path's regular expression for these methods or for all of HTTP."""
    method = _HTTP if methods is None else f"(?:{'|'.join(sorted(methods))})"
    return _entry(method, host, path, template)


def _entry(method: str, host: str, path: str, template: str) -> tuple[str, str]:
    return f"^{method} {host} {_bare(path)}$", template


def _level(
    routes: Iterable[BaseRoute], prefix: str, host: str, within: frozenset[int] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Yield the entries of one router: whatever it matches whole comes before what has another method (405)."""
    otherwise = []
    for route in iter_route_contexts(list(routes)):
        original = getattr(route, "original_route", route)
        template = prefix + (getattr(route, "path", "") or "")
        if (app := mounted(route)) is not None:
            inside = host if isinstance(original, Mount) else _bare(original.host_regex.pattern)
            if id(app) not in within:  # it may be mounted in itself
                yield from _level(routes_of(app), template, inside, within | {id(app)})
            regex, label = compile_template(template + "/{path:path}")
            yield _entry(_ANY, inside, regex.pattern, label)
        elif getattr(route, "endpoint", None) is not None:
            regex, label = compile_template(template)
            if not hasattr(original, "methods"):
                yield entry([WEBSOCKET], regex.pattern, label, host)
            elif methods := getattr(route, "methods", None):
                yield entry(methods, regex.pattern, label, host)
                otherwise.append(entry(None, regex.pattern, label, host))
            else:
                yield entry(None, regex.pattern, label, host)
    yield from otherwise


def _bare(regex: str) -> str:
    return _GROUP_NAME.sub("(", regex).removeprefix("^").removesuffix("$")
