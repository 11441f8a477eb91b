"""What an application does to `logging` and stdout is its own affair: the stack's lines are written all the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.server.server import Server
from tests.support.waiting import awaited

APPLICATION = """
import asyncio
import io
import logging
import logging.config
import os
import sys
from contextlib import asynccontextmanager

from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

log = logging.getLogger("shop")


class Intercept(logging.Handler):
    def emit(self, record):
        print("intercepted", record.getMessage(), file=sys.stderr)


class Quiet(logging.Logger):
    def isEnabledFor(self, level):
        return False


class Broken:
    def describe(self):
        return []

    def collect(self):
        raise LookupError


REGISTRY.register(Broken())


def loggers():
    return [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]


def configure():
    {statements}


@asynccontextmanager
async def lifespan(app):
    if "lifespan" in "{places}":
        configure()
    yield


def index(request):
    log.error("in the shop")
    return JSONResponse({{}})


def late(request):
    if "request" in "{places}":
        configure()
    return JSONResponse({{}})


def boom(request):
    raise RuntimeError("boom")


async def boom_in_socket(socket):
    await socket.accept()
    raise ConnectionAbortedError("boom")


async def forgotten(request):
    async def fail():
        raise ZeroDivisionError

    asyncio.get_running_loop().call_later(0, lambda: asyncio.ensure_future(fail()))
    return JSONResponse({{}})


routes = [Route("/a", index), Route("/late", late), Route("/boom", boom), Route("/forgotten", forgotten)]
app = Starlette(routes=[*routes, WebSocketRoute("/socket", boom_in_socket)], lifespan=lifespan)
if "import" in "{places}":
    configure()
"""
DICT_CONFIG = (
    'logging.config.dictConfig({"version": 1, "handlers": {"c": {"class": "logging.StreamHandler"}}, '
    '"root": {"level": "INFO", "handlers": ["c"]}})'
)
FILE_CONFIG = (
    'logging.config.fileConfig(io.StringIO("[loggers]\\nkeys=root\\n[handlers]\\nkeys=h\\n[formatters]\\nkeys=\\n'
    '[logger_root]\\nlevel=INFO\\nhandlers=h\\n[handler_h]\\nclass=StreamHandler\\nargs=()\\n"))'
)
EVERYWHERE = "import lifespan request"
CASES = {
    "dictConfig at import": (DICT_CONFIG, "import"),
    "dictConfig in the lifespan": (DICT_CONFIG, "lifespan"),
    "dictConfig in a request": (DICT_CONFIG, "request"),
    "fileConfig": (FILE_CONFIG, EVERYWHERE),
    "basicConfig": ("logging.basicConfig(force=True, level='CRITICAL')", EVERYWHERE),
    "an intercepting handler": (
        "logging.basicConfig(force=True, level=0, handlers=[Intercept()])\n"
        "    for logger in loggers()[1:]: logger.handlers, logger.propagate = [], True",
        EVERYWHERE,
    ),
    "disable": ("logging.disable(logging.CRITICAL)", EVERYWHERE),
    "shutdown": ("logging.shutdown()", EVERYWHERE),
    "loggers off": (
        "for logger in loggers():\n"
        "        logger.disabled, logger.propagate, logger.level = True, False, 99\n"
        "        logger.handlers.clear(); logger.handlers = []\n"
        "        logger.setLevel(99); logger.addFilter(lambda record: False)",
        EVERYWHERE,
    ),
    "levels down": ("for logger in loggers(): logger.setLevel(1)", EVERYWHERE),
    "handlers' levels and formats": (
        "logging.addLevelName(40, 'oh no'); logging.addLevelName(20, 'mine')\n"
        "    for logger in loggers():\n"
        "        for handler in logger.handlers:\n"
        "            handler.setLevel(99); handler.setFormatter(logging.Formatter('mine %(message)s'))",
        EVERYWHERE,
    ),
    "a logger class": ("logging.setLoggerClass(Quiet)", EVERYWHERE),
    "stdout closed": ("sys.stdout and sys.stdout.close(); sys.stdout = open(os.devnull, 'w')", EVERYWHERE),
    "descriptor closed": ("os.dup2(2, 1); os.close(1); os.open(os.devnull, os.O_WRONLY)", EVERYWHERE),
}


def start(directory: Path, statements: str, places: str, log_level: str = "INFO") -> Server:
    (directory / "shop.py").write_text(APPLICATION.format(statements=statements, places=places))
    return Server(directory, path=directory, APP="shop:app", GUNICORN_TIMEOUT="10", LOG_LEVEL=log_level)


def lines(server: Server) -> list[dict[str, Any]]:
    """Return the lines in the stack's format; an application may print others."""
    found = [line for line in server.stdout().splitlines() if line.startswith('{"timestamp"')]
    return [json.loads(line) for line in found]


