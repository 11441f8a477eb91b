"""An application made observable: the parts put together."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Scope

from sightglass.asgi.docs_assets import docs_assets
from sightglass.asgi.health import Health
from sightglass.asgi.health import health as default_health
from sightglass.asgi.loop_watch import LoopWatch
from sightglass.asgi.metrics_door import MetricsDoor
from sightglass.asgi.middleware import Middleware
from sightglass.environment import SettingsError
from sightglass.frameworks import note_routes
from sightglass.logs.access import AccessLog
from sightglass.logs.errors import ErrorLog, Unwritten
from sightglass.metrics.process import this_process
from sightglass.routes import RouteTemplates
from sightglass.settings import Settings, load_settings
from sightglass.uploads import report_full_disk

if TYPE_CHECKING:
    from sightglass.tracing.asgi import TracedApp


def instrument(app: ASGIApp, *, settings: Settings | None = None, health: Health | None = None) -> ASGIApp:
    """Return the app with request ids, metrics, access log, tracing, ``/health``, ``/ready`` and ``/metrics``.

    The app itself is not changed and stays reachable as the result's `app`; only FastAPI's own telemetry, where nobody
    has set it up, is asked once a second while the app serves. What is instrumented already is returned as it is.

    Args:
        app: any ASGI app; the routes of FastAPI, Starlette and those of framework_tables.py name what is measured.
        settings: from the environment when None.
        health: the checks to answer with; `sightglass.health` when None.

    Raises:
        SettingsError: the environment was read and a value in it is not allowed, or tracing lacks its packages.

    """
    if isinstance(app, Middleware):
        return app
    settings = settings or load_settings()
    note_routes()
    report_full_disk()
    route_of = RouteTemplates(app).find
    servers = logging.getLogger("uvicorn.error")
    if not any(isinstance(one, Unwritten) for one in servers.filters):
        servers.addFilter(Unwritten())
    this_process.metrics.describe(
        version=settings.app_version, revision=settings.app_revision, environment=settings.environment
    )
    docs = docs_assets()
    if docs is not None:
        docs.name_in_pages()
    return Middleware(
        app,
        process=this_process,
        health=health or default_health,
        route_of=route_of,
        access_log=AccessLog(settings),
        error_log=ErrorLog(settings),
        tracing=_traced(app, settings, route_of) if settings.tracing_enabled else None,
        docs=docs,
        metrics_door=MetricsDoor(settings.metrics_token),
        loop_watch=LoopWatch(settings.event_loop_blocked_seconds),
    )


def _traced(app: ASGIApp, settings: Settings, route_of: Callable[[Scope], str]) -> "TracedApp":
    # OpenTelemetry is an extra, and its import takes time and memory: only for those who trace.
    try:
        from sightglass.tracing.asgi import TracedApp
    except ModuleNotFoundError as error:
        expected = f"false, or the packages of the extra `tracing`, of which {error.name} is not installed"
        raise SettingsError(f"TRACING_ENABLED=true: not allowed; expected {expected}") from error

    return TracedApp(app, settings, route_of)
