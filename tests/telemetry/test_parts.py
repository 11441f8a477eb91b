"""The parts of the profile: how they are locked down, who can reach what, and that Prometheus scrapes them."""

import re

import httpx
import pytest

from monitoring.telemetry import JOBS
from tests.images.test_stand_ins import PINS
from tests.stack import docker, eventually
from tests.support.hardening import assert_hardened
from tests.telemetry.stores import Telemetry

pytestmark = pytest.mark.timeout(3600)  # the first to use the stack waits for its images' builds

INTERNAL = ["collector", "victoria-logs", "jaeger"]
DOOR = "telemetry-door"


@pytest.mark.parametrize("service", [*INTERNAL, DOOR])
def test_a_container_is_hardened(telemetry: Telemetry, service: str) -> None:
    (container,) = telemetry.inspect(service)
    config = container["Config"]
    # Docker's directory of log files is root's alone.
    assert (config["User"].split(":")[0] in ("", "0", "root")) == (service == "collector")
    assert_hardened(container)


@pytest.mark.parametrize("service", INTERNAL)
def test_a_part_has_no_way_out_and_no_published_port(telemetry: Telemetry, service: str) -> None:
    (container,) = telemetry.inspect(service)
    assert not container["HostConfig"]["PortBindings"]
    for network in container["NetworkSettings"]["Networks"]:
        assert docker("network", "inspect", "--format", "{{.Internal}}", network) == "true"


def test_the_collector_reads_files_alone_and_has_no_socket_of_dockers(telemetry: Telemetry) -> None:
    (container,) = telemetry.inspect("collector")
    mounts = {mount["Destination"]: mount for mount in container["Mounts"]}
    assert not mounts["/var/lib/docker/containers"]["RW"]
    assert not any("docker.sock" in mount["Source"] for mount in mounts.values())
    assert {path for path, mount in mounts.items() if mount["RW"]} == {"/var/lib/otelcol"}


@pytest.mark.parametrize("port", ["LOGS_PORT", "TRACES_PORT"])
def test_the_pages_are_behind_the_door(telemetry: Telemetry, port: str) -> None:
    address = telemetry.operators_url(port)
    page = {"LOGS_PORT": "/select/vmui/", "TRACES_PORT": "/"}[port]
    assert httpx.get(f"{address}{page}").status_code == 401
    assert httpx.get(f"{address}{page}", auth=("operator", "wrong")).status_code == 401
    assert httpx.get(f"{address}{page}", headers={"Host": "evil.example"}).status_code == 421
    assert httpx.get(f"{address}{page}", headers={"Origin": "http://evil.example"}).status_code == 403
    with_password = address.replace("//", f"//{telemetry.operator}@")
    assert httpx.get(f"{with_password}{page}").status_code == 200
    (door,) = telemetry.inspect(DOOR)
    assert {b["HostIp"] for bs in door["HostConfig"]["PortBindings"].values() for b in bs} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "path",
    ["/insert/jsonline", "/insert/opentelemetry/v1/logs", "/internal/force_flush", "/delete/run_task", "/metrics",
     "/debug/pprof/", "/flags", "//insert/jsonline", "/select/../insert/jsonline", "/%69nsert/jsonline"],
)  # fmt: skip
def test_nothing_is_written_through_the_door(telemetry: Telemetry, path: str) -> None:
    line = '{"_msg":"by the door","_time":"0"}'
    address = f"{telemetry.logs_url}{path}"
    request = httpx.Request("POST", address, content=line, extensions={"target": path.encode()})
    with httpx.Client(auth=("operator", telemetry.operator.partition(":")[2])) as client:
        assert client.send(request).status_code in (404, 405)
    assert telemetry.lines('"by the door"') == []


def test_prometheus_scrapes_each_part(telemetry: Telemetry) -> None:
    # By the password of the other door, which does not run here.
    for job in JOBS.split("|"):
        asked = f'up{{job="{job}"}}'

        def up(asked: str = asked) -> bool:
            command = ("promtool", "query", "instant", "http://127.0.0.1:9090", asked)
            return "=> 1 @" in telemetry.compose("exec", "-T", "prometheus", *command).stdout

        eventually(up, lambda asked=asked: asked)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("service", "arguments"), [("collector", ["--version"]), ("victoria-logs", ["-version"]), ("jaeger", ["version"])]
)
def test_what_runs_is_the_version_that_is_pinned(telemetry: Telemetry, service: str, arguments: list[str]) -> None:
    (container,) = telemetry.inspect(service)
    told = docker("run", "--rm", "--network=none", container["Config"]["Image"], *arguments)
    (pinned,) = re.findall(r":v?(\d+\.\d+\.\d+)", PINS[service])
    assert pinned in told


def test_traces_are_kept_for_a_time_that_can_be_read(telemetry: Telemetry) -> None:
    given = ("--env", "TRACES_RETENTION_TIME=a week")
    result = telemetry.compose("run", "--rm", "--no-deps", "-T", *given, "telemetry-setup", check=False)
    assert result.returncode == 2
    line = "TRACES_RETENTION_TIME=a week: not allowed; expected hours, minutes or seconds, such as 168h"
    assert line in result.stderr
