"""The product's gunicorn configuration, on loopback addresses only."""

from typing import Any

from sightglass.metrics import exporter
from sightglass.server.gunicorn_conf import *  # noqa: F403
from sightglass.server.settings import load_settings

bind = f"127.0.0.1:{load_settings().port}"


def when_ready(server: Any) -> None:  # type: ignore[no-redef] #
    exporter.start(load_settings().metrics_port, host="127.0.0.1")
