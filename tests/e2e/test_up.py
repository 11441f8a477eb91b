"""The commands of the README on a copy of the tree: up, up again, down, up by the ordinary tool; nothing is lost."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from scripts.running import nameless
from tests.attacks.memory import Memory
from tests.stack import DEADLINE, ROOT, Stack, docker, eventually, say
from tests.support.waiting import awaited

COUNTED = 'max_over_time(sum(edge_http_requests_total{route="/health",status="200"})[1h:5s])'

EVERYTHING_OFF = {"nginx", "api", "jobs"}
"""The services where nothing is switched on; tests/scripts/test_variables.py looks that no other is started."""
LEAN_BYTES = 450 * 2**20
"""What these may hold at rest: no more than before there was more to switch on. docs/install.md says what was seen."""
ROUND_SECONDS = 12
"""In which every container's health is asked: docker/hardened.yml says each 10."""


def unit(key: str) -> list[str]:
    """Return a command of the unit that brings the stack back after a reboot."""
    text = (ROOT / "deploy" / "systemd" / "sightglass.service").read_text()
    (command,) = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    return shlex.split(command)


def containers(stack: Stack) -> dict[str, str]:
    return {c["Name"]: c["Id"] for c in stack.inspect()}


def test_up_says_where_things_are(made: Stack) -> None:
    told = (made.directory / "up.out").read_text()
    assert f"https://localhost:{made.settings['HTTPS_PORT']}/" in told
    assert made.operators_url("PROMETHEUS_PORT") in told
    assert made.operators_url("ALERTMANAGER_PORT") in told
    assert "make credentials" in told
    if made.compose("ps", "--quiet", "grafana", check=False).stdout:
        assert made.operators_url("GRAFANA_PORT") in told
    else:
        assert "NOT RUNNING" in told


def test_up_again_changes_nothing(made: Stack) -> None:
    before = containers(made)
    result = made.run("make", "up")
    assert result.returncode == 0, result.stdout + result.stderr
    assert containers(made) == before


def test_make_asks_the_stack(made: Stack) -> None:
    before = containers(made)
    health, ready = made.run("make", "--silent", "health-check").stdout.splitlines()
    assert json.loads(health)["status"] == "healthy"
    assert json.loads(ready) == {"ready": True}
    assert "# TYPE http_requests_total counter\n" in made.run("make", "--silent", "metrics").stdout
    for service, user in (("", "10001"), ("SERVICE=nginx", "101")):
        assert made.run("bash", "-c", f"echo 'id -u' | make --silent shell {service}").stdout == f"{user}\n"
    built = made.run("make", "build")
    assert built.returncode == 0, built.stderr
    assert containers(made) == before


def test_make_restarts_one_service(made: Stack) -> None:
    def started() -> dict[str, str]:
        return {c["Name"]: c["State"]["StartedAt"] for c in made.inspect()}

    before = started()
    assert made.run("make", "restart", "SERVICE=blackbox-exporter").returncode == 0
    (changed,) = (name for name, at in started().items() if at != before[name])
    assert "blackbox-exporter" in changed


def test_make_health_check_fails_where_the_edge_does_not_serve(made: Stack) -> None:
    assert made.run("make", "maintenance", "on").returncode == 0
    try:
        result = made.run("make", "--silent", "health-check")
    finally:
        assert made.run("make", "maintenance", "off").returncode == 0
    assert result.returncode != 0
    assert "503" in result.stdout + result.stderr


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
    door, grafana = made.run("make", "credentials").stdout.splitlines()
    assert door == f"Prometheus, Alertmanager, VictoriaLogs, Jaeger, MLflow: {made.operator.replace(':', ' ')}"
    assert len(grafana.removeprefix("Grafana: ")) == 32


