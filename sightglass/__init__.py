"""Sightglass: see into an ASGI application.

``app = instrument(app)`` is all an application needs; `health` takes checks of its own.
"""

from sightglass.asgi.health import Health, health
from sightglass.asgi.instrument import instrument

__all__ = ["Health", "health", "instrument"]
