"""A collector that speaks OTLP over HTTP (protobuf), or one that is broken in a chosen way.

As a script it listens on port 4318 of its container and prints each span as a line of JSON.
"""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class OtlpReceiver:
    """Keeps the spans it gets.

    Args:
        answer: whether it answers; otherwise it takes a request and stays silent.
        status: what it answers.
        address: where it listens.

    """

    def __init__(self, *, answer: bool = True, status: int = 200, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.asked = threading.Event()
        release = self._release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.asked.set()
                if not answer:
                    release.wait()
                    return
                assert self.path == "/v1/traces"
                assert self.headers["content-type"] == "application/x-protobuf"
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if status == 200:
                    receiver.received(ExportTraceServiceRequest.FromString(body))
                payload = ExportTraceServiceResponse().SerializeToString()
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def serve_forever(self) -> None:
        """Serve in this thread."""
        self._server.serve_forever()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()

    def received(self, request: ExportTraceServiceRequest) -> None:
        """Keep what an exporter sent."""
        self.requests.append(request)

    @property
    def spans(self) -> list[Span]:
        return [span for request in self.requests for span in spans_of(request)]

    @property
    def scopes(self) -> list[str]:
        """The names of what made the spans, one for each."""
        return [
            scope_spans.scope.name
            for request in self.requests
            for resource_spans in request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for _ in scope_spans.spans
        ]

    @property
    def resource(self) -> dict[str, object]:
        return values(self.requests[0].resource_spans[0].resource.attributes)

    @property
    def text(self) -> str:
        """Everything received, for looking for what must not be there."""
        return "".join(str(request) for request in self.requests)


class PrintingReceiver(OtlpReceiver):
    """Prints what it gets, for those who read a container's log."""

    def received(self, request: ExportTraceServiceRequest) -> None:
        for span in spans_of(request):
            ids = {"trace_id": span.trace_id.hex(), "span_id": span.span_id.hex(), "parent": span.parent_span_id.hex()}
            print(json.dumps({"name": span.name, **ids}), flush=True)


def spans_of(request: ExportTraceServiceRequest) -> list[Span]:
    """Return the spans of one export."""
    return [
        span
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def values(attributes: Any) -> dict[str, object]:
    """Return attributes as a dictionary."""
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> object:
    return getattr(value, str(value.WhichOneof("value")))


if __name__ == "__main__":
    PrintingReceiver(address=("0.0.0.0", 4318)).serve_forever()
