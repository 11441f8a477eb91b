"""FastAPI's own telemetry (since 0.142), which looks at each request for somebody who has set it up.

That look costs a fourth of what all of ours does. Where nobody has set it up it is taken once a second here instead.
"""

from contextlib import suppress
from typing import Any

from sightglass.routes import apps_in, attribute


class NativeTelemetry:
    """FastAPI's telemetry in an app, in what the app wraps and in what is mounted in it.

    Its names are private: under others, and in an app that is not found, FastAPI looks as it always does.

    Args:
        app: any ASGI app.

    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._found: list[Any] = []

    def find(self) -> None:
        """Find it in an app that has started, and look."""
        with suppress(Exception):  # of apps we do not know the kind of
            self._found = [one._native_telemetry for one in apps_in(self._app) if "_native_telemetry" in _own(one)]
        self.look()

    def look(self) -> None:
        """Have all that nobody has set up say so without a look, until the next time."""
        for one in self._found:
            with suppress(Exception):
                if type(one).enabled(one):
                    _own(one).pop("enabled", None)
                else:
                    one.enabled = _no

    def leave(self) -> None:
        """Leave it as it was."""
        for one in self._found:
            _own(one).pop("enabled", None)
        self._found = []


def _no() -> bool:
    return False


def _own(thing: Any) -> dict[str, Any]:
    return attribute(thing, "__dict__") or {}
