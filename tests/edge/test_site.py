"""Lines of the user's own in NGINX's server: taken up when NGINX takes them, and in nobody's way when it does not."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.edge.containers import Edge, Network, docker, eventually, ready

GOOD = """location = /robots.txt {
    add_header_inherit merge;
    default_type text/plain;
    return 200 "User-agent: *\\nDisallow: /\\n";
}
"""
ELSEWHERE = GOOD.replace("/robots.txt", "/ads.txt")
INSIDE_ONLY = """location /text {
    deny all;
    include nginx/location/pass.conf;
}
"""
BELOW = """location = /echo {
    include nginx/server/proxy.conf;
    proxy_set_header X-Forwarded-Prefix /shop;
    include nginx/location/pass.conf;
}
"""
WITHOUT_OURS = BELOW.replace("    include nginx/server/proxy.conf;\n", "")
BROKEN = {
    "unknown": ("bogus on;\n", 'unknown directive "bogus" in own.conf:1'),
    "unfinished": (
        "location = /robots.txt {\n    return 200;\n",
        'unexpected end of file, expecting "}" in own.conf:3',
    ),
    "twice": ("location / {\n    return 404;\n}\n", 'duplicate location "/" in docker/nginx.conf:'),
    "elsewhere": ("worker_processes 4;\n", '"worker_processes" directive is not allowed here in own.conf:1'),
    "missing": (
        "include nowhere.conf;\n",
        'open() "docker/nowhere.conf" failed (2: No such file or directory)',
    ),
    "value": ("client_max_body_size much;\n", '"client_max_body_size" directive invalid value in own.conf:1'),
    "a-host": ("location /x { proxy_pass http://nowhere.invalid; }\n", 'host not found in upstream "nowhere.invalid"'),
    "headers": (WITHOUT_OURS, "proxy_set_header without the edge's own; expected include nginx/server/proxy.conf"),
    "one-without": (BELOW + WITHOUT_OURS.replace("/echo", "/other"), "proxy_set_header without the edge's own"),
    "commented-out": (BELOW.replace("include nginx/server", "# include nginx/server"), "proxy_set_header without"),
}
LINE = "SITE_DIR/nginx: not taken up; expected lines that NGINX takes in its server: "


@pytest.fixture
def own(edge: Edge) -> Iterator[Edge]:
    """The edge, which has no lines of the user's before and after."""
    yield edge
    for file in edge.site.iterdir():
        file.unlink()
    if edge.exec("sh", "-c", "ls /tmp/nginx/site/").stdout:
        edge.take_up()


def write(edge: Edge, text: str, name: str = "own.conf") -> None:
    file = edge.site / name
    file.write_text(text)
    file.chmod(0o644)


def taken_up(edge: Edge) -> tuple[int, str]:
    result = edge.exec("sh", "/etc/sightglass/nginx/site.sh")
    return result.returncode, result.stderr


def status(edge: Edge, path: str) -> int:
    with edge.client() as client:
        return client.get(path).status_code


def test_own_lines_are_served_with_the_headers_and_the_counts_of_all_others(own: Edge) -> None:
    write(own, GOOD)
    own.take_up()
    with own.client() as client:
        answer = client.get("/robots.txt", headers={"x-request-id": "own-lines"})
    assert answer.text == "User-agent: *\nDisallow: /\n"
    assert answer.headers["x-request-id"] == "own-lines"
    assert "strict-transport-security" in answer.headers
    assert own.line("own-lines")["status"] == 200
    (own.site / "own.conf").unlink()
    own.take_up()
    assert status(own, "/robots.txt") == 404


def test_a_location_of_theirs_may_pass_on_to_the_application(own: Edge) -> None:
    before = status(own, "/text")
    assert before != 403
    write(own, INSIDE_ONLY)
    own.take_up()
    assert status(own, "/text") == 403
    write(own, INSIDE_ONLY.replace("deny all", "allow all"))
    own.take_up()
    assert status(own, "/text") == before


def test_a_header_of_theirs_goes_on_beside_the_edges_own(own: Edge) -> None:
    write(own, BELOW)
    own.take_up()
    with own.client() as client:
        told = client.get("/echo", headers={"x-forwarded-for": "203.0.113.9", "x-forwarded-prefix": "/theirs"}).json()
    assert told["headers"]["x-forwarded-prefix"][-1] == "/shop"
    assert told["headers"]["x-forwarded-for"] == [told["client"]]
    assert "203.0.113.9" not in str(told)
    assert "/theirs" not in str(told)


