"""The commands of the README on a copy of the tree: up, up again, down, up by the ordinary tool; nothing is lost."""

import shutil
from pathlib import Path

import pytest

from tests.stack import Stack, docker, eventually

COUNTED = 'max_over_time(sum(edge_http_requests_total{route="/health",status="200"})[1h:5s])'


def containers(stack: Stack) -> dict[str, str]:
    return {c["Name"]: c["Id"] for c in stack.inspect()}


def test_up_says_where_things_are(made: Stack) -> None:
    told = (made.directory / "up.out").read_text()
    assert f"https://localhost:{made.settings['HTTPS_PORT']}/" in told
    assert made.prometheus_url in told
    assert made.alertmanager_url in told
    assert "make credentials" in told
    if made.compose("ps", "--quiet", "grafana", check=False).stdout:
        assert f"http://127.0.0.1:{made.settings['GRAFANA_PORT']}/" in told
    else:
        assert "NOT RUNNING" in told


def test_up_again_changes_nothing(made: Stack) -> None:
    before = containers(made)
    result = made.run("make", "up")
    assert result.returncode == 0, result.stdout + result.stderr
    assert containers(made) == before


def test_the_ordinary_tool_sees_the_same_stack(made: Stack) -> None:
    before = containers(made)
    result = made.run("docker", "compose", "--profile", "monitoring", "up", "-d", "--wait")
    assert result.returncode == 0, result.stderr
    assert containers(made) == before
    standalone = shutil.which("docker-compose")
    if standalone is None or "v1" in made.run(standalone, "version", "--short").stdout:
        pytest.skip("no standalone docker-compose v2 on this machine")
    result = made.run(standalone, "--profile", "monitoring", "up", "-d", "--wait")
    assert result.returncode == 0, result.stderr
    assert containers(made) == before


def test_credentials_are_shown_when_asked_for(made: Stack) -> None:
    assert len(made.run("make", "credentials").stdout.removeprefix("Grafana: ").strip()) == 32


def test_data_certificate_and_password_outlive_down_and_up(made: Stack) -> None:
    made.wait_for_scrape()
    counted = (made.value(COUNTED) or 0) + 5
    with made.client() as client:
        for _ in range(5):
            assert client.get("/health").status_code == 200
    eventually(lambda: made.value(COUNTED) == counted, lambda: f"{COUNTED} is {made.value(COUNTED)}, not {counted}")
    password = made.run("make", "credentials").stdout
    made.compose("exec", "-T", "api", "sh", "-c", "echo kept > /app/runs/kept")
    assert made.run("make", "down").returncode == 0
    assert made.compose("ps", "--quiet").stdout == ""
    assert made.run("docker", "compose", "--profile", "monitoring", "up", "-d", "--wait").returncode == 0
    # The client still trusts the first certificate.
    with made.client() as client:
        assert client.get("/health").status_code == 200
    assert made.run("make", "credentials").stdout == password
    assert made.compose("exec", "-T", "api", "cat", "/app/runs/kept").stdout == "kept\n"
    assert (made.value(COUNTED) or 0) >= counted


def test_the_api_runs_without_monitoring(made: Stack) -> None:
    made.compose("stop", "prometheus", "alertmanager", "node-exporter", "blackbox-exporter")
    made.compose("restart", "api")
    with made.client() as client:
        eventually(lambda: client.get("/ready").status_code == 200, lambda: "not ready without monitoring")
    made.compose("up", "--detach", "--wait")


WRONG = [
    ("api", "WEB_CONCURRENCY", "many", "a whole number from 1 to 64; unset, what the CPU quota allows"),
    ("api", "LOG_FORMAT", "xml", "json or text"),
    ("api", "APP", "nothing", Path),
    ("nginx", "RATE_LIMIT", "fast", "a whole number from 1 to 1000000"),
    ("nginx", "MAX_REQUEST_SIZE_BYTES", "300MB", "a whole number from 1024 to 10737418240"),
    ("alertmanager", "ALERT_WEBHOOK_URL", "nowhere", "an http:// or https:// address"),
]


@pytest.mark.parametrize(("service", "name", "value", "expected"), WRONG)
def test_a_wrong_setting_stops_the_start_with_one_line(
    made: Stack, service: str, name: str, value: str, expected: object
) -> None:
    result = made.run("docker", "compose", "run", "--rm", "--no-deps", "-T", "-e", f"{name}={value}", service)
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line and not line.startswith((" Container", " Network"))]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"{name}={value}: not allowed; expected ")
    if isinstance(expected, str):
        assert lines[0].endswith(expected)


@pytest.mark.parametrize("app", ["nowhere:app", "api.main:nothing", "api.settings:Path.cwd"])
def test_an_app_that_is_not_there_stops_the_start_with_one_line(made: Stack, app: str) -> None:
    result = made.run("docker", "compose", "run", "--rm", "--no-deps", "-T", "-e", f"APP={app}", "api")
    assert result.returncode != 0
    lines = [line for line in (result.stdout + result.stderr).splitlines() if f"APP={app}" in line]
    assert len(lines) == 1, result.stdout + result.stderr


def test_up_shows_the_line_of_what_did_not_start(made: Stack) -> None:
    before = containers(made)
    result = made.run("make", "up", RATE_LIMIT="fast")
    assert result.returncode != 0
    assert "RATE_LIMIT=fast: not allowed; expected a whole number from 1 to 1000000" in result.stderr
    assert made.run("make", "up").returncode == 0
    assert {n: i for n, i in containers(made).items() if "nginx" not in n} == {
        n: i for n, i in before.items() if "nginx" not in n
    }


def test_a_deploy_builds_what_up_would(made: Stack) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "as copied"]):
        assert made.run(*git, *command).returncode == 0
    jobs = made.inspect("jobs")[0]["Id"]
    assert made.run("make", "deploy").returncode == 0
    assert made.inspect("jobs")[0]["Id"] != jobs
    with made.client() as client:
        assert client.get("/health").json()["version"] == made.run(*git, "describe", "--always").stdout.strip()
    before = containers(made)
    result = made.run("make", "up")
    assert result.returncode == 0, result.stderr
    assert containers(made) == before


def test_your_own_certificate_is_served(made: Stack) -> None:
    certificate, key = made.directory / "own.crt", made.directory / "own.key"
    as_root = ["run", "--rm", "--user", "0", "-v", f"{made.directory}:/out", made_image(made)]
    subject = ["-subj", "/CN=own.example", "-addext", "subjectAltName=DNS:own.example"]
    docker(
        *as_root, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
        *subject, "-keyout", "/out/own.key", "-out", "/out/own.crt",
    )  # fmt: skip
    docker(*as_root, "sh", "-c", "chown 10001 /out/own.key && chmod 600 /out/own.key")  # as private as can be
    result = made.run("make", "up", TLS_CERT=str(certificate), TLS_KEY=str(key))
    assert result.returncode == 0, result.stderr
    eventually(
        lambda: certificate.read_text() in made.compose("exec", "-T", "nginx", "cat", "/run/tls/tls.crt").stdout,
        lambda: "the own certificate is not in place",
    )
    refused = made.run("docker", "compose", "run", "--rm", "--no-deps", "-T", "setup", TLS_CERT=str(certificate))
    assert refused.returncode == 2
    assert "TLS_KEY" in refused.stderr


def made_image(stack: Stack) -> str:
    return str(stack.inspect("nginx")[0]["Config"]["Image"])
