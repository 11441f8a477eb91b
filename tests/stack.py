"""A stack of its own for the tests: a copy of the tree, its own project name and ports, brought up by testcontainers.

It runs beside whatever else runs on the machine, and a test may change files of the copy.
"""

import json
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from scripts.running import uploads_forgotten
from tests.support.waiting import DEADLINE as DEADLINE
from tests.support.waiting import eventually as eventually

if TYPE_CHECKING:
    from testcontainers.compose import DockerCompose

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".env", ".releases", "__pycache__", ".*_cache", ".hypothesis", "artifacts", "node_modules"
)
PUBLISHED = (
    "HTTP_PORT", "HTTPS_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT", "LOGS_PORT", "TRACES_PORT",
)  # fmt: skip
SERVED = "SIGHTGLASS_TEST_SERVED"
"""The variable that names the file of images to be removed when all tests have run."""
OF_WHAT_RUNS = {"exec", "logs", "port", "ps"}
"""What Compose does by the project's name: reading its files takes it longer than any of these."""


def say(message: str) -> None:
    """Print a progress line, past pytest's capture where `make test` says how (PROGRESS_TO)."""
    with Path(os.environ.get("PROGRESS_TO", "/dev/stderr")).open("a") as progress:
        progress.write(f"    … {message}\n")


