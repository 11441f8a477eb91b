"""Ids of jobs: nobody can guess one, and the same request under the same key has the same one again."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from functools import cached_property


class Ids:
    """Ids made with a secret that all processes of a service share."""

    def __init__(self, secret: Callable[[], bytes]) -> None:
        """Take what gives the secret; asked once, at first use."""
        self._give = secret

    def new(self) -> str:
        """Give an id that is nobody's."""
        return secrets.token_hex(16)

    def derived(self, *parts: str) -> str:
        """Give the id that these texts always have.

        Raises:
            OSError: the secret can neither be read nor made.

        """
        return hmac.digest(self._secret, "\0".join(parts).encode(), hashlib.sha256).hex()[:32]

    @cached_property
    def _secret(self) -> bytes:
        return self._give()
