"""The product's gunicorn configuration, with the metrics port on loopback."""

from typing import Any

from sightglass.metrics import exporter
from sightglass.server.gunicorn_conf import *  # noqa: F403 - gunicorn reads every name
from sightglass.server.settings import load_settings


def when_ready(server: Any) -> None:  # type: ignore[no-redef]
    """Open the metrics port."""
    exporter.start(load_settings().metrics_port, host="127.0.0.1")
