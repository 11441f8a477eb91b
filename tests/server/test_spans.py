"""Tracing in real workers: the last spans go out, and no collector can hold the server up."""

from pathlib import Path

from tests.server.server import Server
from tests.support.otlp_receiver import OtlpReceiver

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
