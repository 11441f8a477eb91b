"""The template of the route that served a request: bounded, whatever paths clients send."""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

from starlette.routing import PARAM_REGEX, BaseRoute, Host, Mount, compile_path

from sightglass.context import current_request
from sightglass.frameworks import litestar_mount

try:
    from fastapi.routing import iter_route_contexts as iter_route_contexts
except ImportError:  # no FastAPI, or one before 0.137, whose routes have their routers' prefixes in them

    def iter_route_contexts(routes: Any) -> Iterator[Any]:  # type: ignore[misc]
        """Yield the routes themselves."""
        yield from routes


UNMATCHED = "(unmatched)"
REST = "/{path}"
"""What a mount's template ends in."""

WEBSOCKET = "WEBSOCKET"
"""What stands for a method where a route is of WebSockets."""

MOST_LAYERS = 100
"""How many objects are looked at for what middleware wraps."""

MOST_UNKNOWN = 1_000
"""How many endpoints that no route leads to are looked for: an app may make one anew for each request."""

logger = logging.getLogger(__name__)

Templates = dict[int, list[tuple[re.Pattern[str], str]]]
"""What leads to an endpoint, by its id: the template, and the paths it stands for."""


class RouteTemplates:
    """Finds templates by the endpoint that routing left in the scope.

    The app's routes are walked once, and again when an endpoint turns up that was added since.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._templates: Templates = {}
        self._single: dict[int, str] = {}
        """Of the endpoints, no mounts, that one template leads to: most requests end here."""
        # An id is a key only while its object lives.
        self._endpoints: dict[int, object] = {}
        self._unknown = 0

    def find(self, scope: Any) -> str:
        """Return the full template, through included routers and mounts, without the server's root path.

        Inside a mount that has no route for the path it is the mount's, ending in ``/{path}``. Requests that met no
        route (unknown paths, slash redirects, answers of middleware) share `UNMATCHED`.
        """
        endpoint = scope.get("endpoint")
        if (single := self._single.get(id(endpoint))) is not None:
            return single
        request = current_request.get()
        noted = request.route if request is not None else None
        if (mount := litestar_mount(scope)) is not None:
            return mount + (noted or REST)
        if endpoint is None:
            return noted or scope.get("path_template") or UNMATCHED  # the latter is Litestar's
        route = self._find(scope, endpoint)
        # An application of another framework in a mount.
        return route.removesuffix(REST) + noted if noted and route.endswith(REST) else route

    def _find(self, scope: Any, endpoint: object) -> str:
        found = self._templates.get(id(endpoint))
        if found is None:
            found = self._learn(endpoint)
        if len(found) == 1:
            return found[0][1]
        path = scope["path"].removeprefix(scope.get("app_root_path", scope.get("root_path", "")))
        return next((template for regex, template in found if regex.match(path)), UNMATCHED)

    def _learn(self, endpoint: object) -> list[tuple[re.Pattern[str], str]]:
        if self._unknown >= MOST_UNKNOWN:
            return []
        try:
            templates = self._read()
        except Exception as error:  # of routes we do not know the kind of: no request is to fail for its name
            logger.warning("the app's routes have no names in metrics: %s", type(error).__name__)
            templates = {}
        self._unknown += id(endpoint) not in templates
        self._endpoints[id(endpoint)] = endpoint
        self._templates = {**{key: [] for key in self._endpoints}, **templates}
        self._single = {
            key: found[0][1] for key, found in templates.items() if len(found) == 1 and not found[0][1].endswith(REST)
        }
        return self._templates[id(endpoint)]

    def _read(self) -> Templates:
        templates: Templates = {}
        for known, template in _walk(routes_of(self._app), ""):
            self._endpoints[id(known)] = known
            regex, label = compile_template(template)
            candidates = templates.setdefault(id(known), [])
            if all(label != other for _, other in candidates):
                candidates.append((regex, label))
        return templates


def compile_template(template: str) -> tuple[re.Pattern[str], str]:
    """Return what matches the template's paths, and the template without its convertors."""
    # A mount and what is mounted may give their parameters one name, which no regex can.
    numbers = count()
    regex, _, _ = compile_path(PARAM_REGEX.sub(lambda found: f"{{p{next(numbers)}{found[2] or ''}}}", template))
    return regex, PARAM_REGEX.sub(r"{\1}", template)


def _walk(
    routes: Iterable[BaseRoute], prefix: str, within: frozenset[int] = frozenset()
) -> Iterator[tuple[object, str]]:
    for route in iter_route_contexts(list(routes)):
        template = prefix + (getattr(route, "path", "") or "")
        if (app := mounted(route)) is not None:
            yield app, template + "/{path:path}"
            if id(app) not in within:  # it may be mounted in itself
                yield from _walk(routes_of(app), template, within | {id(app)})
        elif (endpoint := getattr(route, "endpoint", None)) is not None:
            yield endpoint, template


def apps_in(app: Any, within: frozenset[int] = frozenset()) -> Iterator[Any]:
    """Yield the app, what its middleware wraps and what is mounted in it."""
    yield from layers(app)
    for inner in map(mounted, iter_route_contexts(list(routes_of(app)))):
        if inner is not None and id(inner) not in within:  # it may be mounted in itself
            yield from apps_in(inner, within | {id(inner)})


def mounted(route: Any) -> Any:
    """Return the app that a route of `iter_route_contexts` mounts; None where it mounts none."""
    original = getattr(route, "original_route", route)
    return getattr(route, "app", original.app) if isinstance(original, Mount | Host) else None


def routes_of(app: Any) -> Iterable[BaseRoute]:
    """Return the app's own routes, those of what its middleware wraps; none where it keeps none."""
    return getattr(wrapped_with(app, "routes"), "routes", ())


def wrapped_with(app: Any, name: str) -> Any:
    """Return the app, or the first it wraps, that has an attribute of this name; None where none has."""
    return next(
        (one for one in layers(app) if hasattr(type(one), name) or name in (attribute(one, "__dict__") or ())), None
    )


def layers(app: Any) -> Iterator[Any]:
    """Yield the app and what its middleware wraps, from the outside in.

    Middleware keeps that in an attribute by convention; if it is a function, among what it closes over.
    """
    waiting, seen = [app], set[int]()
    while waiting and len(seen) < MOST_LAYERS:
        layer = waiting.pop(0)
        if not callable(layer) or isinstance(layer, type) or id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer
        waiting += (attribute(layer, name) for name in ("app", "asgi", "__wrapped__"))
        waiting += (attribute(cell, "cell_contents") for cell in attribute(layer, "__closure__") or ())


def attribute(thing: Any, name: str) -> Any:
    """Return an attribute; None where there is none, or where it is not to be had now, as of proxies of a request."""
    with suppress(Exception):
        return getattr(thing, name)
    return None
