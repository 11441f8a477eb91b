"""Tracing in real workers: the last spans go out, and no collector can hold the server up."""

import re
import socket
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.server.server import Server
from tests.support.otlp_receiver import OtlpReceiver, values

LATER = "600000"  # milliseconds: only the end of a worker sends what it has


def test_every_span_arrives_although_the_worker_ends_first(tmp_path: Path) -> None:
    with (
        OtlpReceiver() as receiver,
        Server(
            tmp_path,
            GUNICORN_TIMEOUT="10",
            TRACING_ENABLED="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_BSP_SCHEDULE_DELAY=LATER,
        ) as server,
    ):
        for number in range(30):
            assert server.get(f"/api/v1/items/{number}", headers={"connection": "close"}).status_code == 200
        assert server.stop() == 0
        lines = server.access_lines(route="/api/v1/items/{item_id}")
        assert len(lines) == 30
        assert {span.name for span in receiver.spans} == {"GET /api/v1/items/{item_id}"}
        assert sorted((line["trace_id"], line["span_id"]) for line in lines) == sorted(
            (span.trace_id.hex(), span.span_id.hex()) for span in receiver.spans
        )


def test_pipelined_requests_have_traces_of_their_own(tmp_path: Path) -> None:
    request = b"GET /api/v1/items/1 HTTP/1.1\r\nHost: localhost\r\n"
    with (
        OtlpReceiver() as receiver,
        Server(tmp_path, TRACING_ENABLED="true", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint) as server,
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall((request + b"\r\n") * 4 + request + b"Connection: close\r\n\r\n")
            with client.makefile("rb") as answers:
                told = re.findall(rb"x-trace-id: (\w+)", answers.read())
        assert server.stop() == 0
        assert len(told) == 5
        assert sorted(span.trace_id.hex().encode() for span in receiver.spans) == sorted(told)
        assert {span.kind for span in receiver.spans} == {Span.SPAN_KIND_SERVER}
        assert {span.parent_span_id for span in receiver.spans} == {b""}


OWN_PROVIDER = """
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
app = FastAPI()
FastAPIInstrumentor.instrument_app(app)
"""
INSTRUMENTED_GLOBALLY = """
import fastapi
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

FastAPIInstrumentor().instrument()
app = fastapi.FastAPI()
"""
NATIVE = """
from fastapi import FastAPI

app = FastAPI(telemetry={"auto_configure": True, "metrics": False, "logs": False})
"""
ROUTE = """
@app.get("/items/{item}")
async def read(item: int) -> int:
    return item
"""


@pytest.mark.parametrize("source", [OWN_PROVIDER, INSTRUMENTED_GLOBALLY, NATIVE])
def test_an_app_that_traces_itself_gets_one_span_a_request(tmp_path: Path, source: str) -> None:
    (tmp_path / "tracing_itself.py").write_text(source + ROUTE)
    with (
        OtlpReceiver() as receiver,
        Server(
            tmp_path,
            path=tmp_path,
            APP="tracing_itself:app",
            TRACING_ENABLED="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_BSP_SCHEDULE_DELAY="10",
            OTEL_PYTHON_FASTAPI_EXCLUDED_URLS="items/9",
        ) as server,
    ):
        for number in (*range(5), 9):
            assert server.get(f"/items/{number}").status_code == 200
        assert server.stop() == 0
        assert [line["level"] for line in server.lines() if line["level"] not in ("DEBUG", "INFO")] == []
        ids = {line["span_id"] for line in server.access_lines(route="/items/{item}") if "span_id" in line}
    assert receiver.scopes == ["opentelemetry.instrumentation.fastapi"] * 5
    assert ids == {span.span_id.hex() for span in receiver.spans}
    for span in receiver.spans:
        assert span.name == "GET /items/{item}"
        assert values(span.attributes)["http.request.method"] == "GET"


def test_silent_collector_holds_up_neither_requests_nor_the_end(tmp_path: Path) -> None:
    with (
        OtlpReceiver(answer=False) as receiver,
        Server(
            tmp_path,
            TRACING_ENABLED="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_BSP_SCHEDULE_DELAY="10",
        ) as server,
    ):
        assert server.get("/").status_code == 200
        assert receiver.asked.wait(30)
        for _ in range(50):
            assert server.get("/").status_code == 200
        assert server.stop() == 0
        assert "sample app stopped" in server.messages()
        assert any(message.startswith("the last spans are lost") for message in server.messages())


def test_failed_and_slow_requests_leave_their_traces_at_a_share_of_one_in_a_hundred(tmp_path: Path) -> None:
    with (
        OtlpReceiver() as receiver,
        Server(
            tmp_path,
            TRACING_ENABLED="true",
            TRACING_SLOW_SECONDS="1",
            SLOW_ROUTES="/trouble/busy",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_TRACES_SAMPLER="traceidratio",
            OTEL_TRACES_SAMPLER_ARG="0.01",
        ) as server,
    ):
        traces: set[str] = set()
        for _ in range(40):
            traces.add(server.get("/trouble/fail").headers["x-trace-id"])
        for path in ("/trouble/slow?seconds=1.1", "/trouble/blocked?seconds=1.1"):
            traces.add(server.get(path).headers["x-trace-id"])
        with pytest.raises(httpx.RemoteProtocolError):
            server.get("/trouble/broken-stream")
        server.get("/trouble/busy?seconds=1.1")
        for _ in range(300):
            assert server.get("/").status_code == 200
        assert server.stop() == 0
        failed = {line["trace_id"] for line in server.access_lines() if line["outcome"] == "error"}
    assert len(failed) == 41
    names = [span.name for span in receiver.spans]
    assert {span.trace_id.hex() for span in receiver.spans} >= traces | failed
    assert names.count("GET /trouble/fail") == 40
    assert names.count("GET /trouble/broken-stream") == 1
    others = names.count("GET /") + names.count("GET /trouble/busy")
    assert others + 43 == len(names)
    assert others < 25  # of 301, at one in a hundred: more in one of 10^12 runs
