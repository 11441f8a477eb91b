"""Environments with the oldest and the newest packages that the library says it runs on, and what must hold in each."""

import os
import subprocess
import sys
from pathlib import Path

from tests.server.server import ROOT, Server
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.waiting import awaited, eventually

UV = str(Path(sys.executable).with_name("uv"))
CATALOGUE = ROOT / "tests" / "apps" / "catalogue"
NOTES = ROOT / "tests" / "apps" / "notes"
FORMS = "python-multipart==0.0.20"  # the catalogue's own need
HOST_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def environment(directory: Path, python: str, resolution: str, *more: str, tracing: bool = False) -> str:
    """Make a virtual environment by pyproject.toml's own floors (`lowest-direct`) or ceilings (`highest`).

    OpenTelemetry is in it only with `tracing`.

    Returns:
        Its Python.

    """
    return install(
        directory, python, resolution, "--only-binary", ":all:", *("--extra", "tracing") * tracing, FORMS, *more
    )


def install(directory: Path, python: str, resolution: str, *more: str) -> str:
    """Make a virtual environment with the server and more packages, which uv chooses together.

    Returns:
        Its Python.

    """
    given = {"SSL_CERT_FILE": HOST_CA_BUNDLE, "UV_HTTP_TIMEOUT": "180"} | os.environ  # old packages come slowly
    project = ("-r", str(ROOT / "pyproject.toml"), "--extra", "server")
    for command in (
        ("venv", "--quiet", "--python", python, str(directory)),
        (
            "pip", "install", "--quiet", "--native-tls", "--python", str(directory), "--resolution", resolution,
            *project, *more,
        ),
    ):  # fmt: skip
        result = subprocess.run([UV, *command], env=given, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
    return str(directory / "bin" / "python")


def serves(directory: Path, python: str) -> None:
    """Serve an application and look at what it is served for: answers, counts, names, ids, an end in order."""
    with Server(directory, path=CATALOGUE, python=python, APP="catalogue.main:app", WEB_CONCURRENCY="2") as server:
        ask(server)
        with server.socket("/books/7/talk") as socket:
            socket.send("hello")
            assert socket.recv() == "hello"
        fails(server)
        server.client.close()
        assert server.stop() == 0


def fails(server: Server) -> None:
    """Meet an exception: one line with its stack, without its message."""
    assert server.get("/books/-41", headers={"x-request-id": "none"}).status_code == 500
    (line,) = awaited(lambda: [line for line in server.lines() if "exception" in line])
    assert (line["request_id"], line["exception"]["type"]) == ("none", "LookupError")
    assert line["exception"]["stack"][-1].endswith(" in book")
    assert "-41" not in str(line["exception"])


def serves_flask(directory: Path, python: str) -> None:
    """Serve an application of Flask's; an old one has no signals without a package it does not ask for."""
    with Server(directory, path=NOTES, python=python, APP="notes:create_app") as server:
        assert server.get("/notes/7").json() == {"number": 7}
        eventually(lambda: counted(server, "/notes/{number}") == 1, lambda: server.get("/metrics").text)


def traces(directory: Path, python: str) -> None:
    """Serve it with tracing on: each request has one span, by its template, whose ids are in its line."""
    with (
        OtlpReceiver() as receiver,
        Server(
            directory,
            path=CATALOGUE,
            python=python,
            APP="catalogue.main:app",
            WEB_CONCURRENCY="2",
            TRACING_ENABLED="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        ) as server,
    ):
        ask(server)
        fails(server)
        server.client.close()
        assert server.stop() == 0
        lines = server.access_lines(route="/books/{number}")
        spans = [span for span in receiver.spans if span.name == "GET /books/{number}"]
        assert len(spans) == 21
        assert {(span.trace_id.hex(), span.span_id.hex()) for span in spans} == {
            (line["trace_id"], line["span_id"]) for line in lines
        }


def ask(server: Server) -> None:
    """Send requests whose counts, names and ids must be right."""
    for number in range(20):
        answer = server.get(f"/books/{number}", headers={"x-request-id": f"book-{number}"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (200, f"book-{number}")
    assert server.get("/shelves/top").text == "top"
    eventually(lambda: counted(server, "/books/{number}") == 20, lambda: server.get("/metrics").text)
    eventually(lambda: len(server.access_lines(route="/books/{number}")) == 20, server.stdout)
    eventually(lambda: len(server.access_lines(route="/shelves/{shelf}")) == 1, server.stdout)


def counted(server: Server, route: str) -> float:
    """Return how many answers of 200 the metrics have; a worker that is late for a scrape is in the next one."""
    text = server.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}).text
    lines = [line for line in text.splitlines() if line.startswith("http_requests_total{")]
    return sum(float(line.split()[-1]) for line in lines if f'route="{route}",status="200"' in line)