def test_data_certificate_and_password_outlive_down_and_up(made: Stack) -> None:
    counted = (made.value(COUNTED) or 0) + 5
    with made.client() as client:
        for _ in range(5):
            assert client.get("/health").status_code == 200
    eventually(
        lambda: (made.value(COUNTED) or 0) >= counted, lambda: f"{COUNTED}: {made.value(COUNTED)}, not {counted}"
    )
    password = made.run("make", "credentials").stdout
    made.compose("exec", "-T", "api", "sh", "-c", "echo kept > /app/runs/kept")
    stopped = containers(made)
    assert made.run(*unit("ExecStop")).returncode == 0
    assert made.compose("ps", "--quiet").stdout == ""
    assert set(stopped.values()) <= set(made.compose("ps", "--all", "--quiet", "--no-trunc").stdout.split())
    assert made.run("make", "down").returncode == 0
    assert made.compose("ps", "--all", "--quiet").stdout == ""
    assert made.run("docker", "compose", "--profile", "monitoring", "up", "-d", "--wait").returncode == 0
    # The client still trusts the first certificate.
    with made.client() as client:
        assert client.get("/health").status_code == 200
    assert made.run("make", "credentials").stdout == password
    assert made.compose("exec", "-T", "api", "cat", "/app/runs/kept").stdout == "kept\n"
    assert (made.value(COUNTED) or 0) >= counted


def held(stack: Stack) -> dict[str, int]:
    """Return the most that a container of each service held during a round of health checks, in bytes."""
    with Memory(stack) as memory:
        time.sleep(ROUND_SECONDS)
    return {service: seen.most for service, seen in memory.held.items()}


def test_the_api_runs_without_monitoring_and_holds_little(made: Stack) -> None:
    monitoring = set(made.compose("ps", "--services").stdout.split()) - EVERYTHING_OFF
    made.compose("stop", *monitoring)
    made.compose("restart", "api")
    with made.client() as client:
        eventually(lambda: client.get("/ready").status_code == 200, lambda: "not ready without monitoring")
    # The workers have just begun, and do not rest yet.
    at_rest = awaited(lambda: held(made), lambda found: sum(found.values()) <= LEAN_BYTES)
    say(f"with everything off, at rest: {at_rest}, {sum(at_rest.values())} bytes in all")
    assert {service for service, most in at_rest.items() if most} == EVERYTHING_OFF
    before = containers(made)
    # As after a reboot: what the unit runs brings all of it back.
    result = made.run(*unit("ExecStart"))
    assert result.returncode == 0, result.stderr
    assert len(before) == len(containers(made)) - len(monitoring)
    assert before.items() <= containers(made).items()


# Every variable that names something of the host, the service that is given it, and where.
GIVEN = [
    ("APP_DIR", "api", "/srv/app"),
    ("MODELS_DIR", "api", "/models"),
    ("DATA_DIR", "api", "/data"),
    ("ALERT_SECRETS_DIR", "alertmanager", "/run/secrets"),
    ("API_KEYS_FILE", "api", "/run/keys/api_keys"),
    ("TLS_CERT", "setup", "/given/TLS_CERT"),
    ("TLS_KEY", "setup", "/given/TLS_KEY"),
]
READ_BY_SETUP = [name for name, _, _ in GIVEN if name != "ALERT_SECRETS_DIR"]


def is_directory(name: str) -> bool:
    return name.endswith("_DIR")


