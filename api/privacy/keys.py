"""API keys, when `API_KEYS_FILE` names a file of them: `owner:key` a line, several keys an owner while they rotate.

The file is read again when it changes, so a key is added or withdrawn without a restart.
"""

import hashlib
import hmac
import logging
import re
from pathlib import Path

from api.problem import ProblemError
from sightglass.environment import SettingsError

LINE = re.compile(r"(?P<owner>[A-Za-z0-9._-]{1,64}):(?P<key>[!-~]{16,256})")

logger = logging.getLogger(__name__)


class ApiKeys:
    """Tells whose key a request carries."""

    def __init__(self, file: Path) -> None:
        """Read the keys.

        Raises:
            SettingsError: the file cannot be read, has no key, or a line that is none.

        """
        self._file = file
        self._changed = self._mark()
        self._owners = self._read()

    def owner(self, authorization: str | None) -> str:
        """Give the owner of the key in an `Authorization: Bearer` header (RFC 6750).

        Raises:
            ProblemError: 401, there is none or it is not a key.

        """
        self._refresh()
        scheme, _, key = (authorization or "").partition(" ")
        digest = _digest(key.strip().encode("latin-1", "replace"))
        found = None
        for known, owner in self._owners.items():  # all of them, each in constant time: how long says nothing
            if hmac.compare_digest(known, digest):
                found = owner
        if found is None or scheme.lower() != "bearer":
            raise ProblemError(401, "A valid API key is needed", headers={"WWW-Authenticate": "Bearer"})
        return found

    def _refresh(self) -> None:
        try:
            changed = self._mark()
            if changed != self._changed:
                self._changed = changed
                self._owners = self._read()
                logger.info("API keys read again")
        except SettingsError as error:
            logger.error("the API keys stay as they were: %s", error)

    def _mark(self) -> tuple[int, int, int]:
        try:
            stat = self._file.stat()
        except OSError:
            return 0, 0, 0
        return stat.st_mtime_ns, stat.st_ino, stat.st_size

    def _read(self) -> dict[bytes, str]:
        try:
            lines = self._file.read_text("ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"API_KEYS_FILE={self._file}: not readable; {type(error).__name__}") from None
        owners = {}
        for number, line in enumerate(lines, 1):
            if not line or line.startswith("#"):
                continue
            match = LINE.fullmatch(line)
            if match is None:
                raise SettingsError(
                    f"API_KEYS_FILE={self._file}: line {number} not allowed; expected owner:key, "
                    "the key of 16 to 256 printable characters"
                )
            owners[_digest(match["key"].encode())] = match["owner"]
        if not owners:
            raise SettingsError(f"API_KEYS_FILE={self._file}: not allowed; expected a file with at least one owner:key")
        return owners


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
