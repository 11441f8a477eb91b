"""What the library is told by its environment.

The table for people is ``.env.template``; a test holds the two against each other.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from sightglass.environment import Variables, choice, decimal, http_url, ipv4, read_settings, text, truth, whole

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
SAMPLERS = ("always_on", "always_off", "traceidratio")
PARENTBASED = "parentbased_"


def built_revision(noted: Path) -> str:
    """Return the commit that an image's build has noted (Dockerfile); empty where there is none."""
    return noted.read_text().strip() if noted.exists() else ""


BUILT = built_revision(Path(__file__).resolve().parent.parent / "REVISION")


@dataclass(frozen=True, kw_only=True)
class Settings(Variables):
    """Names, logs, metrics and traces of an instrumented application."""

    app_name: str = text(
        "sightglass",
        "1 to 63 letters, digits, '.', '_' or '-', a letter or digit first",
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    )
    app_version: str = text(BUILT[:7] or "0.0.0+unknown", "any text; the image sets it")
    app_revision: str = text(BUILT or "unknown", "any text; the image sets it")
    environment: str = choice("production", "development", "staging", "production")
    log_level: str | None = choice(None, *LOG_LEVELS, fold=str.upper)
    log_format: Literal["json", "text"] = choice("json", "json", "text")
    host: str = ipv4("0.0.0.0", "an IPv4 address, 0.0.0.0 for all the machine has")  # noqa: S104 - a container's
    metrics_port: int = whole(9464, 1, 65535, "a port number from 1 to 65535")
    metrics_token: str | None = text(
        None, "16 to 512 printable ASCII characters without spaces", r"[!-~]{16,512}", secret=True
    )
    event_loop_blocked_seconds: float = decimal(0.25, lambda seconds: 0.01 <= seconds <= 60, "seconds from 0.01 to 60")
    tracing_enabled: bool = truth(default=False)
    tracing_slow_seconds: float = decimal(0.5, lambda seconds: 0 < seconds <= 3600, "seconds, above 0 and at most 3600")
    tracing_held_spans: int = whole(2048, 1, 10**6, "a whole number from 1 to 1000000")
    slow_routes: str | None = text(None, "route templates, separated by spaces", r"\s*/\S*(\s+/\S*)*\s*")
    otel_traces_sampler: str = choice(
        "always_on",
        *SAMPLERS,
        *(PARENTBASED + sampler for sampler in SAMPLERS),
        expected="always_on, always_off or traceidratio; with parentbased_ in front the caller's flag decides",
    )
    otel_traces_sampler_arg: float = decimal(1.0, lambda share: 0 <= share <= 1, "a share from 0 to 1")
    otel_exporter_otlp_protocol: str = choice("http/protobuf", "http/protobuf")
    # These two the exporter reads by itself, and goes on without where they are wrong.
    otel_exporter_otlp_endpoint: str | None = http_url(None)
    otel_exporter_otlp_timeout: float | None = decimal(
        None, lambda seconds: 0 < seconds <= 600, "seconds (not milliseconds), above 0 and at most 600"
    )
    # The defaults are those of OpenTelemetry's specification.
    otel_bsp_schedule_delay: int = whole(5000, 1, 3_600_000, "whole milliseconds from 1 to 3600000 (an hour)")
    otel_bsp_max_queue_size: int = whole(2048, 1, 10**6, "a whole number from 1 to 1000000")
    otel_bsp_max_export_batch_size: int | None = whole(
        None, 1, None, "a whole number from 1, at most OTEL_BSP_MAX_QUEUE_SIZE; unset, 512 or that"
    )
    otel_bsp_export_timeout: int = whole(30000, 1, 3_600_000, "whole milliseconds from 1 to 3600000 (an hour)")

    @property
    def log_threshold(self) -> int:
        """``LOG_LEVEL`` as the standard library's number; unset, that of DEBUG while developing, else of INFO."""
        level = self.log_level or ("DEBUG" if self.environment == "development" else "INFO")
        return int(getattr(logging, level))

    def conflicts(self) -> Iterator[str]:
        """Name the fields whose values do not go with those of others."""
        yield from super().conflicts()
        if (self.otel_bsp_max_export_batch_size or 0) > self.otel_bsp_max_queue_size:
            yield "otel_bsp_max_export_batch_size"


@cache
def load_settings() -> Settings:
    """Read the environment once.

    Raises:
        SettingsError: at least one variable has a value that is not allowed.

    """
    return read_settings(Settings)
