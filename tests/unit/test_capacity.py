"""The numbers of docs/capacity.md follow from those that were measured."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/capacity.md").read_text()
MEASURED = "\n".join((ROOT / f"docs/{name}.md").read_text() for name in ("benchmarks", "benchmarks-service"))
DASHBOARDS = (ROOT / "docs/dashboards.md").read_text()


def row(first: str, page: str = MEASURED) -> list[str]:
    """The cells of the one table row that begins so."""
    (found,) = re.findall(rf"^\| *{re.escape(first)} *\|(.*)\|$", page, re.MULTILINE)
    return [cell.strip().replace(",", "") for cell in found.split("|")]


def number(text: str) -> float:
    """The first number in a text."""
    found = re.search(r"[\d.]+", text)
    assert found is not None
    return float(found[0])


_SERVICE = MEASURED.partition("\n## The shipped service\n")[2].partition("\n## ")[0]
_EIGHT = row("8", _SERVICE)  # connections
TEXTS, CPU_OF_A_TEXT = float(_EIGHT[0]), float(_EIGHT[6]) / 1e3  # a second; seconds
EDGE_OF_A_TEXT = float(row("predict: full")[3]) / 1e6
LOG_OF_A_LINE = (
    sum(float(row(f"outside NGINX for the line: {who}")[0]) for who in ("`dockerd`", "containerd's shim")) / 1e6
)
FROM_MEMORY = row("from memory: full")
SECONDS_A_MB, MB_A_SECOND = float(row("text/plain")[1]), float(row("text/plain")[0])
JOBS, CPU_OF_A_JOB = float(row("300 of one text")[0]), float(row("300 of one text")[1]) / 1e3
SERIES = {count: [float(cell or 0) for cell in row(f"{count:,}")] for count in (2_000, 20_000, 200_000)}
BYTES_A_SAMPLE = number(row("disk", DASHBOARDS)[0])
ONE = 500  # texts a second: the page's unit
KEPT = 8e9  # PROMETHEUS_RETENTION_SIZE


def line_in_docker_s_log() -> int:
    """Bytes of an edge's line about predict, as Docker keeps it."""
    text = (ROOT / "docker/nginx/http/log.conf").read_text()
    form = "".join(re.findall(r"^    '(.*?)';?$", text[text.index("log_format json") :], re.MULTILINE))
    values = {
        "log_timestamp": "2026-11-27T08:09:42.123Z", "log_level": "INFO", "edge_method": "POST", "edge_status": "200",
        "edge_route": "/api/v1/predict", "log_path": "/api/v1/predict", "request_time": "0.013",
        "request_length": "612", "body_bytes_sent": "355", "edge_request_id": 32 * "0", "edge_trace_id": 32 * "0",
        "client_anonymous": "203.0.113.0", "log_upstream_status": "200", "log_upstream_duration": "0.012",
        "edge_upstream_failure": "", "upstream_cache_status": "", "server_protocol": "HTTP/2.0",
        "ssl_protocol": "TLSv1.3",
    }  # fmt: skip
    line = re.sub(r"\$(\w+)", lambda found: values[found[1]], form)
    json.loads(line)
    service = {"com.docker.compose.project": "sightglass", "com.docker.compose.service": "nginx"}
    kept = {"log": f"{line}\n", "stream": "stdout", "attrs": service, "time": "2026-11-27T08:09:42.123456789Z"}
    return len(json.dumps(kept, separators=(",", ":")))


def days(samples: float) -> float:
    """How long the kept size lasts."""
    return KEPT / (BYTES_A_SAMPLE * samples * 86400)


LINES_KEPT = 50e6 / line_in_docker_s_log()
WHOLE = CPU_OF_A_TEXT + EDGE_OF_A_TEXT + LOG_OF_A_LINE
SLOPE = (SERIES[20_000][2] - SERIES[2_000][2]) / 18_000


def check(what: str, model: float, measured: float) -> str:
    return f"| {what} | {model:,.0f} | {measured:,.0f} | {measured / model:.2f} |"


STATED = {
    "texts": check("texts/s, two processors", 2 / WHOLE, TEXTS),
    "edge": check("answers/s of one NGINX worker, from memory", 1e6 / float(FROM_MEMORY[3]), float(FROM_MEMORY[0])),
    "document": check("KB/s of a document, one processor", 1e3 / SECONDS_A_MB, 1e3 * MB_A_SECOND),
    "series": check("MiB of Prometheus with 200,000 series", SERIES[2_000][2] + 198_000 * SLOPE, SERIES[200_000][2]),
    "jobs": check("short jobs/s, two processors", 2 / CPU_OF_A_JOB, JOBS),
    "api at 10": f"{10 * ONE * CPU_OF_A_TEXT:.0f} processors",
    "api at 100": f"{100 * ONE * CPU_OF_A_TEXT:.0f} processors",
    "replicas at 10": f"{10 * ONE * CPU_OF_A_TEXT / 2:.0f} replicas",
    "replicas at 100": f"{100 * ONE * CPU_OF_A_TEXT / 2:.0f} replicas",
    "edge at 10": f"{10 * ONE * EDGE_OF_A_TEXT:.2f} of a processor",
    "edge at 100": f"{100 * ONE * EDGE_OF_A_TEXT:.1f} processors",
    "claim": f"{float(row('claiming, of one client: 1')[1]):.2f} ms",
    "log at 1": f"{LINES_KEPT / ONE:.0f} s",
    "log at 10": f"{LINES_KEPT / ONE / 10:.0f} s",
    "log at 100": f"{LINES_KEPT / ONE / 100:.1f} s",
    "lines": f"{LINES_KEPT:,.0f} of the edge's lines",
    "a line": f"{line_in_docker_s_log()} bytes",
    "days at 10": f"{days(2_000):.0f} days",
    "days at 100": f"{days(20_000):.1f} days",
    "disk at 100": f"{BYTES_A_SAMPLE * 20_000 * 86400 * 35 / 1e9:.0f} GB",
    "memory at 10": f"{SERIES[20_000][2]:.0f} MiB",
    "memory at 100": f"{SERIES[200_000][2]:.0f} MiB",
    "series that fit": f"{(1024 - SERIES[2_000][2]) / SLOPE / 1e3:.0f},000 series",
}


@pytest.mark.parametrize("what", STATED)
def test_a_number_follows_from_what_was_measured(what: str) -> None:
    assert STATED[what] in PAGE
