"""What the shipped service is told by its environment, on top of the library's settings.

The table for people is ``.env.template``; a test holds the two against each other.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sightglass.environment import decimal, exit_on_error, http_url, path, read_settings, text, truth, variable, whole
from sightglass.settings import Settings as LibrarySettings

_MANY = "a whole number from 1 to 1000"
_HOST = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]"
_ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://({_HOST})(:[1-9][0-9]{{0,4}})?")


def _origins(value: str) -> tuple[str, ...]:
    origins = tuple(value.split())
    if origins != ("*",) and not all(map(_ORIGIN.fullmatch, origins)):
        raise ValueError(value)
    return origins


@dataclass(frozen=True, kw_only=True)
class Settings(LibrarySettings):
    """Limits, places and patience of the service."""

    max_request_size_bytes: int = whole(
        300 * 1024 * 1024, 1024, 10 * 1024**3, "whole bytes from 1024 to 10737418240 (10 GiB)"
    )
    runs_dir: Path = path(Path("/app/runs"), "a directory the service may write to")
    model_path: Path | None = path(None, "the directory of a trained spaCy model")
    max_text_length: int = whole(100_000, 1, 10_000_000, "whole characters from 1 to 10000000")
    anonymize: bool = truth(default=True)
    min_confidence: float = decimal(0.35, lambda share: 0 <= share <= 1, "a number from 0 to 1")
    inference_concurrency: int = whole(8, 1, 1000, _MANY)
    document_concurrency: int = whole(2, 1, 1000, _MANY)
    inference_timeout: int = whole(30, 1, 3600, "whole seconds from 1 to 3600")
    queue_url: str | None = text(
        None, "redis://..., rediss://... or unix://...; unset, SQLite in RUNS_DIR", r"(redis|rediss|unix)://.+"
    )
    database_url: str | None = text(
        None,
        "postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE; unset, SQLite in RUNS_DIR",
        r"postgres(ql)?://[^/]+/[^/?]+(\?.+)?",
        secret=True,
    )
    documents_url: str | None = text(
        None,
        "s3://BUCKET[/PREFIX], together with DATABASE_URL; unset, files in RUNS_DIR",
        r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/.*)?",
    )
    aws_endpoint_url: str | None = http_url(None)
    """Of the bucket, where it is not AWS's."""
    job_attempts: int = whole(3, 1, 1000, _MANY)
    job_cpu_seconds: int = whole(21600, 1, 10_000_000, "whole seconds from 1 to 10000000")
    jobs_last_scrape: int = whole(0, 0, 20, "whole seconds from 0 to 20")
    job_retention_hours: int = whole(168, 1, 87600, "whole hours from 1 to 87600")
    job_retention_bytes: int = whole(10 * 1024**3, 1024 * 1024, None, "whole bytes from 1048576 (1 MiB)")
    cors_origins: tuple[str, ...] | None = variable(
        None, _origins, "* or origins, SCHEME://HOST[:PORT] in lower case, separated by spaces"
    )
    api_keys_file: Path | None = path(None, "a file of owner:key lines")

    def conflicts(self) -> Iterator[str]:
        """Name `documents_url` where jobs are on this machine: it holds them by a file beside the document."""
        yield from super().conflicts()
        if self.documents_url and not self.database_url:
            yield "documents_url"


@cache
def load_settings() -> Settings:
    """Read the environment once.

    Raises:
        SettingsError: at least one variable has a value that is not allowed.

    """
    return read_settings(Settings)


def load_settings_or_exit() -> Settings:
    """`load_settings` for the service's entry points: a wrong value ends them with its line and status 2."""
    return exit_on_error(load_settings)
