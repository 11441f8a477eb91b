"""Ids of jobs: nobody can guess one, and the same request under the same key has the same one again."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from functools import cached_property
from pathlib import Path


class Ids:
    """Ids made with a secret that the processes of a `RUNS_DIR` share, in its file `secret`."""

    def __init__(self, runs_dir: Path) -> None:
        self._file = runs_dir / "secret"

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
        if not self._file.exists():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft = self._file.with_name(f"secret.{secrets.token_hex(8)}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(secrets.token_bytes(32))
                    file.flush()
                    os.fsync(file.fileno())
                with suppress(FileExistsError):  # another process was first
                    os.link(draft, self._file)
            finally:
                draft.unlink()
        return self._file.read_bytes()
