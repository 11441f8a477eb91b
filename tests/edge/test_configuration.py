"""The configuration itself: it loads, the linter finds nothing, and a wrong setting stops the start with one line."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sightglass.metrics.requests import DURATION_BUCKETS
from tests.edge.containers import ROOT, Edge, Network, docker

EVERYTHING_SET = {
    "SERVER_NAME": "localhost api.example.org",
    "TRUSTED_PROXIES": "10.0.0.0/8 fd00::/8 ::ffff:192.0.2.0/120",
    "RATE_LIMIT_EXEMPT": "192.0.2.1 2001:db8::/32 ::1 ::2:3 1:2:3:4:5:6:7:8 1:2:3:4:5:6:: ::3:4:5:6:7:8 1:2::5:6:7:8 "
    "1::8/128 ::1.2.3.4",
    "RATE_LIMIT_DRY_RUN": "true",
    "CACHED_PATHS": "/cached /openapi.json",
    "UNDERSCORES_IN_HEADERS": "false",
    "CORS_ORIGINS": "https://ui.example.org http://[::1]:5173",
    "UPSTREAM_HEAD_BYTES": "1048576",
    "HTTPS_PORT": "8443",
    "PUBLIC_PORT": "443",
    "HSTS_SECONDS": "0",
    "NGINX_WORKERS": "1",
    "SLOW_ROUTES": "/a/{b} /[c]/d:e",
    "RATE_PAGE_BURST": "0",
    "HTTP3": "true",
}

# What a reader of the repository cannot open: all else that NGINX reads is in docker/.
GENERATED = {
    "/tmp/nginx/http.conf",
    "/tmp/nginx/server.conf",
    "/tmp/nginx/upstream.conf",
    "/tmp/nginx/gate.conf",
    "/tmp/nginx/refuse.conf",
}
GENERATED |= {"/tmp/nginx/hsts.conf"}  # when the certificate changes


@pytest.fixture(scope="module")
def everything_set(start_edge: Callable[..., Edge]) -> Edge:
    return start_edge(**EVERYTHING_SET)


@pytest.mark.parametrize("which", ["edge", "everything_set"])
def test_nginx_and_the_security_linter_have_nothing_to_say(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    edge: Edge = request.getfixturevalue(which)
    tested = edge.exec("nginx", "-T", "-c", "/etc/sightglass/nginx.conf")
    assert tested.returncode == 0
    assert re.search(r"\[(warn|error|crit|alert|emerg)\]", tested.stderr + edge.errors()) is None, tested.stderr
    dump = tmp_path / "nginx.conf"
    dump.write_text(tested.stdout)
    read = re.findall(r"^# configuration file (\S+):$", tested.stdout, re.MULTILINE)
    assert {name for name in read if not name.startswith("/etc/sightglass/")} == GENERATED
    assert len(read) > 15
    version = re.search(r"nginx/([0-9.]+)", edge.errors())
    assert version is not None
    # `gzip off` may stand in an `if` of a location: so its documentation says, and test_proxying.py holds.
    lint = subprocess.run(
        [ROOT / ".venv/bin/gixy", "--nginx-version", version[1], "--skips", "if_is_evil", str(dump)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert lint.returncode == 0, lint.stdout


@pytest.fixture(scope="module")
def idle(network: Network, edge: Edge) -> Iterator[str]:
    """A container like the edge's in which nothing runs yet; its name."""
    container = docker(
        "run", "--detach", "--user", "101:101", "--read-only", "--tmpfs", "/tmp:uid=101", "--network", "none",
        "--volume", f"{ROOT}/docker:/etc/sightglass:ro", "--volume", f"{edge.tls}:/run/tls:ro",
        "--entrypoint", "sleep", network.nginx_image, "infinity",
    )  # fmt: skip
    yield container
    docker("rm", "--force", "--volumes", container)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_LIMIT", "0"),
        ("RATE_LIMIT", "ten"),
        ("RATE_LIMIT", "10r/s; return 200"),
        ("RATE_LIMIT", "99999999999999999999"),
        ("RATE_BURST", "-1"),
        ("RATE_PAGE_BURST", "many"),
        ("RATE_LIMIT_DRY_RUN", "yes"),
        ("RATE_LIMIT_EXEMPT", "example.org"),
        ("RATE_LIMIT_EXEMPT", "10.0.0.0/8;"),
        ("RATE_LIMIT_EXEMPT", "999.1.1.1"),
        ("RATE_LIMIT_EXEMPT", "10.0.0.256"),
        ("RATE_LIMIT_EXEMPT", "10.0.0.01"),
        ("RATE_LIMIT_EXEMPT", "10.0.0"),
        ("RATE_LIMIT_EXEMPT", "10.0.0.0/33"),
        ("RATE_LIMIT_EXEMPT", "::/129"),
        ("RATE_LIMIT_EXEMPT", "1::2::3"),
        ("RATE_LIMIT_EXEMPT", "1:2:3:4:5:6:7::"),
        ("RATE_LIMIT_EXEMPT", "1:2:3:4:5:6:7"),
        ("RATE_LIMIT_EXEMPT", "1:2:3:4:5:6:7:8:9"),
        ("RATE_LIMIT_EXEMPT", "fffff::"),
        ("TRUSTED_PROXIES", ":"),
        ("TRUSTED_PROXIES", "::ffff:10.0.0.300"),
        ("CONNECTION_LIMIT", "0"),
        ("MAX_REQUEST_SIZE_BYTES", "300m"),
        ("HTTPS_PORT", "65536"),
        ("PUBLIC_PORT", "443;"),
        ("SERVER_NAME", "a b;c"),
        ("SERVER_NAME", "two\nlines"),
        ("TRUSTED_PROXIES", "*"),
        ("CACHED_PATHS", "/"),
        ("CACHED_PATHS", "/a{}"),
        ("CACHED_PATHS", "/a /a"),
        ("CACHED_PATHS", "/a /b/c /a"),
        ("CACHED_PATHS", "/a /.well-known/acme-challenge/"),
        ("CORS_ORIGINS", "https://a.example https://a.example"),
        ("UPSTREAM_TIMEOUT", "1m"),
        ("UPSTREAM_HEAD_BYTES", "32k"),
        ("UPSTREAM_HEAD_BYTES", "4095"),
        ("HSTS_SECONDS", "forever"),
        ("TLS_CHECK_SECONDS", "0"),
        ("NGINX_WORKERS", "auto"),
        ("HTTP3", "on"),
        ("UNDERSCORES_IN_HEADERS", "on"),
        ("SLOW_ROUTES", "reports"),
        ("SLOW_ROUTES", "/a$b"),
        ("SLOW_ROUTES", "/a'; }"),
        ("UPSTREAM", "API"),
        ("UPSTREAM", "a b"),
        ("UPSTREAM", "api api"),
        ("UPSTREAM", " api"),
        ("UPSTREAM", "api\t"),
        ("UPSTREAM", " "),
        ("UPSTREAM", "api:8000"),
        ("UPSTREAM", "api;"),
        ("EDGES", "0"),
        ("EDGES", "two"),
        ("CORS_ORIGINS", "* https://ui.example.org"),
        ("CORS_ORIGINS", "ui.example.org"),
        ("CORS_ORIGINS", "https://ui.example.org/"),
        ("CORS_ORIGINS", "https://UI.example.org"),
        ("CORS_ORIGINS", "https://*.example.org"),
        ("CORS_ORIGINS", "https://ui.example.org:443"),
        ("CORS_ORIGINS", "https://a.example,https://b.example"),
        ("CORS_ORIGINS", 'https://a";return'),
        ("CORS_ORIGINS", "null"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(idle: str, name: str, value: str) -> None:
    start = ["/bin/sh", "/etc/sightglass/nginx/start.sh"]
    result = subprocess.run(
        ["docker", "exec", "--env", f"{name}={value}", idle, *start], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stdout == ""
    shown = re.escape(re.sub(r"[^ -~]", "?", value))
    assert re.fullmatch(rf"{name}={shown}: not allowed; expected .+\n", result.stderr), result.stderr


def test_a_name_may_be_as_long_as_names_are(start_edge: Callable[..., Edge]) -> None:
    start_edge(SERVER_NAME=".".join(["a" * 63] * 3 + ["b" * 60]))


def test_without_a_certificate_the_start_says_so(network: Network) -> None:
    result = subprocess.run(
        ["docker", "run", "--rm", "--user", "101:101", "--read-only", "--tmpfs", "/tmp:uid=101", "--network", "none",
         "--volume", f"{ROOT}/docker:/etc/sightglass:ro", "--entrypoint", "/bin/sh", network.nginx_image,
         "/etc/sightglass/nginx/start.sh"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == "/run/tls/tls.crt: not readable; expected a PEM file readable by uid 101\n"


def test_a_bad_configuration_is_refused_and_the_old_one_serves_on(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge()
    workers = edge.workers()
    with edge.broken(), edge.client() as client:
        refused = edge.reload()
        assert refused.returncode != 0
        assert 'unknown directive "gzips"' in refused.stderr
        assert edge.workers() == workers
        assert client.get("/echo").status_code == 200


def test_buckets_are_the_apis() -> None:
    source = (ROOT / "docker/nginx/metrics.js").read_text()
    found = re.search(r"^const BUCKETS = \[(.+)\];$", source, re.MULTILINE)
    assert found is not None
    assert tuple(float(bound) for bound in found[1].split(",")) == DURATION_BUCKETS


def test_only_the_two_public_ports_are_published(edge: Edge) -> None:
    published = {line.split(" ")[0] for line in docker("port", edge.container).splitlines()}
    assert published == {"8080/tcp", "8443/tcp"}