def run(stack: Stack, service: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    entrypoint = ["--entrypoint", command[0]] if command else []
    options = ["--rm", "--no-deps", "-T", *entrypoint]
    return stack.run("docker", "compose", "run", *options, service, *command[1:], **environment)


@pytest.mark.parametrize("service", sorted({service for _, service, _ in GIVEN}))
@pytest.mark.parametrize("how", ["given", "./given", "../{tree}/given", "{directory}/given"])
def test_a_path_of_the_host_is_mounted_however_it_is_written(made: Stack, service: str, how: str) -> None:
    targets = {name: target for name, of, target in GIVEN if of == service}
    given = made.directory / "given"
    given.mkdir()
    try:
        for name in targets:
            if is_directory(name):
                (given / name).mkdir()
                (given / name / "inside").write_text(f"{name}\n")
            else:
                (given / name).write_text(f"{name}\n")
        values = {name: f"{how}/{name}".format(directory=made.directory, tree=made.directory.name) for name in targets}
        inside = [f"{target}/inside" if is_directory(name) else target for name, target in targets.items()]
        shown = run(made, service, "cat", *inside, **values)
        assert shown.stdout.split() == list(targets), shown.stderr
    finally:
        shutil.rmtree(given)


@pytest.mark.parametrize(
    ("name", "service", "value"),
    [
        *((name, service, "missing") for name, service, _ in GIVEN),
        ("APP_DIR", "api", "./missing"),
        ("APP_DIR", "api", "{directory}/missing"),
    ],
)
def test_a_path_that_is_not_there_is_refused_and_not_made(made: Stack, name: str, service: str, value: str) -> None:
    given = value.format(directory=made.directory)
    result = run(made, service, "true", **{name: given})
    assert result.returncode != 0
    assert f"bind source path does not exist: {made.directory}/missing" in result.stderr
    assert not (made.directory / "missing").exists()


@pytest.mark.parametrize("name", READ_BY_SETUP)
@pytest.mark.parametrize("fault", ["kind", "mode"])
def test_a_path_of_the_wrong_kind_or_mode_is_refused_in_one_line(made: Stack, name: str, fault: str) -> None:
    given = made.directory / "given"
    if is_directory(name) == (fault == "mode"):
        given.mkdir()
    else:
        given.write_text("the host's")
    given.chmod(0o700 if fault == "mode" else 0o755)
    try:
        result = run(made, "setup", **{name: "given"})
        assert result.returncode == 2, result.stderr
        kind = "directory" if is_directory(name) else "file"
        assert said(result) == [f"{name}=given: not allowed; expected a {kind} that user 10001 may read"]
    finally:
        shutil.rmtree(given) if given.is_dir() else given.unlink()


def said(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what was written to stderr but Compose's own progress."""
    return [line for line in result.stderr.splitlines() if line and not line.startswith((" Container", " Network"))]


def test_a_file_of_variables_that_is_named_must_be_there(made: Stack) -> None:
    named = made.directory / "named.env"
    usual = made.directory / "app.env"
    named.write_text("MINE=by name\n")
    usual.write_text("MINE=by its usual name\n")
    try:
        assert run(made, "api", "printenv", "MINE").stdout == "by its usual name\n"
        assert run(made, "api", "printenv", "MINE", APP_ENV_FILE="named.env").stdout == "by name\n"
        missing = run(made, "api", "printenv", "MINE", APP_ENV_FILE="missing.env")
        assert missing.returncode != 0
        assert f"env file {made.directory}/missing.env not found" in missing.stderr
    finally:
        named.unlink()
        usual.unlink()
    assert run(made, "api", "true").returncode == 0


@pytest.mark.parametrize(
    "setting", ["APP_DIR=myapp", "MODELS_DIR=README.md", "TLS_KEY=missing", "API_START_PERIOD=2m", "WORKER_REPLICAS=2"]
)
def test_make_up_refuses_in_one_line_and_changes_nothing(made: Stack, setting: str) -> None:
    before = containers(made)
    name, _, value = setting.partition("=")
    result = made.run("make", "up", **{name: value})
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"{setting}: not allowed; expected ")
    assert containers(made) == before


@pytest.mark.parametrize(
    "command",
    [
        ["docker", "compose", "--profile", "monitoring", "up", "--detach"],
        ["python3", "scripts/deploy.py", "--scale-only", "--replicas", "1"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_old_name_of_jobs_replicas_is_refused_in_one_line(made: Stack, command: list[str]) -> None:
    before = containers(made)
    result = made.run(*command, WORKER_REPLICAS="2")
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert "WORKER_REPLICAS=2 not allowed; expected JOBS_REPLICAS, its new name" in line
    assert containers(made) == before


FORMER = """services:
  worker: {image: "IMAGE", command: [sleep, infinity], init: true, network_mode: none, deploy: {replicas: 2}}
"""


@pytest.mark.parametrize(
    "command", [["make", "up"], ["docker", "compose", "--profile", "monitoring", "up", "--detach"]]
)
def test_what_still_runs_under_a_former_name_is_ended_and_nothing_else(made: Stack, command: list[str]) -> None:
    before = containers(made)
    former = made.directory / "former.yml"
    former.write_text(FORMER.replace("IMAGE", made.settings["API_IMAGE"]))
    started = made.run("docker", "compose", "--file", "former.yml", "up", "--detach")
    assert started.returncode == 0, started.stderr
    assert len(made.inspect("worker")) == 2
    result = made.run(*command)
    assert result.returncode == 0, result.stderr
    assert containers(made) == before


SLOW = """from pathlib import Path

from fastapi import FastAPI
from sightglass import health

health.add_check("model", lambda: Path("/srv/app/go").exists() or "the model takes its time")
app = FastAPI()
"""


def test_an_api_that_takes_its_time_is_waited_for_and_up_says_so(made: Stack) -> None:
    code = made.directory / "slow"
    code.mkdir()
    (code / "slow.py").write_text(SLOW)
    settings = {"APP": "slow:app", "APP_DIR": "slow", "JOBS_REPLICAS": "0"}
    (uploads,) = nameless(made.compose("ps", "--quiet", "jobs").stdout.split())
    compose = made.directory / "docker-compose.prod.yml"
    shipped = compose.read_text()
    try:
        # Not ready within its start period and its health checks: given up, and said why. So many that one of the lines
        # that come every 10 seconds is between the first and the last.
        made.check_every(5, "api", retries=4)
        result = made.run("make", "up", API_START_PERIOD="1", **settings)
        assert result.returncode != 0
        assert "waiting for api (" in result.stdout
        assert "the model takes its time" in result.stdout
        assert "API_START_PERIOD=1: not enough for the API" in result.stderr
        assert uploads not in docker("volume", "ls", "--quiet").split()  # of the job process, which is gone
        (given_up,) = (container["Id"] for container in made.inspect("api"))
        # With a long one it may fail more.
        compose.write_text(shipped)
        made.check_every(5, "api", retries=3)
        failed: set[str] = set()  # when; the engine itself remembers the last five
        with (made.directory / "slow.out").open("w+") as out:
            environment = os.environ | settings | {"API_START_PERIOD": "86400"}
            up = subprocess.Popen(
                ["make", "up"], cwd=made.directory, env=environment, stdout=out, stderr=out, start_new_session=True
            )

            def failed_checks() -> int:
                try:
                    health = {c["Id"]: c["State"]["Health"] for c in made.inspect("api") if c["Id"] != given_up}
                except RuntimeError:  # one was replaced between being named and being looked at
                    return 0
                assert "unhealthy" not in {one["Status"] for one in health.values()}
                failed.update(check["Start"] for one in health.values() for check in one["Log"] if check["ExitCode"])
                return len(failed)

            try:
                eventually(  # what make up builds before is in it
                    lambda: failed_checks() > 3, lambda: (made.directory / "slow.out").read_text(), 2 * DEADLINE
                )
                (code / "go").touch()
                assert up.wait(DEADLINE) == 0, (made.directory / "slow.out").read_text()
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(up.pid, signal.SIGKILL)
    finally:
        shutil.rmtree(code)
        compose.write_text(shipped)
        assert made.run("make", "up").returncode == 0


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
    result = made.run("docker", "compose", "run", "--rm", "--no-deps", "-T", service, **{name: value})
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line and not line.startswith((" Container", " Network"))]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"{name}={value}: not allowed; expected ")
    if isinstance(expected, str):
        assert lines[0].endswith(expected)


@pytest.mark.parametrize("app", ["nowhere:app", "api.main:nothing", "api.settings:Path.cwd"])
def test_an_app_that_is_not_there_stops_the_start_with_one_line(made: Stack, app: str) -> None:
    result = made.run("docker", "compose", "run", "--rm", "--no-deps", "-T", "api", APP=app)
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


BROKEN = {
    "docker/nginx/http/gzip.conf": ("bogus on;", 'unknown directive "bogus"'),
    "docker/prometheus/rules/causes.yml": ("groups: [", "causes.yml"),
    "docker/prometheus.yml": ("global: [", "prometheus.yml"),
    "docker/operators/pass.conf": ("bogous on;", 'unknown directive "bogous"'),
    "docker/alertmanager.yml": ("route: [", "alertmanager.yml"),
}


@pytest.mark.parametrize("files", [
    ["docker/nginx/http/gzip.conf", "docker/prometheus.yml", "docker/operators/pass.conf"],
    ["docker/prometheus/rules/causes.yml", "docker/alertmanager.yml"],
], ids=" and ".join)  # fmt: skip
def test_up_over_a_broken_configuration_changes_nothing(made: Stack, files: list[str]) -> None:
    before, texts = containers(made), {file: (made.directory / file).read_text() for file in files}
    for file in files:
        (made.directory / file).write_text(BROKEN[file][0])
    try:
        result = made.run("make", "up", HSTS_SECONDS="1")  # for which NGINX would be another container
        assert result.returncode != 0
        for file in files:
            assert BROKEN[file][1] in result.stderr
        assert containers(made) == before
    finally:
        for file, text in texts.items():
            (made.directory / file).write_text(text)


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
