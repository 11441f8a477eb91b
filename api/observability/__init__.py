"""What makes an ASGI application observable: metrics, logs, traces, health.

``app = instrument(app)`` is all an application needs; `health` takes checks of its own.
"""

from starlette.types import ASGIApp

from api.observability.access_log import AccessLog
from api.observability.container import CONTAINER_MEMORY as CONTAINER_MEMORY
from api.observability.health import Health, health
from api.observability.middleware import Middleware
from api.observability.routes import RouteTemplates
from api.observability.tracing import Tracing
from api.observability.worker import this_worker
from api.settings import Settings, load_settings

__all__ = ["Health", "health", "instrument"]

_default_health = health


def instrument(app: ASGIApp, *, settings: Settings | None = None, health: Health | None = None) -> ASGIApp:
    """Return the app with request ids, metrics, access log, tracing, ``/health``, ``/ready`` and ``/metrics``.

    The app itself is not changed and stays reachable as the result's `app`. What is instrumented already is returned
    as it is.

    Args:
        app: any ASGI app; FastAPI's and Starlette's routes name what is measured.
        settings: from the environment when None.
        health: the checks to answer with; this module's `health` when None.

    Raises:
        SettingsError: the environment was read and a value in it is not allowed.

    """
    if isinstance(app, Middleware):
        return app
    settings = settings or load_settings()
    route_of = RouteTemplates(app).find
    this_worker.metrics.describe(
        version=settings.app_version, revision=settings.app_revision, environment=settings.environment
    )
    return Middleware(
        app,
        worker=this_worker,
        health=health or _default_health,
        route_of=route_of,
        access_log=AccessLog(settings),
        tracing=Tracing(settings, route_of),
    )
