"""The product's gunicorn configuration, with the metrics port on loopback."""

from typing import Any

from api.gunicorn_conf import *  # noqa: F403 - gunicorn reads every name
from api.observability import exporter
from api.settings import load_settings


def when_ready(server: Any) -> None:  # type: ignore[no-redef]
    """Open the metrics port."""
    exporter.start(load_settings(), host="127.0.0.1")