@pytest.mark.parametrize("case", CASES)
def test_no_line_of_the_stack_can_be_cut(tmp_path: Path, case: str) -> None:
    with start(tmp_path, *CASES[case]) as server:
        for number, path in enumerate(["/a", "/late", "/a", "/boom", "/a", "/forgotten"]):
            status = server.get(path, headers={"x-request-id": f"request-{number}"}).status_code
            assert status == (500 if path == "/boom" else 200)
        with server.socket("/socket") as socket:
            socket.wait_closed()
        server.get("/metrics")
        server.client.close()
        assert server.stop() == 0
        found = lines(server)
        requests = [(line["path"], line["status"]) for line in found if line["logger"] == "api.access"]
        assert requests == [
            *(("/a", 200), ("/late", 200), ("/a", 200), ("/boom", 500), ("/a", 200), ("/forgotten", 200)),
            ("/socket", 101),
        ]
        exceptions = [(line["logger"], line["exception"]["type"]) for line in found if "exception" in line]
        assert sorted(exceptions) == [
            ("api.error", "ConnectionAbortedError"),
            ("api.error", "RuntimeError"),
            ("asyncio", "ZeroDivisionError"),
        ]
        (report,) = [line for line in found if line.get("route") == "/boom" and line["logger"] == "api.error"]
        assert (report["level"], report["request_id"], report["method"]) == ("ERROR", "request-3", "GET")
        assert report["exception"]["stack"][-1].endswith("in boom")
        messages = [line["message"] for line in found]
        assert messages.count("Application startup complete.") == 1
        assert messages.count("Shutting down: Master") == 1
        assert messages.count("collector Broken failed: LookupError") == 2  # at the scrape and at the end
        assert "RuntimeError" not in server.stderr()


@pytest.mark.parametrize(
    ("level", "case", "written"),
    [
        ("DEBUG", "loggers off", {"/a": 1, "/boom": 1, "/health": 1, "exception": 1}),
        ("WARNING", "levels down", {"exception": 1}),
        ("CRITICAL", "levels down", {}),
    ],
)
def test_only_the_operators_level_counts(tmp_path: Path, level: str, case: str, written: dict[str, int]) -> None:
    with start(tmp_path, *CASES[case], log_level=level) as server:
        for path in ("/late", "/a", "/health", "/boom"):
            server.get(path)
        server.client.close()
        assert server.stop() == 0
        found = lines(server)
        paths = [line["path"] for line in found if line["logger"] == "api.access" and "/ready" not in line["path"]]
        counts = {path: paths.count(path) for path in paths if path != "/late"}
        if exceptions := sum("exception" in line for line in found):
            counts["exception"] = exceptions
        assert counts == written


def test_what_the_application_logs_is_written_as_it_configured_it(tmp_path: Path) -> None:
    config = (
        '{"version": 1, "formatters": {"f": {"format": "mine %(levelname)s %(name)s %(message)s"}}, "handlers": {"c": '
        '{"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "f"}}, '
        '"root": {"handlers": ["c"]}}'
    )
    with start(tmp_path, f"logging.config.dictConfig({config}); log.disabled = False", "import") as server:
        server.get("/a")
        awaited(lambda: "mine" in server.stdout())
        assert server.stop() == 0
        assert server.stdout().splitlines().count("mine ERROR shop in the shop") == 1
        assert server.stdout().count("in the shop") == 1


def test_application_that_configures_nothing_logs_in_the_stacks_format(tmp_path: Path) -> None:
    with start(tmp_path, "pass", EVERYWHERE) as server:
        server.get("/a", headers={"x-request-id": "mine-1"})
        assert server.stop() == 0
        assert [line["logger"] for line in lines(server) if line.get("request_id") == "mine-1"] == [
            "shop",
            "api.access",
        ]


def test_address_of_a_client_is_in_no_line_of_an_applications_handler(tmp_path: Path) -> None:
    with start(tmp_path, CASES["an intercepting handler"][0], EVERYWHERE) as server:
        with server.socket("/socket?text=private4711") as socket:
            socket.wait_closed()
        server.get("/boom?text=private4711")
        assert server.stop() == 0
        for output in (server.stdout(), server.stderr()):
            assert "private4711" not in output
            assert '"WebSocket ' not in output
