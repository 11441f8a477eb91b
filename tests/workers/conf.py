"""The least gunicorn configuration that serves with metrics."""

from typing import Any

from api.observability import exporter
from api.settings import load_settings_or_exit

_settings = load_settings_or_exit()
bind = "127.0.0.1:0"
worker_class = "api.workers.UvicornWorker"
workers = _settings.web_concurrency
timeout = _settings.gunicorn_timeout
graceful_timeout = timeout - 1
control_socket_disable = True


def when_ready(server: Any) -> None:
    """Open the metrics port."""
    exporter.start(_settings, host="127.0.0.1")


def post_fork(server: Any, worker: Any) -> None:
    """Lease a slot."""
    exporter.after_fork()


def on_exit(server: Any) -> None:
    """Clean up."""
    exporter.stop()
