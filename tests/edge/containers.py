"""The edge alone, as the Compose file runs it: NGINX's container before replicas of the runtime image."""

import contextlib
import http.client
import itertools
import json
import shutil
import socket
import ssl
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families

from tests.stack import ROOT as ROOT
from tests.stack import docker as docker
from tests.support.certificates import self_signed
from tests.support.waiting import eventually as eventually

UNREAD = "/tmp/unread"
NGINX = "nginx.app"  # what the API knows it by


class Network:
    """A private Docker network with what runs in it."""

    def __init__(self, nginx_image: str, api_image: str, *, subnet: str | None = None) -> None:
        self.name = f"edge-test-{uuid.uuid4().hex[:8]}"
        self.nginx_image = nginx_image
        self.api_image = api_image
        self.containers: list[str] = []
        self._numbers = itertools.count()
        docker("network", "create", *(["--subnet", subnet] if subnet else []), self.name)

    def run(self, *arguments: str) -> str:
        """Start a container with the hardening of the Compose file; returns its name."""
        name = f"{self.name}-{next(self._numbers)}"
        self.containers.append(name)
        hardened = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        docker("run", "--detach", "--name", name, "--network", self.name, *hardened, *arguments)
        return name

    def start_api(self, alias: str = "api", ip: str | None = None, **environment: str) -> str:
        """Start a replica of tests/edge/app.py and wait until it is ready; returns its container's name."""
        variables = {
            "APP": "app:app",
            "WEB_CONCURRENCY": "1",
            "FORWARDED_ALLOW_NAMES": NGINX,
        } | environment
        name = self.run(
            "--network-alias", alias, *(["--ip", ip] if ip else []), "--tmpfs", "/tmp:uid=10001,gid=10001,mode=0700",
            "--volume", f"{ROOT}/tests/edge/app.py:/srv/app/app.py:ro",
            *(f"--env=SIGHTGLASS_{key}={value}" for key, value in variables.items()), self.api_image,
        )  # fmt: skip
        eventually(lambda: ready(f"http://{self.address(name)}:8000/ready"), lambda: self.errors(name))
        return name

    @property
    def gateway(self) -> str:
        """The host's address in this network."""
        subnet = docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", self.name)
        return str(ip_network(subnet)[1])

    def errors(self, container: str) -> str:
        """Return what a container wrote."""
        result = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
        return result.stdout + result.stderr

    def address(self, container: str) -> str:
        """Return a container's address in this network."""
        return docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)

    def remove(self, container: str) -> None:
        """Remove a container at once."""
        docker("rm", "--force", "--volumes", container)
        self.containers.remove(container)

    def close(self) -> None:
        """Remove everything."""
        if self.containers:
            docker("rm", "--force", "--volumes", *self.containers)
        docker("network", "rm", self.name)


def ready(url: str) -> bool:
    """Say whether this address answers 200."""
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


