"""Sightglass: see into an ASGI application.

``app = instrument(app)`` is all an application needs; `health` takes checks of its own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightglass.asgi.health import Health, health
    from sightglass.asgi.instrument import instrument

__all__ = ["Health", "health", "instrument"]

_FROM = {"Health": "asgi.health", "health": "asgi.health", "instrument": "asgi.instrument"}


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562): who needs a part of this package alone is spared the frameworks."""
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
