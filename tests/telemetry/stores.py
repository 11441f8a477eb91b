"""The stack with logs and traces, and what is asked of it and done to it."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from tests.stack import Stack, docker

PROJECT_LABEL, SERVICE_LABEL = "com.docker.compose.project", "com.docker.compose.service"
EMITTER = """
import json, sys, time
lines, rate = map(int, sys.argv[1:3])
begun = time.monotonic()
for n in range(lines):
    time.sleep(max(0, begun + n / rate - time.monotonic()))
    print(json.dumps({"n": n, "message": "line %d" % n, "request_id": "%032x" % n, "padding": "x" * 100}), flush=True)
time.sleep(3600)
"""
"""Writes numbered lines at a rate, and stays: a container that is removed takes its file along."""


class Telemetry(Stack):
    """A stack with the profile telemetry; of the rest only what is named."""

    services: tuple[str, ...] = ()

    def start_services(self) -> None:
        """Start what is wanted of the stack, as `docker compose up --wait SERVICE…` does."""
        images = self.run(sys.executable, "scripts/images.py")
        if images.returncode != 0:
            raise RuntimeError(images.stdout + images.stderr)
        built = self.run("python3", "scripts/build.py")
        if built.returncode != 0:
            raise RuntimeError(built.stderr)
        try:
            self.compose("up", "--detach", "--wait", *self.services)
        except RuntimeError as error:
            raise RuntimeError(f"{str(error)[-2000:]}\n{self.logs()}") from None

    @property
    def logs_url(self) -> str:
        """VictoriaLogs' address, with the login."""
        return self.operators_url("LOGS_PORT").replace("//", f"//{self.operator}@")

    @property
    def traces_url(self) -> str:
        """Jaeger's address, with the login."""
        return self.operators_url("TRACES_PORT").replace("//", f"//{self.operator}@")

    @cached_property
    def operator(self) -> str:
        """The operators' user and password; by the door of logs and traces, as the other one may not run."""
        read = ("exec", "-T", "--user", "10001", "telemetry-door", "cat", "/run/operators/password")
        return f"operator:{self.compose(*read).stdout}"

    def lines(self, query: str) -> list[dict[str, Any]]:
        """Return what VictoriaLogs answers a LogsQL query with."""
        answer = httpx.post(f"{self.logs_url}/select/logsql/query", data={"query": query}, timeout=30)
        answer.raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines()]

    def counted(self, service: str) -> tuple[int, int]:
        """Return how many numbered lines of a service are kept, and how many numbers."""
        asked = f'{{service.name="{service}"}} n:* | stats count() lines, count_uniq(n) numbers'
        try:
            (row,) = self.lines(asked)
        except (httpx.HTTPError, ValueError):
            return 0, 0
        return int(row["lines"]), int(row["numbers"])

    @contextmanager
    def writing(self, service: str, *command: str, project: str = "", options: tuple[str, ...] = ()) -> Iterator[None]:
        """Let a container of a service of the project, or of another one, run a command; it goes with the block."""
        name = f"{self.project}-{service}"
        labels = {PROJECT_LABEL: project or self.project, SERVICE_LABEL: service}
        docker(
            "run", "--detach", "--name", name, "--network=none",
            *(f"--label={label}={value}" for label, value in labels.items()),
            "--log-driver=json-file", f"--log-opt=labels={','.join(labels)}", *options,
            self.settings["API_IMAGE"], *command,
        )  # fmt: skip
        try:
            yield
        finally:
            docker("rm", "--force", name)

    @contextmanager
    def emitting(self, lines: int, rate: int) -> Iterator[str]:
        """Let a container write numbered lines; yields the service it belongs to."""
        service = f"emitter-{uuid.uuid4().hex[:6]}"
        rotated = ("--log-opt=max-size=300k", "--log-opt=max-file=100")
        with self.writing(service, "python", "-c", EMITTER, str(lines), str(rate), options=rotated):
            yield service

    def kill_collector(self) -> None:
        """Kill the collector as the kernel would, and start it again."""
        self.compose("kill", "--signal", "KILL", "collector")
        self.compose("start", "collector")


@contextmanager
def running(
    directory: Path, *services: str, prepare: Callable[[Stack], object] | None = None, **settings: str
) -> Iterator[Telemetry]:
    """Start a stack of these services for the time of a `with` block; ``prepare`` is given it before."""
    stack = Telemetry(directory, profiles=["telemetry", "monitoring"], TELEMETRY="true", **settings)
    stack.services = services
    try:
        if prepare:
            prepare(stack)
        stack.start_services()
        yield stack
    finally:
        with stack.uploads_forgotten():
            subprocess.run(
                [*stack.containers.compose_command_property, "down", "--volumes", "--timeout", "2"],
                cwd=stack.directory, capture_output=True, check=False,
            )  # fmt: skip
        docker("image", "rm", "--force", stack.project)
