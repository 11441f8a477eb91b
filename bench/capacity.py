"""What Prometheus takes by the number of series: processor time and memory, without rules and queries.

A target on the loopback address shows counters that change with each scrape, every ten seconds, to a Prometheus of its
own. ``python -m bench.capacity`` runs it, with the stack's own Prometheus.
"""

import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.report import publish, table
from tests.edge.images import choose

SECTION = "Prometheus by series"
SERIES = (2_000, 20_000, 200_000)
INTERVAL = 10  # seconds, as in docker/prometheus.yml
WARM_UP, MEASURED = 35, 60  # seconds
HEAD = ["series", "samples/s", "CPU, % of a core", "MiB", "KiB a series"]
METRICS = 20
"""Names; the rest of the series differ by labels as long as ours."""


def exposition(series: int, value: int) -> bytes:
    """Return what the target shows."""
    lines = []
    for metric in range(METRICS):
        lines.append(f"# TYPE bench_requests_{metric}_total counter")
        lines += [
            f'bench_requests_{metric}_total{{method="GET",route="/api/v1/things/{one}",status="200",worker="0"}} '
            f"{value * (one % 7 + 1)}"
            for one in range(series // METRICS)
        ]
    return "\n".join([*lines, ""]).encode()


@contextmanager
def target(series: int) -> Iterator[int]:
    """Serve that many series; gives the port."""

    class Answers(BaseHTTPRequestHandler):
        scrapes = 0

        def do_GET(self) -> None:
            Answers.scrapes += 1
            body = exposition(series, Answers.scrapes)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def docker(*arguments: str) -> str:
    """Run docker, for what it prints."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def used(pid: str) -> tuple[float, float]:
    """Return a process' processor time in seconds, and its resident memory in MiB."""
    process = Path("/proc") / pid
    ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    pages = int((process / "statm").read_text().split()[1])
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(image: str, series: int) -> tuple[float, float]:
    """Return the share of a core, in percent, and the memory in MiB."""
    name = f"sightglass-bench-prometheus-{uuid.uuid4().hex[:8]}"
    with target(series) as port, tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # Prometheus is another user
        (Path(directory) / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {INTERVAL}s, scrape_timeout: {INTERVAL}s}}\n"
            f"scrape_configs: [{{job_name: bench, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
        )
        docker(
            *("run", "--detach", "--name", name, "--network", "host", "--volume", f"{directory}:/given:ro"),
            *("--tmpfs", "/data:mode=0777,size=1g", "--entrypoint", "prometheus", image),
            *("--config.file=/given/prometheus.yml", "--storage.tsdb.path=/data", "--web.listen-address=127.0.0.1:0"),
        )
        try:
            pid = docker("inspect", "--format", "{{.State.Pid}}", name)
            time.sleep(WARM_UP)
            before, memory = used(pid)
            end = time.monotonic() + MEASURED
            while time.monotonic() < end:
                time.sleep(1)
                after, now = used(pid)
                memory = max(memory, now)
        finally:
            docker("rm", "--force", name)
    return 100 * (after - before) / MEASURED, memory


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as directory:
        image, _ = choose(Path(directory), "prometheus")
    measured = {series: measure(image, series) for series in SERIES}
    least, rows = measured[SERIES[0]][1], []
    for series, (cpu, memory) in measured.items():
        beyond = f"{1024 * (memory - least) / (series - SERIES[0]):.1f}" if series > SERIES[0] else ""
        rows.append([f"{series:,}", f"{series // INTERVAL:,}", f"{cpu:.1f}", f"{memory:.0f}", beyond])
    publish(
        SECTION,
        f"One target, scraped every {INTERVAL} s; the most memory within {MEASURED} s of a fresh start, processor time "
        "over the same, no rules and no queries. A series costs what is beyond the first row.\n\n" + table(HEAD, rows),
    )


if __name__ == "__main__":
    main()
