"""What keeping logs and traces takes: memory of the three programs idle and under load, and disk a line.

Beside every fifth line a span of a failed request is handed to the collector: far more than a service has that keeps
failed and slow requests and 10 % of the others.

``python -m bench.telemetry`` starts the stack's part that is measured, beside whatever else runs on the machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack import docker, eventually
from tests.telemetry.stores import Telemetry, running

SERVICES = ("collector", "victoria-logs", "jaeger")
RATES = (100, 2000)
"""Lines a second."""
LINES_A_SPAN = 5
SPANS = """
import sys, time
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
spans, rate = int(sys.argv[1]), float(sys.argv[2])
provider = TracerProvider(resource=Resource({"service.name": "bench"}))
exporter = OTLPSpanExporter("http://collector.monitoring:4318/v1/traces")
provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=8192))
tracer = provider.get_tracer("bench")
begun = time.monotonic()
for n in range(spans):
    time.sleep(max(0, begun + n / rate - time.monotonic()))
    with tracer.start_as_current_span("POST /api/v1/predict") as span:
        span.set_attributes({
            "http.request.method": "POST", "http.route": "/api/v1/predict", "url.path": "/api/v1/predict",
            "url.scheme": "https", "http.response.status_code": 500, "request_id": "%032x" % n,
        })
provider.shutdown()
"""
"""Hands over spans at a rate."""


def resident(stack: Telemetry) -> dict[str, float]:
    """Return each service's resident memory in MB."""
    found = {}
    for service in SERVICES:
        (container,) = stack.inspect(service)
        status = Path(f"/proc/{container['State']['Pid']}/status").read_text()
        found[service] = int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6
    return found


def most(stack: Telemetry, seconds: float) -> dict[str, int]:
    """Return the most that each service had within a time."""
    end = time.monotonic() + seconds
    highest = dict.fromkeys(SERVICES, 0.0)
    while time.monotonic() < end:
        for service, now in resident(stack).items():
            highest[service] = max(highest[service], now)
        time.sleep(1)
    return {service: round(value) for service, value in highest.items()}


def size(volume: str) -> int:
    """Return the bytes of a volume's files."""
    mountpoint = docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume)
    return int(subprocess.run(["du", "-sb", mountpoint], capture_output=True, text=True, check=True).stdout.split()[0])


@contextmanager
def tracing(stack: Telemetry, spans: int, rate: float) -> Iterator[None]:
    """Let a container hand spans to the collector."""
    name = f"{stack.project}-spans"
    network = f"--network={stack.project}_monitoring"
    command = ("python", "-c", SPANS, str(spans), str(rate))
    docker("run", "--detach", "--name", name, network, "--no-healthcheck", stack.settings["API_IMAGE"], *command)
    try:
        yield
    finally:
        docker("rm", "--force", name)


def main() -> int:
    """Measure, and print a JSON object a line.

    Returns:
        0.

    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=60, help="for each load (default: %(default)s)")
    seconds: int = arguments.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory, running(Path(directory), *SERVICES, "telemetry-door") as stack:
        time.sleep(20)
        print(json.dumps({"load": "idle", "MB": most(stack, seconds)}), flush=True)
        for rate in RATES:
            before = size(f"{stack.project}_logs")
            lines = rate * seconds
            with stack.emitting(lines, rate) as service, tracing(stack, lines // LINES_A_SPAN, rate / LINES_A_SPAN):
                highest = most(stack, seconds)

                def all_there(service: str = service, lines: int = lines) -> bool:
                    return stack.counted(service)[1] == lines

                eventually(all_there, deadline=600)
            grown = (size(f"{stack.project}_logs") - before) / lines
            load = f"{rate} lines/s, {rate // LINES_A_SPAN} spans/s"
            print(json.dumps({"load": load, "MB": highest, "bytes a line": round(grown)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
