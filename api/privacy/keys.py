"""API keys, when `API_KEYS_FILE` names a file of them: `owner:key` a line, several keys an owner while they rotate.

The file is read again when it changes, so a key is added or withdrawn without a restart. It fails closed: a key that is
on no right line of the file as it is now is no key, and while the file cannot be read there are none.
"""

import hashlib
import hmac
import logging
import re
import time
from pathlib import Path

from api.problem import ProblemError
from sightglass.environment import SettingsError

LINE = re.compile(r"(?P<owner>[A-Za-z0-9._-]{1,64}):(?P<key>[!-~]{16,256})")
FRESH = 2.0
"""Seconds for which a change may be followed by one that its times and size do not show."""

logger = logging.getLogger(__name__)


class ApiKeys:
    """Tells whose key a request carries."""

    def __init__(self, file: Path) -> None:
        """Read the keys.

        Raises:
            SettingsError: the file cannot be read, has no key, or a line that is none.

        """
        self._file = file
        self._mark: tuple[int, ...] | None = None
        self._read_at = 0.0
        self._content: bytes | None = None
        self._owners: dict[bytes, str] = {}
        for wrong in self._refresh():
            raise SettingsError(wrong)

    def owner(self, authorization: str | None) -> str:
        """Give the owner of the key in an `Authorization: Bearer` header (RFC 6750).

        Raises:
            ProblemError: 401, there is none or it is not a key; 503, the file cannot be read.

        """
        if reason := self.check():
            raise ProblemError(503, reason.capitalize(), headers={"Retry-After": "10"})
        scheme, _, key = (authorization or "").partition(" ")
        digest = _digest(key.strip().encode("latin-1", "replace"))
        found = None
        for known, owner in self._owners.items():  # all of them, each in constant time: how long says nothing
            if hmac.compare_digest(known, digest):
                found = owner
        if found is None or scheme.lower() != "bearer":
            raise ProblemError(401, "A valid API key is needed", headers={"WWW-Authenticate": "Bearer"})
        return found

    def check(self) -> str | None:
        """Give the reason nobody can be told by a key, None when there is none: a readiness check."""
        for wrong in self._refresh():
            logger.error("%s", wrong)
        return "the API keys cannot be read" if self._content is None else None

    def _refresh(self) -> list[str]:
        """Read the file if it has changed; give what is newly wrong with it, a line each, without a word of it."""
        try:
            stat = self._file.stat()
            mark = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size)
            if mark == self._mark and self._read_at - stat.st_ctime > FRESH:
                return []
            self._read_at = time.time()
            content = self._file.read_bytes()
        except OSError as error:
            known, self._mark, self._content, self._owners = self._content, None, None, {}
            first = known is not None or self._read_at == 0
            self._read_at = time.time()
            return [f"API_KEYS_FILE={self._file}: not readable; {type(error).__name__}"] if first else []
        self._mark = mark
        if content == self._content:
            return []
        if self._content is not None:
            logger.info("API keys read again")
        wrong = self._parse(content)
        self._content = content
        return wrong

    def _parse(self, content: bytes) -> list[str]:
        owners = {}
        wrong = []
        for number, line in enumerate(content.decode("latin-1").split("\n"), 1):
            line = line.removesuffix("\r")
            if not line or line.startswith("#"):
                continue
            match = LINE.fullmatch(line)
            if match:
                owners[_digest(match["key"].encode())] = match["owner"]
            else:
                wrong.append(
                    f"API_KEYS_FILE={self._file}: line {number} not allowed; expected owner:key, "
                    "the key of 16 to 256 printable characters"
                )
        self._owners = owners
        if not owners and not wrong:
            wrong.append(f"API_KEYS_FILE={self._file}: not allowed; expected a file with at least one owner:key")
        return wrong


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
