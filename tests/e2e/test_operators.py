"""The operators' door: who is let in to Prometheus, Alertmanager and Grafana, by which way, and who is not."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.edge.outside import Outside, outside
from tests.stack import Stack, docker, eventually

DOORS = {"PROMETHEUS_PORT": "/api/v1/query?query=up", "ALERTMANAGER_PORT": "/api/v2/silences"}
EVERY_DOOR = [*DOORS, "GRAFANA_PORT"]

# Tries each [host, port], so many at once; prints those that took the connection or, given a request, answered it.
TRY = """
import concurrent.futures, json, socket, sys
def works(one):
    try:
        with socket.create_connection(one, timeout=2) as connection:
            connection.settimeout(30)
            connection.sendall(sys.argv[2].encode())
            return not sys.argv[2] or connection.recv(1)
    except OSError:
        return False
tried = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(int(sys.argv[3])) as pool:
    print(json.dumps([one for one, worked in zip(tried, pool.map(works, map(tuple, tried))) if worked]))
"""
REQUEST = "GET / HTTP/1.1\r\nHost: 127.0.0.1:9090\r\nConnection: close\r\n\r\n"


def silence(until: datetime) -> dict[str, object]:
    matcher = {"name": "alertname", "value": ".+", "isRegex": True, "isEqual": True}
    times = {"startsAt": datetime.now(UTC).isoformat(), "endsAt": until.isoformat()}
    return {"matchers": [matcher], "createdBy": "attacker", "comment": "", **times}


def client(stack: Stack, port: str, *, login: bool = False) -> httpx.Client:
    auth = tuple(stack.operator.split(":")) if login else None
    return httpx.Client(base_url=stack.operators_url(port), auth=auth, timeout=30, trust_env=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(("port", "path"), DOORS.items())
def test_without_the_password_nobody_is_let_in(stack: Stack, port: str, path: str) -> None:
    user, password = stack.operator.split(":")
    with client(stack, port) as http:
        assert http.get(path).status_code == 401
        for wrong in ((user, ""), (user, password[:-1]), ("admin", password), (user, password + " ")):
            assert http.get(path, auth=wrong).status_code == 401
        assert http.get(path, auth=(user, password)).status_code == 200
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            assert http.request(method, path).status_code == 401


@pytest.mark.parametrize("port", EVERY_DOOR)
@pytest.mark.parametrize("name", [
    "evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "0.0.0.0:{port}", "localhost.evil.example",
    "prometheus:9090", "localhost:{port}@evil.example", "",
])  # fmt: skip
def test_another_name_is_refused(stack: Stack, port: str, name: str) -> None:
    """DNS rebinding: the browser has the name of the page, and may have the login."""
    with client(stack, port, login=True) as http:
        answer = http.get("/", headers={"Host": name.format(port=stack.settings[port])})
        assert answer.status_code in {400, 421}


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
def test_the_loopback_names_are_let_in_by_any_port(stack: Stack, name: str) -> None:
    with client(stack, "PROMETHEUS_PORT", login=True) as http:
        assert http.get("/-/ready", headers={"Host": f"{name}:19090"}).status_code == 200


@pytest.mark.parametrize("port", EVERY_DOOR)
@pytest.mark.parametrize("origin", [
    "https://evil.example", "null", "http://localhost:8000", "http://127.0.0.1", "https://127.0.0.1:{port}",
    "http://127.0.0.1:{port}.evil.example", "http://127.0.0.1:{port}, x",
])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_page_of_another_origin_is_refused(stack: Stack, port: str, origin: str, method: str) -> None:
    with client(stack, port, login=True) as http:
        headers = {"Origin": origin.format(port=stack.settings[port]), "Access-Control-Request-Method": "POST"}
        answer = http.request(method, DOORS.get(port, "/"), headers=headers)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(("site", "mode", "expected"), [
    ("cross-site", "no-cors", 403), ("same-site", "no-cors", 403), ("cross-site", "cors", 403),
    ("cross-site", "navigate", 200), ("same-origin", "cors", 200), ("none", "navigate", 200),
])  # fmt: skip
def test_a_link_leads_in_and_an_image_does_not(stack: Stack, site: str, mode: str, expected: int) -> None:
    with client(stack, "PROMETHEUS_PORT", login=True) as http:
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
        assert http.get("/api/v1/query?query=1", headers=headers).status_code == expected


@pytest.mark.parametrize(("port", "path"), DOORS.items())
def test_its_own_pages_are_served_and_no_origin_is_allowed(stack: Stack, port: str, path: str) -> None:
    with client(stack, port, login=True) as http:
        for headers in ({}, {"Origin": stack.operators_url(port)}):
            answer = http.get(path, headers=headers)
            assert answer.status_code == 200
            assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_an_operator_may_silence(stack: Stack) -> None:
    with client(stack, "ALERTMANAGER_PORT", login=True) as http:
        end = datetime.now(UTC) + timedelta(seconds=2)
        made = http.post(
            "/api/v2/silences", json=silence(end), headers={"Origin": stack.operators_url("ALERTMANAGER_PORT")}
        )
        assert made.status_code == 200
        assert http.delete(f"/api/v2/silence/{made.json()['silenceID']}").status_code == 200


def test_what_an_operator_changes_and_what_is_refused_is_in_the_log(stack: Stack) -> None:
    with client(stack, "ALERTMANAGER_PORT") as http:
        assert http.post("/api/v2/silences/refused", json={}).status_code == 401
    eventually(lambda: '"path":"/api/v2/silences/refused","status":401' in stack.logs("operators", tail=100))


def addresses(stack: Stack, *services: str) -> list[str]:
    """Return every address of these services' containers."""
    networks = [c["NetworkSettings"]["Networks"].values() for c in stack.inspect(*services)]
    return [network["IPAddress"] for of_one in networks for network in of_one]


