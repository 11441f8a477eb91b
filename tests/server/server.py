"""A real gunicorn with the product's configuration, serving the sample app, for the length of a test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.sync.client import ClientConnection, connect

from sightglass.environment import PREFIX
from sightglass.server.__main__ import APPLICATION, CONFIGURATION
from tests.stack import ROOT as ROOT
from tests.stack import free_ports
from tests.support.waiting import awaited

SECONDS = 30.0  # until an answer must have come; nothing here takes so long


def prefixed(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings as a container's environment has them; OpenTelemetry's and Python's have names of their own."""
    return {
        name if name.startswith(("OTEL_", "PYTHON", "GUNICORN_CMD")) else PREFIX + name: value
        for name, value in settings.items()
    }


class Server:
    """Start it with settings as keywords, and variables of the application's; its lines are those of stdout so far."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        path: Path | None = None,
        stdout: int | None = None,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
        **settings: str,
    ) -> None:
        self.port, self.metrics_port = free_ports(2)
        self._stdout = directory / "stdout"
        self._stderr = directory / "stderr"
        variables = (
            {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(map(str, [path or ROOT / "tests", ROOT / "tests" / "server", ROOT])),
                "SIGHTGLASS_APP": "sample_app.main:app",
                "SIGHTGLASS_WEB_CONCURRENCY": "1",
                "SIGHTGLASS_HOST": "127.0.0.1",
                "SIGHTGLASS_PORT": str(self.port),
                "SIGHTGLASS_METRICS_PORT": str(self.metrics_port),
                # What a busy machine makes stand still is no test's subject, unless it says so.
                "SIGHTGLASS_EVENT_LOOP_BLOCKED_SECONDS": "60",
            }
            | dict(environment or {})
            | prefixed(settings)
        )
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [python, "-m", "gunicorn", "-c", CONFIGURATION, *options, APPLICATION],
                env=variables,
                cwd=directory,
                stdout=out if stdout is None else stdout,
                stderr=err,
                start_new_session=True,  # so that a failing test takes the workers along, too
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=SECONDS)

    def __enter__(self) -> Self:
        awaited(self._answers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(SECONDS)
        finally:
            self.kill()

    def kill(self) -> None:
        """End whatever is left of the server."""
        self.client.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.stderr() + self.stdout()
        try:
            with httpx.Client() as client:
                return client.get(f"http://127.0.0.1:{self.port}/ready").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def socket(self, path: str) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}{path}")

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.terminate()
        return self.process.wait(SECONDS)

    def stdout(self) -> str:
        return self._stdout.read_text()

    def stderr(self) -> str:
        return self._stderr.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """Every whole line so far; fails on one that is no JSON object."""
        whole = self.stdout().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.split("\n") if line]
        assert all(isinstance(line, dict) for line in lines)
        return lines

    def access_lines(self, **fields: object) -> list[dict[str, Any]]:
        """The request lines so far with these values."""
        return [line for line in self.lines() if line["logger"] == "api.access" and fields.items() <= line.items()]

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines()]
