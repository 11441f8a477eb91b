"""Every container is as locked down as the Compose file says, by the engine's own account."""

import pytest

from tests.stack import Stack, docker
from tests.support.hardening import assert_hardened

DOOR = "operators"
INTERNAL = ["api", "jobs", "prometheus", "node-exporter", "blackbox-exporter"]
SERVICES = ["nginx", *INTERNAL, "alertmanager", DOOR]


def test_the_list_is_complete(stack: Stack) -> None:
    running = set(stack.compose("ps", "--services").stdout.split())
    assert running - {"grafana"} == set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_container_is_hardened(stack: Stack, service: str) -> None:
    for container in stack.inspect(service):
        config, host = container["Config"], container["HostConfig"]
        assert config["User"].split(":")[0] not in ("", "0", "root")
        assert_hardened(container)
        assert host["LogConfig"]["Config"]["max-file"]
        assert container["State"]["Health"]["Status"] == "healthy"
        assert config["StopTimeout"] >= 5


def test_only_the_edge_is_on_every_interface(stack: Stack) -> None:
    for container in stack.inspect():
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        bindings = [b["HostIp"] for bs in (container["HostConfig"]["PortBindings"] or {}).values() for b in bs]
        if service == "nginx":
            assert bindings
        elif service == DOOR:
            assert set(bindings) == {"127.0.0.1"}
        else:
            assert bindings == []


@pytest.mark.parametrize("service", INTERNAL)
def test_what_needs_no_way_out_has_none(stack: Stack, service: str) -> None:
    for container in stack.inspect(service):
        for network in container["NetworkSettings"]["Networks"]:
            assert docker("network", "inspect", "--format", "{{.Internal}}", network) == "true"


@pytest.mark.parametrize("service", ["api", "jobs"])
def test_uploads_are_on_disk_and_in_no_memory(stack: Stack, service: str) -> None:
    mounts = stack.compose("exec", "-T", service, "cat", "/proc/mounts").stdout.splitlines()
    kinds = {place: kind for _, place, kind, *_ in (line.split(" ") for line in mounts)}
    assert {place: kinds[place] for place in ("/tmp", "/app/runs") if kinds[place] == "tmpfs"} == {}
    mode = stack.compose("exec", "-T", service, "stat", "-c", "%a", "/tmp").stdout.strip()
    assert mode == "1777"


def test_no_secret_in_any_environment(stack: Stack) -> None:
    read = ["run", "--rm", "--no-deps", "-T", "setup", "cat", "/run/credentials/grafana_admin_password"]
    grafana = stack.compose(*read).stdout
    assert len(grafana) == 32
    logs = stack.logs(tail=1000)
    for password in (grafana, stack.operator.removeprefix("operator:")):
        for container in stack.inspect():
            assert all(password not in line for line in container["Config"]["Env"])
        assert password not in logs


@pytest.mark.parametrize("tool", ["pip", "gcc", "cc", "curl", "wget"])
def test_the_api_image_has_no_tools(stack: Stack, tool: str) -> None:
    assert stack.compose("exec", "-T", "api", "sh", "-c", f"command -v {tool} || echo absent").stdout == "absent\n"


def test_the_api_image_has_no_pip_module(stack: Stack) -> None:
    asked = stack.compose("exec", "-T", "api", "python", "-m", "pip", check=False)
    assert asked.returncode != 0
    assert "No module named pip" in asked.stderr
