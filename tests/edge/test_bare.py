"""Without Docker: sightglass-api.service's command and variables, behind NGINX with deploy/nginx/sightglass.conf."""

import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.edge.containers import ROOT, Network, docker
from tests.stack import free_ports
from tests.support.certificates import self_signed
from tests.support.waiting import eventually

NAME = "shop.example"
UNIT = (ROOT / "deploy" / "systemd" / "sightglass-api.service").read_text()
CONF = (ROOT / "deploy" / "nginx" / "sightglass.conf").read_text()


@dataclass
class Bare:
    """The API as systemd would start it, and NGINX before it; `ports` are NGINX's for HTTP and HTTPS, and the API's."""

    process: subprocess.Popen[bytes]
    notified: socket.socket
    ports: list[int]
    metrics_port: int
    tls: ssl.SSLContext

    def client(self) -> httpx.Client:
        """A client of the edge, by its address, that asks for its name."""
        transport = httpx.HTTPTransport(verify=self.tls, http2=True)
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.ports[1]}", transport=transport, timeout=60, headers={"Host": NAME}
        )


@pytest.fixture(scope="module")
def bare(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    directory = tmp_path_factory.mktemp("bare")
    directory.chmod(0o755)
    http, https, port, metrics = free_ports(4)
    (state := directory / "state").mkdir()
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(str(directory / "notify"))
    notified.settimeout(120)
    told = dict(line.split("=", 1) for line in re.findall(r"^Environment=(.*)$", UNIT, re.MULTILINE))
    assert told["SIGHTGLASS_RUNS_DIR"] == "/var/lib/" + re.findall(r"^StateDirectory=(.*)$", UNIT, re.MULTILINE)[0]
    environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(directory / "notify")} | told | {
        "SIGHTGLASS_RUNS_DIR": str(state), "SIGHTGLASS_PORT": str(port), "SIGHTGLASS_METRICS_PORT": str(metrics),
        "SIGHTGLASS_WEB_CONCURRENCY": "1",
    }  # fmt: skip
    (command,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    words = [word.replace("/srv/sightglass/.venv-service/bin/python", sys.executable) for word in shlex.split(command)]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    _, pem, key = self_signed(NAME)
    for name, content in (("fullchain.pem", pem), ("privkey.pem", key)):
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o644)
    text = CONF
    for line, by in (
        ("listen [::]:80;", ""), ("listen [::]:443 ssl http2;", ""),
        ("listen 80;", f"listen 127.0.0.1:{http};"), ("listen 443 ssl http2;", f"listen 127.0.0.1:{https} ssl http2;"),
        ("127.0.0.1:8000", f"127.0.0.1:{port}"), ("rate=10r/s", "rate=1r/m"),
        (f"/etc/letsencrypt/live/{NAME}/", "/given/"), ("/srv/sightglass/", "/repository/"),
    ):  # fmt: skip
        assert line in text
        text = text.replace(line, by)
    (directory / "sightglass.conf").write_text(text)
    (directory / "nginx.conf").write_text(
        "pid /tmp/nginx.pid; error_log stderr notice; events {} http { access_log off; include /given/sightglass.conf;"
        + "".join(f" {kind}_temp_path /tmp/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + " }"
    )
    name = f"{network.name}-bare"
    try:
        docker(
            "run", "--detach", "--name", name, "--network", "host", "--read-only", "--tmpfs", "/tmp", "--user", "0",
            "--volume", f"{directory}:/given:ro", "--volume", f"{ROOT}:/repository:ro", "--entrypoint", "nginx",
            network.nginx_image, "-c", "/given/nginx.conf", "-g", "daemon off;",
        )  # fmt: skip
        running = Bare(process, notified, [http, https, port], metrics, ssl.create_default_context(cadata=pem.decode()))
        running.tls.check_hostname = False  # asked for by its address; whose it is, the certificate says
        direct = httpx.Client(base_url=f"http://127.0.0.1:{port}")
        eventually(lambda: ready(direct), lambda: (directory / "log").read_text())
        eventually(lambda: "worker process" in network.errors(name), lambda: network.errors(name))
        yield running
    finally:
        docker("rm", "--force", name)
        notified.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_systemd_is_told_when_it_serves(bare: Bare) -> None:
    assert b"READY=1" in bare.notified.recv(4096)


def test_it_serves_over_tls_and_http_2(bare: Bare) -> None:
    with bare.client() as client:
        answer = client.post("/api/v1/predict", json={"text": "Write to ada@example.org"})
        assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
        assert answer.json()["redacted"] == "Write to [EMAIL_ADDRESS]"
        assert "x-sightglass-route" not in answer.headers
    redirect = httpx.get(f"http://127.0.0.1:{bare.ports[0]}/health?a=b", headers={"Host": NAME})
    assert (redirect.status_code, redirect.headers["location"]) == (308, f"https://{NAME}/health?a=b")


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/metrics/", "/%6detrics", "/x/../metrics", "/METRICS"])
def test_metrics_are_not_reached_from_outside(bare: Bare, path: str) -> None:
    with bare.client() as client:
        assert client.get(path).status_code == 404
    assert "http_requests_total{" in httpx.get(f"http://127.0.0.1:{bare.metrics_port}/metrics").text


def test_nothing_listens_beyond_loopback(bare: Bare) -> None:
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    for port in (bare.ports[2], bare.metrics_port):
        assert re.findall(rf"(\S+):{port} ", listening) == ["127.0.0.1"]


def test_one_client_has_a_burst_and_then_429(bare: Bare) -> None:
    """At one request a minute, so that this does not depend on how fast the machine is."""
    with bare.client() as client:
        statuses = [client.get("/health").status_code for _ in range(30)]
    answered = statuses.count(200)
    assert 0 < answered <= 21
    assert statuses == [200] * answered + [429] * (30 - answered)


def test_it_ends_in_order(bare: Bare) -> None:
    """What KillMode=mixed sends first."""
    bare.process.terminate()
    assert bare.process.wait(60) == 0