@pytest.mark.parametrize("service", ["api", "jobs"])
def test_the_application_reaches_no_operators_service(stack: Stack, service: str) -> None:
    """No silence, no false alert, no reload and no query: there is nothing to send them to."""
    ours = addresses(stack, "prometheus", "alertmanager", "operators", "blackbox-exporter", "node-exporter")
    tried = [[host, port] for host in ours for port in (9090, 9093, 3000, 9115, 9100)]
    assert opened(stack, service, [*tried, ["nginx.app", 8443]]) == [["nginx.app", 8443]]


def opened(stack: Stack, service: str, tried: list[list[Any]]) -> list[list[Any]]:
    """Return those of the [host, port] to which a service's container can open a connection."""
    found = stack.compose("exec", "-T", service, "python3", "-c", TRY, json.dumps(tried), "", "16")
    reached: list[list[Any]] = json.loads(found.stdout)
    return reached


@pytest.fixture
def listening() -> Iterator[int]:
    """A service of the host that listens on every address; its port."""
    with socket.create_server(("0.0.0.0", 0)) as server:  # the kernel takes the connections
        yield server.getsockname()[1]


@pytest.mark.parametrize("service", ["api", "jobs"])
def test_the_application_reaches_no_service_of_the_host(stack: Stack, listening: int, service: str) -> None:
    """By no address of the host, the ends of all bridges among them."""
    shown = subprocess.run(["ip", "-4", "-json", "address"], capture_output=True, text=True, check=True).stdout
    own = [a["local"] for device in json.loads(shown) for a in device["addr_info"] if not a["local"].startswith("127.")]
    (container,) = stack.inspect(service)
    gateways = [n["Gateway"] for n in container["NetworkSettings"]["Networks"].values() if n["Gateway"]]
    subnets = [docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", name)
               for name in container["NetworkSettings"]["Networks"]]  # fmt: skip
    tried = [[host, listening] for host in dict.fromkeys((*gateways, *subnets, *own))]
    assert opened(stack, service, tried) == []


@pytest.fixture(scope="module")
def cable() -> Iterator[Outside]:
    with outside() as made:
        yield made


def test_a_neighbour_reaches_the_edge_and_nothing_else(stack: Stack, cable: Outside) -> None:
    """By the host's address, and by every container's own, with a route to its network by way of the host."""
    inside = ["ip", "netns", "exec", cable.namespace]
    subprocess.run([*inside, "ip", "route", "add", "default", "via", cable.host], check=True)
    published = [stack.settings[name] for name in ("HTTP_PORT", "HTTPS_PORT", *EVERY_DOOR)]
    direct = [[a, p] for a in addresses(stack) for p in (9090, 9093, 3000, 9115, 9100, 9113, 9464, 8000, 9080)]
    tried = [*([cable.host, int(port)] for port in published), *direct]
    found = subprocess.run(
        [*inside, sys.executable, "-c", TRY, json.dumps(tried), REQUEST, "64"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert json.loads(found) == [[cable.host, int(port)] for port in published[:2]]


def test_a_wrong_setting_stops_the_start_with_one_line(stack: Stack) -> None:
    run = ["run", "--rm", "--no-deps", "-T", "-e", "OPERATORS_ANONYMOUS=perhaps", "operators"]
    said = stack.compose(*run, check=False).stderr
    assert re.findall(r"^OPERATORS.*$", said, re.MULTILINE) == [
        "OPERATORS_ANONYMOUS=perhaps: not allowed; expected true or false"
    ]


def test_one_variable_leaves_it_without_a_password_names_and_origins_still_checked(stack: Stack) -> None:
    def set_it(value: str) -> None:
        with stack.env_file.open("a") as file:
            file.write(f"OPERATORS_ANONYMOUS={value}\n")
        stack.compose("up", "--detach", "--no-deps", "--wait", "operators")

    set_it("true")
    try:
        for port, path in DOORS.items():
            with client(stack, port) as http:
                assert http.get(path).status_code == 200
                assert http.get(path, headers={"Host": "evil.example"}).status_code == 421
                assert http.get(path, headers={"Origin": "https://evil.example"}).status_code == 403
    finally:
        set_it("false")
    with client(stack, "PROMETHEUS_PORT") as http:
        assert http.get("/-/ready").status_code == 401


def test_another_password_takes_the_place_of_the_old_one_from_one_request_to_the_next(stack: Stack) -> None:
    old = stack.operator
    result = stack.run("make", "rotate", "SECRET=operators")
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        "==> done: the new password is taken, the old one is refused; the new one: make credentials\n"
    )
    del stack.__dict__["operator"]
    assert stack.operator != old
    with client(stack, "PROMETHEUS_PORT", login=True) as http:
        assert http.get("/-/ready").status_code == 200
        assert http.get("/-/ready", auth=tuple(old.split(":"))).status_code == 401  # type: ignore[arg-type]
    refused = stack.run("make", "rotate", "SECRET=grafanas")
    (line, *_) = refused.stderr.splitlines()
    assert line.startswith("SECRET=grafanas: not allowed; expected one of operators, ")