class Edge:
    """One NGINX container; `environment` is start.sh's. A `bare` configuration of another's takes the place of ours.

    `hosts` are the host's addresses its ports are published on, IPv6 ones in brackets.
    """

    def __init__(
        self,
        network: Network,
        directory: Path,
        environment: dict[str, str],
        *,
        bare: Path | None = None,
        unread: bool = False,
        cpus: str | None = None,
        hosts: Sequence[str] = ("127.0.0.1",),
    ) -> None:
        self.network = network
        self.directory = directory
        self.tls = directory / "tls"
        self.configuration = directory / "docker"
        shutil.copytree(ROOT / "docker", self.configuration, dirs_exist_ok=True)
        self.tls.mkdir(exist_ok=True)
        self.write_certificate("localhost")
        self.site = directory / "site"
        self.site.mkdir(exist_ok=True)
        state = directory / "state"
        state.mkdir(exist_ok=True)
        state.chmod(0o777)
        command = ["/bin/sh", "/etc/sightglass/nginx/start.sh"]
        if unread:  # its log goes into a pipe that nobody reads
            script = f"mkfifo {UNREAD}; exec 3<>{UNREAD}; exec sh {command[1]} >{UNREAD}"
            command = ["/bin/sh", "-c", script]
        if bare is not None:
            shutil.copy(bare, self.configuration / "bare.conf")
            command = ["/usr/sbin/nginx", "-c", "/etc/sightglass/bare.conf", "-g", "daemon off;"]
        self.container = network.run(
            "--network-alias", NGINX,
            "--user", "101:101", "--tmpfs", "/tmp:uid=101,gid=101,mode=0700,size=256m", "--stop-signal", "SIGQUIT",
            "--volume", f"{self.configuration}:/etc/sightglass:ro", "--volume", f"{self.tls}:/run/tls:ro",
            "--volume", f"{state}:/var/lib/edge", "--volume", f"{self.site}:/etc/site/nginx:ro",
            *(f"--env={name}={value}" for name, value in environment.items()),
            *(["--cpuset-cpus", cpus] if cpus else []),
            *(f"--publish={host}::{port}" for host in hosts for port in (8080, 8443)),
            "--entrypoint", command[0], network.nginx_image, *command[1:],
        )  # fmt: skip

    def wait(self) -> "Edge":
        """Wait until it listens."""
        eventually(lambda: ready(f"{self.internal_url}/health"), self.errors)
        self.http_port, self.https_port = self.port(8080), self.port(8443)
        return self

    def port(self, inside: int, host: str = "127.0.0.1") -> int:
        """Return the port of one of the host's addresses that a container's port is published on."""
        published = docker("port", self.container, str(inside)).splitlines()
        (found,) = (
            line.rpartition(":")[2] for line in published if line.rpartition(":")[0].strip("[]") == host.strip("[]")
        )
        return int(found)

    @property
    def internal_url(self) -> str:
        """The internal listener's address."""
        return f"http://{self.network.address(self.container)}:9113"

    @property
    def url(self) -> str:
        """The address clients use."""
        return f"https://localhost:{self.https_port}"

    @property
    def certificate(self) -> Path:
        """The certificate now in the mounted directory."""
        return self.tls / "tls.crt"

    def write_certificate(self, name: str) -> x509.Certificate:
        """Replace certificate and key the way renewal tools do: by renaming complete files."""
        certificate, pem, key = self_signed(name, "localhost")
        encoded = {"tls.key": key, "tls.crt": pem}
        for file, content in encoded.items():
            (self.tls / f"{file}.new").write_bytes(content)
            (self.tls / f"{file}.new").rename(self.tls / file)
        return certificate

    def context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts this edge."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def client(self, **arguments: Any) -> httpx.Client:
        """Return an HTTP client that verifies the certificate."""
        defaults: dict[str, Any] = {"base_url": self.url, "verify": self.context(), "timeout": 60}
        return httpx.Client(**defaults | arguments)

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container."""
        return subprocess.run(["docker", "exec", self.container, *command], capture_output=True, text=True, check=False)

    def network_of_its_own(self) -> list[str]:
        """Return the command that runs another where the container's ports are localhost's; it needs root.

        Chromium gives up what is under way when the machine's networks change, as other tests' containers make them.
        """
        process = docker("inspect", "--format", "{{.State.Pid}}", self.container)
        return ["nsenter", f"--net=/proc/{process}/ns/net"]

    def reload(self) -> subprocess.CompletedProcess[str]:
        """Make it read its files again and, if they are right, wait until only new workers take connections."""
        return self._replacing_workers("reload.sh")

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        """Have files that NGINX refuses, for a `with` block."""
        file = self.configuration / "nginx" / "http" / "gzip.conf"
        good = file.read_text()
        file.write_text(good + "gzips on;\n")
        try:
            yield
        finally:
            file.write_text(good)

    def pin(self, *addresses: str) -> None:
        """Send requests to these replicas only, or to all again."""
        assert self._replacing_workers("pin.sh", *addresses).returncode == 0

    def take_up(self) -> None:
        """Have it take up other lines of `site`, which it does, and wait until only new workers take connections."""
        assert self._replacing_workers("site.sh").returncode == 0

    def maintain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Switch maintenance on and wait until only workers that know of it take connections."""
        return self._replacing_workers("maintenance.sh", "on", *arguments)

    def _replacing_workers(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        before = self.workers()
        result = self.exec("sh", f"/etc/sightglass/nginx/{script}", *arguments)
        if result.returncode == 0:
            eventually(lambda: len(self.workers() - before) == len(before) and not before & self.workers())
        return result

    def exposition(self) -> str:
        """Return its metrics as text."""
        answer = httpx.get(f"{self.internal_url}/metrics", timeout=60)
        assert answer.status_code == 200
        return answer.text

    def counts(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return a metric's samples by the values of these labels, without the zeros."""
        return {
            tuple(sample.labels[label] for label in labels): sample.value
            for family in text_string_to_metric_families(self.exposition())
            for sample in family.samples
            if sample.name == name and sample.value
        }

    def log(self) -> list[dict[str, Any]]:
        """Return the access log; each line of stdout is JSON or the test fails."""
        result = subprocess.run(["docker", "logs", self.container], capture_output=True, check=True)
        return [json.loads(line) for line in result.stdout.decode().splitlines()]

    def line(self, request_id: str) -> dict[str, Any]:
        """Wait for a request's line of the access log; there is one."""
        eventually(lambda: [line for line in self.log() if line["request_id"] == request_id], self.errors)
        (line,) = (line for line in self.log() if line["request_id"] == request_id)
        return line

    def errors(self) -> str:
        """Return the error log."""
        return subprocess.run(["docker", "logs", self.container], capture_output=True, text=True, check=True).stderr

    def workers(self) -> set[str]:
        """Return the process ids of the workers that take new connections."""
        listing = docker("top", self.container, "-eo", "pid,args").splitlines()
        return {line.split()[0] for line in listing if line.endswith("worker process")}

    def connect(self, *, tls: bool = True) -> socket.socket:
        """Open a connection for bytes of the test's own."""
        raw = socket.create_connection(("127.0.0.1", self.https_port if tls else self.http_port), timeout=60)
        return self.context().wrap_socket(raw, server_hostname="localhost") if tls else raw

    def raw(self, request: bytes, *, tls: bool = True) -> tuple[int, dict[str, str], bytes]:
        """Send bytes as they are and read one answer; returns status, headers and body."""
        with self.connect(tls=tls) as connection:
            connection.sendall(request)
            response = http.client.HTTPResponse(connection)
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers, response.read()


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the other side closes, one way or the other."""
    received = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
        while chunk := connection.recv(65536):
            received += chunk
    return received