@pytest.mark.parametrize(
    "text",
    [
        INSIDE_ONLY + "location /dash { proxy_set_header X-Own 1; proxy_pass http://127.0.0.1:9; }\n",
        INSIDE_ONLY + "proxy_set_header X-Own 1;\n",
        INSIDE_ONLY + "# proxy_set_header X-Own 1;\n",
        INSIDE_ONLY.replace(
            "deny all;", 'if ($http_x_own ~ "^x{2}$") { return 403; }\n    # proxy_set_header X-Own 1;'
        ),
    ],
)
def test_headers_that_take_nothing_from_the_edges_are_taken_up(own: Edge, text: str) -> None:
    write(own, text)
    own.take_up()


@pytest.mark.parametrize("name", ["own.txt", "own.conf.bak", ".own.conf"])
def test_only_conf_files_count(own: Edge, name: str) -> None:
    write(own, "bogus on;\n", name)
    assert taken_up(own) == (0, "")


@pytest.mark.parametrize("name", BROKEN)
def test_broken_lines_are_one_line_and_those_before_stay(own: Edge, name: str) -> None:
    text, reason = BROKEN[name]
    write(own, GOOD, "good.conf")
    own.take_up()
    write(own, text)
    code, said = taken_up(own)
    assert code == 2
    assert said.startswith(LINE + reason), said
    assert said.count("\n") == 1
    # Nothing of it is in the way of a reload: a renewed certificate, a deploy's pin.
    reloaded = own.reload()
    assert (reloaded.returncode, reloaded.stderr) == (0, "")
    assert status(own, "/robots.txt") == 200


def test_lines_that_may_not_be_read_are_one_line(own: Edge) -> None:
    write(own, GOOD)
    (own.site / "own.conf").chmod(0o600)
    code, said = taken_up(own)
    assert (code, said.count("\n")) == (2, 1)
    assert "own.conf" in said
    assert "Permission denied" in said


def test_a_fault_elsewhere_is_not_laid_at_their_door(own: Edge) -> None:
    write(own, GOOD)
    gzip = own.configuration / "nginx/http/gzip.conf"
    text = gzip.read_text()
    gzip.write_text("bogus on;")
    try:
        assert taken_up(own) == (0, "")
        assert 'unknown directive "bogus" in /etc/sightglass/nginx/http/gzip.conf' in own.exec(
            "sh", "/etc/sightglass/nginx/reload.sh"
        ).stderr  # fmt: skip
    finally:
        gzip.write_text(text)


@pytest.fixture
def restarted(network: Network, api: str, tmp_path: Path) -> Iterator[Callable[[], Edge]]:
    """Give the same edge, started anew each time: its own lines and what it has kept stay."""
    edges: list[Edge] = []
    tmp_path.chmod(0o755)

    def start() -> Edge:
        if not edges:
            edges.append(Edge(network, tmp_path, {}))
        else:
            docker("restart", "--time", "1", edges[0].container)
        edge = edges[0]
        eventually(lambda: ready(f"{edge.internal_url}/health"), edge.errors)
        edge.http_port, edge.https_port = edge.port(8080), edge.port(8443)
        return edge

    yield start
    for edge in edges:
        network.remove(edge.container)


def test_a_start_over_broken_lines_has_the_last_good_ones(restarted: Callable[[], Edge]) -> None:
    edge = restarted()
    write(edge, "bogus on;\n")
    edge = restarted()
    assert LINE in edge.errors()
    assert status(edge, "/robots.txt") == 404
    write(edge, GOOD)
    edge = restarted()
    assert status(edge, "/robots.txt") == 200
    write(edge, "bogus on;\n")
    edge = restarted()
    assert edge.errors().count(LINE) == 2
    assert status(edge, "/robots.txt") == 200
    # Without any, it is not the time for former ones.
    (edge.site / "own.conf").unlink()
    edge = restarted()
    assert status(edge, "/robots.txt") == 404
    write(edge, "bogus on;\n")
    edge = restarted()
    assert status(edge, "/robots.txt") == 404


@pytest.mark.parametrize("name", ["good", "unknown", "twice"])
def test_a_check_says_it_before_a_start_does(own: Edge, network: Network, name: str) -> None:
    text, reason = BROKEN.get(name, (GOOD, ""))
    write(own, text)
    result = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "--read-only", "--user", "101:101", "--tmpfs", "/tmp:uid=101",
         "--volumes-from", own.container, "--entrypoint", "sh", network.nginx_image,
         "/etc/sightglass/nginx/start.sh", "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == (2 if reason else 0)
    assert result.stderr.startswith(LINE + reason if reason else "")
    assert result.stderr.count("\n") == bool(reason)
