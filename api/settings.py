"""Every environment variable the API reads: its type, its default and what is allowed.

The table for people is ``.env.template``; a test holds the two against each other.
"""

import re
import sys
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Never

from pydantic import (
    AnyHttpUrl,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

REVISION = Path(__file__).resolve().parent.parent / "REVISION"  # beside the package, in an image
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(str.upper)]


class Settings(BaseSettings):
    """What the process was told by its environment; an empty variable counts as unset.

    Raises:
        pydantic.ValidationError: a value is not allowed; `load_settings` turns that into one line.

    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    app: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")] = Field(
        "api.main:app", description="module:attribute of the ASGI app to serve"
    )
    app_name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] = Field(
        "sightglass", description="1 to 63 letters, digits, '.', '_' or '-', a letter or digit first"
    )
    app_version: Annotated[str, StringConstraints(min_length=1)] = Field(
        default_factory=lambda: built_revision()[:7] or "0.0.0+unknown", description="set by the image"
    )
    app_revision: Annotated[str, StringConstraints(min_length=1)] = Field(
        default_factory=lambda: built_revision() or "unknown", description="any text; the image sets it"
    )
    environment: Literal["development", "staging", "production"] = Field(
        "production", description="development, staging or production"
    )
    log_level: LogLevel = Field("INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL")
    log_format: Literal["json", "text"] = Field("json", description="json or text")
    web_concurrency: int | None = Field(
        None, ge=1, le=64, description="a whole number from 1 to 64; unset, what the CPU quota allows"
    )
    gunicorn_timeout: int = Field(60, ge=5, le=3600, description="whole seconds from 5 to 3600")
    gunicorn_max_requests: int = Field(
        0, ge=0, le=10**9, description="requests after which a worker is replaced, 0 (never) to 1000000000"
    )
    api_stop_grace: int = Field(90, ge=30, le=7200, description="whole seconds from 30 to 7200")
    shutdown_delay: int = Field(
        0,
        ge=0,
        le=300,
        description="whole seconds from 0 to 300, in which /ready already fails; at most a third of GUNICORN_TIMEOUT "
        "and of API_STOP_GRACE",
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1,::1", description="addresses and networks of the proxies, separated by commas, or *"
    )
    port: int = Field(8000, ge=1, le=65535, description="a port number from 1 to 65535")
    metrics_port: int = Field(9464, ge=1, le=65535, description="a port number from 1 to 65535")
    max_request_size_bytes: int = Field(
        300 * 1024 * 1024, ge=1024, le=10 * 1024**3, description="whole bytes from 1024 to 10737418240 (10 GiB)"
    )
    runs_dir: Path = Field(Path("/app/runs"), description="a directory the service may write to")
    model_path: Path | None = Field(None, description="the directory of a trained spaCy model")
    max_text_length: int = Field(100_000, ge=1, le=10_000_000, description="whole characters from 1 to 10000000")
    inference_concurrency: int = Field(8, ge=1, le=1000, description="a whole number from 1 to 1000")
    document_concurrency: int = Field(2, ge=1, le=1000, description="a whole number from 1 to 1000")
    inference_timeout: int = Field(30, ge=1, le=3600, description="whole seconds from 1 to 3600")
    queue_url: Annotated[str, StringConstraints(pattern=r"^(redis|rediss|unix)://.+$")] | None = Field(
        None, description="redis://..., rediss://... or unix://...; unset, SQLite in RUNS_DIR"
    )
    job_attempts: int = Field(3, ge=1, le=1000, description="a whole number from 1 to 1000")
    job_retention_hours: int = Field(168, ge=1, le=87600, description="whole hours from 1 to 87600")
    job_retention_bytes: int = Field(10 * 1024**3, ge=0, description="whole bytes")
    api_keys_file: Path | None = Field(None, description="a file of owner:key lines")
    tracing_enabled: bool = Field(False, description="true or false")
    otel_traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = Field(
        "always_on",
        description="always_on, always_off or traceidratio; with parentbased_ in front the caller's flag decides",
    )
    otel_traces_sampler_arg: float = Field(1.0, ge=0, le=1, description="a share from 0 to 1")
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = Field("http/protobuf", description="http/protobuf")
    # These two the exporter reads by itself, and goes on without where they are wrong.
    otel_exporter_otlp_endpoint: AnyHttpUrl | None = Field(None, description="http://... or https://...")
    otel_exporter_otlp_timeout: float | None = Field(
        None, gt=0, le=600, description="seconds (not milliseconds), above 0 and at most 600"
    )
    # The defaults are those of OpenTelemetry's specification.
    otel_bsp_schedule_delay: int = Field(
        5000, ge=1, le=3_600_000, description="whole milliseconds from 1 to 3600000 (an hour)"
    )
    otel_bsp_max_queue_size: int = Field(2048, ge=1, le=10**6, description="a whole number from 1 to 1000000")
    otel_bsp_max_export_batch_size: int | None = Field(
        None, ge=1, description="a whole number from 1, at most OTEL_BSP_MAX_QUEUE_SIZE; unset, 512 or that"
    )
    otel_bsp_export_timeout: int = Field(
        30000, ge=1, le=3_600_000, description="whole milliseconds from 1 to 3600000 (an hour)"
    )

    @field_validator("shutdown_delay")
    @classmethod
    def _leave_time_to_finish(cls, delay: int, info: ValidationInfo) -> int:
        if delay * 3 > min(info.data.get("gunicorn_timeout", 60), info.data.get("api_stop_grace", 90)):
            raise ValueError(cls.model_fields["shutdown_delay"].description)
        return delay

    @field_validator("otel_bsp_max_export_batch_size")
    @classmethod
    def _fit_into_the_queue(cls, size: int | None, info: ValidationInfo) -> int | None:
        if size is not None and size > info.data.get("otel_bsp_max_queue_size", size):
            raise ValueError(cls.model_fields["otel_bsp_max_export_batch_size"].description)
        return size

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _networks(cls, value: str) -> str:
        parts = [part.strip() for part in value.split(",")]
        if parts != ["*"]:
            for part in parts:
                ip_network(part)  # raises ValueError
        return ",".join(parts)


def built_revision() -> str:
    """Return the commit that the image's build noted (Dockerfile); empty where it found none."""
    return REVISION.read_text().strip() if REVISION.exists() else ""


class SettingsError(ValueError):
    """One line for each wrong variable: its name, its value and what is allowed."""


@cache
def load_settings() -> Settings:
    """Read the environment once.

    Raises:
        SettingsError: at least one variable has a value that is not allowed.

    """
    try:
        return Settings()  # type: ignore[call-arg,unused-ignore]
    except ValidationError as error:
        raise SettingsError("\n".join(_lines(error))) from None


def load_settings_or_exit() -> Settings:
    """`load_settings` for a process's entry point: a wrong value ends it with its line on stderr and status 2."""
    try:
        return load_settings()
    except SettingsError as error:
        _exit(str(error))


def _exit(message: str) -> Never:
    sys.stderr.write(message + "\n")
    sys.exit(2)


def _lines(error: ValidationError) -> list[str]:
    fields = Settings.model_fields
    names = {str(item["loc"][0]).lower(): item["input"] for item in error.errors()}
    # A line stays a line whatever the value holds.
    return [
        f"{name.upper()}={re.sub(r'[^ -~]', '?', str(value))[:200]}: not allowed; expected {fields[name].description}"
        for name, value in names.items()
    ]