class Stack:
    """One Compose project. `settings` are lines of its `.env`, on top of the template."""

    def __init__(self, directory: Path, *, profiles: list[str], **settings: str) -> None:
        self.directory = directory
        self.project = f"sightglass-test-{uuid.uuid4().hex[:8]}"
        ports = map(str, free_ports(len(PUBLISHED)))
        # An image of its own too: its build must not replace what another stack runs.
        self.settings = {
            "API_IMAGE": self.project,
            "API_CONTEXT": ".",
            "API_START_PERIOD": "600",
            **dict(zip(PUBLISHED, ports, strict=True)),
        } | settings
        self.profiles = profiles
        shutil.copytree(ROOT, directory, ignore=NOT_COPIED, dirs_exist_ok=True)
        self.env_file = directory / ".env"
        lines = [f"COMPOSE_PROJECT_NAME={self.project}", *(f"{name}={value}" for name, value in self.settings.items())]
        self.env_file.write_text((ROOT / ".env.template").read_text() + "\n".join(lines) + "\n")

    @cached_property
    def containers(self) -> "DockerCompose":
        """What testcontainers knows of the project."""
        from testcontainers.compose import DockerCompose  # most tests have no stack

        return DockerCompose(
            self.directory,
            compose_file_name="docker-compose.prod.yml",
            env_file=str(self.env_file),
            profiles=self.profiles,
            build=False,
        )

    def up(self) -> None:
        """Start everything and wait until it is healthy; on failure the containers' logs are in the error."""
        say(f"{self.project}: images")
        chosen = self.run(sys.executable, "scripts/images.py", COMPOSE_PROFILES=",".join(self.profiles))
        if chosen.returncode != 0:
            raise RuntimeError(chosen.stderr)
        say(f"{self.project}: building, starting, waiting until healthy")
        built = self.run("python3", "scripts/build.py")
        if built.returncode != 0:
            raise RuntimeError(built.stderr)
        try:
            self.containers.start()
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{error.stderr.decode()[-2000:]}\n{self.logs()}") from None
        say(f"{self.project}: healthy")

    def down(self) -> None:
        """Remove containers, networks, volumes and images."""
        with self.uploads_forgotten():
            # What a test has started beside, too; at once: how a service ends is what other tests see.
            self.compose("--profile", "*", "down", "--volumes", "--timeout", "0", check=False)
        self.remove_images()

    @contextmanager
    def uploads_forgotten(self) -> Iterator[None]:
        """Remove afterwards what Docker leaves of containers that are removed meanwhile."""
        ours = f"--filter=label=com.docker.compose.project={self.project}"
        with uploads_forgotten(docker("ps", "--all", "--quiet", ours).split()):
            yield

    def remove_images(self) -> None:
        """Remove the image built, what was laid over it, and the releases kept."""
        served = re.findall(r"^SERVED_IMAGE=(\S+)", self.env_file.read_text(), re.MULTILINE)
        kept = docker(
            "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"sightglass-local/{self.project}-release"
        ).split()
        # One that is laid over an image is named by its content: another stack may run it, or be about to.
        until_the_end = os.environ.get(SERVED)
        if until_the_end:
            with Path(until_the_end).open("a") as file:
                file.writelines(f"{image}\n" for image in served)
            served = []
        subprocess.run(["docker", "image", "rm", *served, *kept, self.project], capture_output=True, check=False)

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` on this project.

        Raises:
            RuntimeError: it failed, unless `check` is false; with its error output.

        """
        by_name = arguments[0] in OF_WHAT_RUNS
        command = ["docker", "compose", "-p", self.project] if by_name else self.containers.compose_command_property
        command = [*command, *arguments]
        result = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False)
        if check and result.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)}: {result.stderr or result.stdout}")
        return result

    def set(self, **settings: str) -> None:
        """Change settings, and what they change."""
        self.settings |= settings
        with self.env_file.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())
        self.compose("up", "--detach", "--wait")

    def check_every(self, seconds: int, service: str, *, retries: int) -> None:
        """Have the copy ask for a service's health more often than what is shipped does, from its next start on."""
        compose = self.directory / "docker-compose.prod.yml"
        found = re.compile(rf"(^  {service}:\n(?:    .*\n|\n)+?    healthcheck: {{)", re.MULTILINE)
        told, times = found.subn(rf"\g<1>interval: {seconds}s, retries: {retries}, ", compose.read_text())
        assert times == 1, service
        compose.write_text(told)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy of the tree, whatever its status."""
        # A make within `make test` would say which directory it enters.
        inherited = {
            name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
        }
        return subprocess.run(
            command, cwd=self.directory, env=inherited | environment, capture_output=True, text=True, check=False
        )

    def logs(self, *services: str, tail: int = 15) -> str:
        """Return the ends of the containers' logs."""
        return self.compose("logs", "--no-color", "--tail", str(tail), *services, check=False).stdout

    def inspect(self, *services: str) -> list[dict[str, Any]]:
        """Return `docker inspect` of the running containers."""
        ids = self.compose("ps", "--quiet", *services).stdout.split()
        inspected: list[dict[str, Any]] = json.loads(docker("inspect", *ids))
        return inspected

    @property
    def https_url(self) -> str:
        """The edge's address."""
        return f"https://localhost:{self.settings['HTTPS_PORT']}"

    @property
    def http_url(self) -> str:
        """The edge's address without TLS."""
        return f"http://localhost:{self.settings['HTTP_PORT']}"

    @cached_property
    def operator(self) -> str:
        """The operators' user and password, as they stand in a URL."""
        password = self.compose("exec", "-T", "--user", "10001", "operators", "cat", "/run/operators/password").stdout
        return f"operator:{password}"

    def operators_url(self, port: str) -> str:
        """Return an address at the operators' door, without the login."""
        return f"http://127.0.0.1:{self.settings[port]}"

    @property
    def prometheus_url(self) -> str:
        """Prometheus' address, with the login."""
        return self.operators_url("PROMETHEUS_PORT").replace("//", f"//{self.operator}@")

    @property
    def alertmanager_url(self) -> str:
        """Alertmanager's address, with the login."""
        return self.operators_url("ALERTMANAGER_PORT").replace("//", f"//{self.operator}@")

    @cached_property
    def certificate(self) -> Path:
        """The certificate the stack generated, to verify it by."""
        path = self.directory / "certificate.pem"
        path.write_text(self.compose("exec", "-T", "nginx", "cat", "/run/tls/tls.crt").stdout)
        return path

    @property
    def tls(self) -> ssl.SSLContext:
        """What a client trusts: that certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def client(self, **arguments: Any) -> httpx.Client:
        """Return an HTTP client of the edge that verifies its certificate."""
        defaults: dict[str, Any] = {"base_url": self.https_url, "verify": self.tls, "timeout": 30}
        return httpx.Client(**defaults | arguments)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the instant vector that Prometheus answers with."""
        answer = httpx.get(f"{self.prometheus_url}/api/v1/query", params={"query": expression}, timeout=30).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        """Return the one number of a query, `None` where it has no series."""
        result = self.query(expression)
        assert len(result) <= 1, f"{expression}: {len(result)} series"
        return float(result[0]["value"][1]) if result else None

    def wait_for_value(self, expression: str, expected: float) -> None:
        """Wait until a query has exactly this value, and still has it one scrape later."""
        self.wait_for_values({expression: expected})

    def wait_for_values(self, expected: Mapping[str, float]) -> None:
        """Wait until queries have exactly these values, all of them at once, and still have them one scrape later."""

        def found() -> dict[str, float | None]:
            return {expression: self.value(expression) for expression in expected}

        eventually(lambda: found() == expected, lambda: f"{found()}, not {expected}")
        self.wait_for_scrape()
        assert found() == expected

    def wait_for_scrape(self) -> None:
        """Wait until everything has been scraped once more."""
        start = time.time()

        def scraped() -> bool:
            found = self.query('min by (job) (timestamp(up{job=~"api|nginx|jobs"}))')
            at = {one["metric"]["job"]: float(one["value"][1]) for one in found}
            return at.keys() >= {"api", "nginx"} and min(at.values()) > start  # of a new stack, none is there at first

        eventually(scraped, lambda: "no new scrape")


def docker(*arguments: str) -> str:
    """Run a docker command that must succeed, for what it prints.

    Raises:
        RuntimeError: it did not; with its error output.

    """
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"docker {' '.join(arguments)}: {result.stderr}")
    return result.stdout.strip()


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on, all different, and none that a connection out may take before they are used."""
    # Of pytest's processes each has its own: what one has found free, another does not take meanwhile.
    process, of = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    own = range(10_000 + int(process.removeprefix("gw")), 32_768, int(of))  # below Linux' ephemeral ports
    with ExitStack() as held:
        ports: list[int] = []
        for port in random.sample(own, min(1_000, len(own))):
            with suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise RuntimeError("no free ports")


@contextmanager
def running_stack(*, profiles: list[str], **settings: str) -> Iterator[Stack]:
    """Bring a stack up for the time of a `with` block."""
    with tempfile.TemporaryDirectory(prefix="sightglass-") as directory:
        stack = Stack(Path(directory), profiles=profiles, **settings)
        try:
            stack.up()
            yield stack
        finally:
            stack.down()
