"""How long a client of the tests waits for an answer, unless it says so: no test's subject is how fast a machine is."""

from types import FunctionType
from typing import cast

import httpx
from websockets.sync.client import connect

SECONDS = 60.0


def be_patient() -> None:
    """Put that in the place of the libraries' own 5 and 10 seconds, which a busy machine needs at times."""
    for name in ("request", "get", "head", "options", "post", "put", "patch", "delete"):
        _set_default(getattr(httpx, name), "timeout")
    _set_default(httpx.Client.__init__, "timeout")
    _set_default(httpx.AsyncClient.__init__, "timeout")
    _set_default(connect, "open_timeout")


def _set_default(function: object, argument: str) -> None:
    defaults = cast("FunctionType", function).__kwdefaults__
    assert defaults is not None
    assert argument in defaults
    defaults[argument] = SECONDS
