"""gunicorn's configuration: ``gunicorn -c python:sightglass.server.gunicorn_conf sightglass.server.application:app``.

Anything here can be overridden in gunicorn's own way, by ``GUNICORN_CMD_ARGS``.
"""

import logging
from pathlib import Path
from typing import Any

from sightglass.logs import access  # noqa: F401 - before the fork: a client's hash is one in all workers
from sightglass.logs.lines import set_worker
from sightglass.logs.setup import gunicorn_log_config, protect_stack
from sightglass.metrics import exporter
from sightglass.server import halt  # noqa: F401 - before the fork: what one worker finds wrong is said once
from sightglass.server.cpu_quota import usable_cpus
from sightglass.server.settings import load_settings_or_exit

_settings = load_settings_or_exit()
_development = _settings.environment == "development"

# Of a container, all its addresses: its network decides who reaches it.
bind = f"{_settings.host}:{_settings.port}"

# uvicorn, with an end in the right order.
worker_class = "sightglass.server.worker_class.UvicornWorker"

# A worker is one event loop on one CPU: as many as the quota pays for. One while developing, so that breakpoints hit.
workers = _settings.web_concurrency or (1 if _development else min(usable_cpus(), 64))

# Restart on a change of code, in development only: it watches every file.
reload = _development

# Each worker imports the app itself, so that HUP takes new code up and no connection or thread crosses a fork.
preload_app = False

# A worker whose event loop has not moved for so long is killed.
timeout = _settings.gunicorn_timeout

# Below `timeout`: a worker that drains is not mistaken for one that hangs. Below the container's stop grace: after it,
# Docker, or a container platform, kills.
_grace = _settings.api_stop_grace
graceful_timeout = min(timeout - max(1, timeout // 6), _grace - (10 if _grace >= 30 else max(1, _grace // 10)))

# Above NGINX's 60 s for idle upstream connections: the proxy closes first, and no request meets a closing socket.
keepalive = 75

# 0 never. The jitter keeps workers from being replaced all at once.
max_requests = _settings.gunicorn_max_requests
max_requests_jitter = max_requests // 10

# X-Forwarded-For and -Proto count only from the proxy; one known by its name is worker_class's to find.
forwarded_allow_ips = _settings.forwarded_allow_ips

# What NGINX lets through by default (large_client_header_buffers, 8 KiB); uvicorn has no limit of its own.
limit_request_line = 8190

# Heartbeats are file times: in memory, so that a busy disk does not look like a hung worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108

# A socket for `gunicornc` needs a writable home, which a read-only container lacks.
control_socket_disable = True

# gunicorn's lines in the format of all others; its access log stays off, the instrumentation writes that line.
logconfig_dict = gunicorn_log_config(_settings)
protect_stack(_settings)
accesslog = None
loglevel = logging.getLevelName(_settings.log_threshold).lower()


def when_ready(server: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Open the door for Prometheus before the first worker is forked."""
    exporter.start(_settings.metrics_port, host=_settings.host)


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Give the worker its slot number, which its metrics and log lines carry."""
    set_worker(str(exporter.after_fork()))


def on_exit(server: Any) -> None:  # noqa: ARG001
    """Clean up when the last worker has gone."""
    exporter.stop()
