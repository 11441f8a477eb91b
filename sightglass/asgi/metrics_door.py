"""Who may read ``/metrics`` on the port of the application: nobody on a platform's public one, or who has the token."""

import os
from collections.abc import Mapping
from hmac import compare_digest

from starlette.types import Scope

from sightglass.environment import PREFIX


class MetricsDoor:
    """Decides about a request for the metrics.

    Args:
        token: whoever sends it as ``Authorization: Bearer …`` (RFC 6750) may pass, nobody else; None for none.
        environment: where a ``PORT`` that is nobody's but a container platform's says that the port is public, which
            closes the door where there is no token. The metrics port is another, which platforms do not publish.

    """

    def __init__(self, token: str | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self._authorization = f"Bearer {token}".encode() if token else None
        self._public = bool(environment.get("PORT")) and not environment.get(f"{PREFIX}PORT")

    def lets(self, scope: Scope) -> bool:
        """Say whether the request may pass."""
        if self._authorization is None:
            return not self._public
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and compare_digest(given[0], self._authorization)
