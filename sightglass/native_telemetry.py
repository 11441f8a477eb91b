"""FastAPI's own telemetry (since 0.142), which looks at each request for somebody who has set it up.

That look costs a fourth of what all of ours does. Where nobody has set it up it is taken once a second here, and
FastAPI is spared its own.
"""

from typing import Any

from sightglass.routes import apps_in

KEY = "fastapi.telemetry"
"""In the scope of a request that FastAPI's telemetry is to leave alone."""


class NativeTelemetry:
    """FastAPI's telemetry in an app, in what the app wraps and in what is mounted in it.

    Args:
        app: any ASGI app.

    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._found: list[Any] = []
        self.idle = False
        """Whether there is some that nobody has set up."""

    def find(self) -> None:
        """Find it in an app that has started, and look."""
        # A private name: none is found under another.
        found = (getattr(one, "_native_telemetry", None) for one in apps_in(self._app))
        self._found = [one for one in found if one is not None]
        self.look()

    def look(self) -> None:
        """Look whether anybody has set it up."""
        try:
            self.idle = bool(self._found) and not any(one.enabled() for one in self._found)
        except Exception:  # FastAPI calls it otherwise by now
            self.idle = False
