"""Who makes the span of a sampled request: OpenTelemetry's FastAPI instrumentation, or its ASGI one for other apps."""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.http import get_excluded_urls, parse_excluded_urls
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Host, Mount
from starlette.types import ASGIApp, Scope

from sightglass.problem import MEDIA_TYPE, problem_body
from sightglass.routes import iter_route_contexts
from sightglass.tracing import conventions

_EXCLUDING = ("OTEL_PYTHON_FASTAPI_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")
RequestHook = Callable[[Any, Any], None]


class Instrumentation:
    """One app's instrumentation: an ASGI app that makes a span and then calls the one inside.

    Args:
        served: the app; what it has of OpenTelemetry's instrumentation steps aside from now on.
        inner: what is called within the span.
        provider: where the spans go.

    """

    def __init__(self, served: ASGIApp, inner: ASGIApp, provider: TracerProvider) -> None:
        conventions.choose_stable()
        self.hooks = step_aside(served)
        options: Any = {
            "tracer_provider": provider,
            "meter_provider": NoOpMeterProvider(),
            "exclude_spans": ["send", "receive"],
        }
        self._fastapi = is_fastapi(served)
        self._excluded = (
            get_excluded_urls("FASTAPI") if self._fastapi and any(map(os.environ.get, _EXCLUDING)) else None
        )
        self.app = _by_fastapi(inner, options) if self._fastapi else _by_asgi(inner, options)

    def excludes(self, scope: Scope) -> bool:
        """Tell whether a request is one of those that the instrumentation is to leave out."""
        if self._excluded is None:
            return False
        host, port = scope.get("server") or ("", "")
        return self._excluded.url_disabled(f"{scope.get('scheme', 'http')}://{host}:{port}{scope['path']}")

    def remove(self) -> None:
        """Take back what it has changed for the whole process: the spans around background tasks."""
        if self._fastapi:
            from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

            FastAPIInstrumentor.uninstrument_app(self.app)  # type: ignore[arg-type]


def is_fastapi(app: ASGIApp) -> bool:
    """Tell whether an app is FastAPI's, wrapped or not; FastAPI need not be installed."""
    fastapi = sys.modules.get("fastapi.applications")
    first = next((layer for layer in _layers(app) if isinstance(layer, Starlette)), None)
    return fastapi is not None and isinstance(first, fastapi.FastAPI)


def step_aside(app: ASGIApp) -> list[RequestHook]:
    """Have every middleware of OpenTelemetry that an app has leave all requests to us; return their request hooks."""
    hooks = []
    for layer in _layers(app):
        if isinstance(layer, OpenTelemetryMiddleware):
            layer.excluded_urls = parse_excluded_urls(".*")
            if layer.server_request_hook is not None:
                hooks.append(layer.server_request_hook)
    return hooks


def _by_fastapi(inner: ASGIApp, options: Any) -> ASGIApp:
    """Return an instrumented FastAPI app of our own, whose one middleware calls what is to be served instead of it.

    The served app stays as it is, and the instrumentation sees no more of a request than this one is given.
    """
    # Not from `fastapi`: FastAPIInstrumentor().instrument() puts an instrumented class in its place there.
    from fastapi.applications import FastAPI
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    shell = FastAPI(openapi_url=None, exception_handlers={Exception: _server_error})
    shell.add_middleware(lambda app: inner)  # noqa: ARG005 - before 0.35, Starlette gives it by name
    FastAPIInstrumentor.instrument_app(shell, **options)
    return shell


def _by_asgi(inner: ASGIApp, options: Any) -> ASGIApp:
    instrumented: ASGIApp = OpenTelemetryMiddleware(
        inner, default_span_details=lambda scope: (scope["method"], {}), **options
    )
    return instrumented


async def _server_error(_request: Request, _error: Exception) -> Response:
    return Response(problem_body(500), 500, media_type=MEDIA_TYPE)


def _layers(app: ASGIApp) -> Iterator[Any]:
    """Yield an app, its middleware and what is mounted in it, from the outside in."""
    found: list[Any] = [app]
    seen: set[int] = set()
    while found:
        layer = found.pop()
        if layer is None or id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer
        if isinstance(layer, Starlette):
            # As it does by itself at its first request.
            layer.middleware_stack = layer.middleware_stack or layer.build_middleware_stack()
            found.append(layer.middleware_stack)
        elif hasattr(layer, "routes"):
            routes = [getattr(route, "original_route", route) for route in iter_route_contexts(list(layer.routes))]
            found += [route.app for route in routes if isinstance(route, Mount | Host)]
        else:
            found.append(getattr(layer, "app", None))  # where middleware keeps what it wraps, by convention
