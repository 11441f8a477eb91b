"""Prometheus's and the edge's door: an HTTP server in gunicorn's arbiter, which no overload of the workers can delay.

The hooks of a gunicorn configuration that use it:

    when_ready(server):        exporter.start(port)         before the first worker is forked
    post_fork(server, worker): exporter.after_fork()        first thing in a worker, before the app is imported
    on_exit(server):           exporter.stop()              in the arbiter, when the workers have gone

The server thread shares no lock with what workers run (it neither logs nor prints nor resolves names), so forking
while it works is sound.
"""

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer, TCPServer, ThreadingMixIn
from typing import NoReturn

from sightglass.metrics import replica
from sightglass.metrics.exposition import expose
from sightglass.metrics.gather import gather
from sightglass.metrics.process import this_process
from sightglass.metrics.slots import SlotDirectory

_TMPFS = Path("/dev/shm")  # noqa: S108 - a private directory is made in it
_PREFIX = "sightglass-"
_CLIENT_SECONDS = 5.0  # a client may take to say what it wants


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    timeout = _CLIENT_SECONDS
    server_version = "metrics"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path == "/routes" and (table := self.server.slots.read_routes()) is not None:
            self._answer([("content-type", "application/json"), ("content-length", str(len(table)))], table)
        else:
            self.send_response(404)
            self.send_header("content-length", "0")
            self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def _metrics(self) -> None:
        accept = ", ".join(self.headers.get_all("accept", []))
        try:
            response = expose(gather(self.server.slots), accept, self.headers.get("accept-encoding", ""))
        except Exception as error:
            self.send_error(500, type(error).__name__)  # Prometheus shows it as the target's error
            return
        self._answer(response.headers, response.body)

    def _answer(self, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Server(ThreadingMixIn, TCPServer):
    """A thread for each client, so that an idle one keeps nobody waiting."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], slots: SlotDirectory) -> None:
        self.slots = slots
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing about clients that went away."""


class _Exporter:
    def __init__(self, server: _Server, slots: SlotDirectory) -> None:
        self.server = server
        self.slots = slots
        self.owner = os.getpid()


_exporter: _Exporter | None = None


def start(port: int, *, host: str = "0.0.0.0") -> int:  # noqa: S104 - scraped from other containers
    """Make the slot directory and serve ``GET /metrics`` and ``/routes`` on the metrics port; returns the port.

    When the port is taken the process ends with one line on stderr.
    """
    global _exporter
    replica.name()  # before the fork, so that all workers have one
    slots = _make_directory()
    try:
        server = _Server((host, port), slots)
    except OSError as error:
        shutil.rmtree(slots.path, ignore_errors=True)
        _exit(f"METRICS_PORT={port}: not available: {error.strerror}")
    _exporter = _Exporter(server, slots)
    threading.Thread(target=BaseServer.serve_forever, args=(server,), name="metrics", daemon=True).start()
    return int(server.server_address[1])


def after_fork() -> int:
    """In a new worker: let go of the arbiter's listening socket and lease a slot; returns the slot.

    Without `start` there is one worker, in slot 0, which tells of itself on its own ``/metrics``.
    """
    if _exporter is not None:
        # A scrape that was being answered is not cut: the arbiter ends connections with shutdown(), whoever has copies.
        _exporter.server.socket.close()
        this_process.join(_exporter.slots)
    return this_process.slot


def stop() -> None:
    """In the arbiter: remove the slot directory."""
    if _exporter is not None and _exporter.owner == os.getpid():
        shutil.rmtree(_exporter.slots.path, ignore_errors=True)


def _make_directory() -> SlotDirectory:
    parent = _TMPFS if _TMPFS.is_dir() else Path(tempfile.gettempdir())
    for path in parent.glob(f"{_PREFIX}*"):
        if SlotDirectory(path).abandoned():  # its server was killed
            shutil.rmtree(path, ignore_errors=True)
    slots = SlotDirectory(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)))
    slots.claim()
    return slots


def _exit(message: str) -> NoReturn:
    sys.stderr.write(message + "\n")
    sys.exit(2)
