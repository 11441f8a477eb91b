"""What is served, and what is refused before anything is."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from sightglass.environment import read_settings
from sightglass.server.settings import ServerSettings
from tests.server.server import ROOT, Server, prefixed
from tests.support.waiting import awaited

SHOP = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/shop")
async def shop() -> str:
    return "open"
"""


def _end(server: Server) -> tuple[int, str]:
    try:
        status = server.process.wait(30)
    finally:
        server.kill()
    return status, server.stderr()


@pytest.mark.parametrize(
    ("app", "line"),
    [
        ("absent.main:app", "APP=absent.main:app: there is no module absent in "),
        ("sample_app.main:absent", "APP=sample_app.main:absent: module sample_app.main has no attribute absent"),
    ],
)
def test_broken_app_ends_the_start_in_one_line(tmp_path: Path, app: str, line: str) -> None:
    server = Server(tmp_path, APP=app, WEB_CONCURRENCY="2")
    status, error = _end(server)
    assert status == 4
    assert error.startswith(line)
    assert error.count("\n") == 1
    assert "Traceback" not in server.stdout()


def test_debug_level_shows_where_the_app_broke(tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text("1 / 0\n")
    server = Server(tmp_path, path=tmp_path, APP="breaks:app", LOG_LEVEL="DEBUG")
    status, error = _end(server)
    assert status == 4
    assert (
        error == f"APP=breaks:app: importing it raised ZeroDivisionError: division by zero ({tmp_path}/breaks.py:1)\n"
    )
    (line,) = [line for line in server.lines() if line["logger"] == "sightglass.server.application"]
    assert line["exception"]["stack"][-1] == f"{tmp_path}/breaks.py:1 in <module>"


def test_wrong_setting_ends_the_start_in_one_line(tmp_path: Path) -> None:
    server = Server(tmp_path, LOG_FORMAT="xml")
    assert _end(server) == (2, "LOG_FORMAT=xml: not allowed; expected json or text\n")
    assert server.stdout() == ""


def test_tracing_that_cannot_start_ends_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path, WEB_CONCURRENCY="2", TRACING_ENABLED="true", OTEL_SPAN_EVENT_COUNT_LIMIT="many")
    assert _end(server) == (3, "")
    assert any("did not start: ValueError: OTEL_SPAN_EVENT_COUNT_LIMIT must be" in said for said in server.messages())
    assert "sample app started" not in server.messages()


EXITS = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise SystemExit("no licence")
"""


def test_app_that_exits_while_it_starts_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "exits.py").write_text(EXITS)
    assert _end(Server(tmp_path, path=tmp_path, APP="exits:app"))[0] == 3


def test_an_empty_setting_counts_as_unset() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "SIGHTGLASS_APP": "tests.sample_app.main:app",
        "SIGHTGLASS_WEB_CONCURRENCY": "",
    }
    command = [sys.executable, "-m", "sightglass.server", "--check-config"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("options", [(), ("-k", "asgi")], ids=["uvicorn", "plain-native"])
def test_app_in_a_package_named_as_ours_is_served(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "__init__.py").touch()
    (tmp_path / "api" / "shop.py").write_text(SHOP)
    with Server(tmp_path, *options, path=tmp_path, APP="api.shop:app", GUNICORN_TIMEOUT="10") as server:
        answer = server.get("/shop")
        assert answer.json() == "open"
        assert options or "server" not in answer.headers
        assert server.get("/health").json()["status"] == "healthy"
        server.client.close()
        assert server.stop() == 0
        assert len(server.access_lines(route="/shop")) == 1


def test_forwarded_address_counts_from_a_trusted_proxy_only(tmp_path: Path) -> None:
    forwarded = {"x-forwarded-for": "198.51.100.9"}
    clients = []
    for trusted in ("127.0.0.1", "192.0.2.0/24"):
        with Server(tmp_path, FORWARDED_ALLOW_IPS=trusted) as server:
            server.get("/", headers=forwarded)
            server.get("/")
            assert server.stop() == 0
            clients.append([line["client"] for line in server.access_lines(route="/")])
    (trusting, direct), (distrusting, same) = clients
    assert trusting != direct
    assert distrusting == same


@pytest.mark.parametrize(
    ("names", "believed"), [("localhost", True), ("nowhere.invalid,localhost", True), ("nowhere.invalid", False)]
)
def test_forwarded_address_counts_from_a_proxy_by_its_name(tmp_path: Path, names: str, believed: bool) -> None:
    with Server(tmp_path, FORWARDED_ALLOW_IPS="192.0.2.1", FORWARDED_ALLOW_NAMES=names) as server:
        server.get("/", headers={"x-forwarded-for": "198.51.100.9"})
        server.get("/")
        assert server.stop() == 0
        forwarded, direct = (line["client"] for line in server.access_lines(route="/"))
    assert (forwarded != direct) == believed


def test_development_takes_changed_code_up(tmp_path: Path) -> None:
    code = tmp_path / "shop.py"
    code.write_text(SHOP)
    with Server(tmp_path, path=tmp_path, APP="shop:app", ENVIRONMENT="development") as server:
        assert server.get("/shop", headers={"connection": "close"}).json() == "open"

        def closed() -> bool:
            said = _says(server)
            if said == "open":  # a change right after the start is none yet: gunicorn learns the files' times then
                code.write_text(SHOP.replace("open", "closed for today"))
            return said == "closed for today"

        awaited(closed)
        server.client.close()
        assert server.stop() == 0


def _says(server: Server) -> object:
    try:
        return server.get("/shop", headers={"connection": "close"}).json()
    except httpx.TransportError:  # between the two workers
        return None


def test_the_applications_own_variables_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(
        "import os\nfrom fastapi import FastAPI\napp = FastAPI()\n"
        "@app.get('/environment')\ndef environment() -> dict[str, str]: return dict(os.environ)\n"
    )
    theirs = {
        "ENVIRONMENT": "local", "LOG_LEVEL": "everything", "APP_NAME": "My App", "APP": "not ours", "PORT": "9000",
        "QUEUE_URL": "amqp://broker", "RUNS_DIR": "", "METRICS_PORT": "none",
        "TRACING_ENABLED": "maybe",
    }  # fmt: skip
    with Server(tmp_path, path=tmp_path, APP="theirs:app", environment=theirs) as server:
        seen = server.get("/environment").json()
    assert {name: seen.get(name) for name in theirs} == theirs


def test_what_gunicorn_would_take_for_its_own_stops_nobody() -> None:
    theirs = {"PATH": os.environ["PATH"], "WEB_CONCURRENCY": "auto", "FORWARDED_ALLOW_IPS": "nobody"}
    environment = theirs | prefixed({"APP": "tests.sample_app.main:app"})
    command = [sys.executable, "-m", "sightglass.server", "--check-config"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("prefix", ["", "SIGHTGLASS_"])
def test_a_platforms_port_counts_where_ours_is_unset(prefix: str) -> None:
    assert read_settings(ServerSettings, {f"{prefix}PORT": "9000"}).port == 9000
    assert read_settings(ServerSettings, {"PORT": "9000", "SIGHTGLASS_PORT": "8000"}).port == 8000
