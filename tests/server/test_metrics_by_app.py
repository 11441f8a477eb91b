"""An application's metrics beside the stack's, from the arbiter's port."""

from collections import Counter
from pathlib import Path

import httpx

from tests.server.server import Server
from tests.support.waiting import awaited

DIGGER = """
from fastapi import FastAPI
from prometheus_client import Counter, Gauge, Histogram

app = FastAPI()
REQUESTS = Counter("http_requests", "mine", ["handler", "status"])
UP = Gauge("worker_up", "workers that dig")
TIME = Histogram("http_request_duration_seconds", "mine", ["handler"])
DROPPED = Counter("log_lines_dropped", "mine")
MEMORY = Gauge("container_memory_working_set_bytes", "mine")


@app.get("/a")
def a():
    REQUESTS.labels("/a", "2xx").inc()
    UP.set(7)
    TIME.labels("/a").observe(3)
    return {}
"""


def total(text: str, *parts: str) -> float:
    """Add up the samples whose lines have all of these."""
    found = [line for line in text.splitlines() if all(part in line for part in parts)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def test_no_family_of_the_application_is_lost(tmp_path: Path) -> None:
    (tmp_path / "digger.py").write_text(DIGGER)
    with Server(tmp_path, path=tmp_path, APP="digger:app", WEB_CONCURRENCY="2", GUNICORN_TIMEOUT="10") as server:
        for _ in range(2):
            assert server.get("/a").status_code == 200
        metrics = f"http://127.0.0.1:{server.metrics_port}/metrics"
        text = awaited(lambda: httpx.get(metrics).text, lambda told: total(told, "sightglass_worker_up{") == 2)
        assert text.count("\nsightglass_worker_up{") == 2
        keys = [line.rsplit(" ", 1)[0] for line in text.splitlines()]
        assert max(Counter(keys).values()) == 1
        assert total(text, '\nhttp_requests_total{method="GET",route="/a",status="200"'[1:]) == 2
        assert total(text, 'app_http_requests_total{handler="/a",status="2xx"') == 2
        assert total(text, 'app_http_request_duration_seconds_sum{handler="/a"') == 6
        assert total(text, 'http_request_duration_seconds_count{method="GET",route="/a"') == 2
        assert sorted(float(line[-3:]) for line in text.splitlines() if line.startswith("worker_up{")) in (
            [0.0, 7.0],
            [7.0, 7.0],
        )
        assert total(text, 'sightglass_metric_conflicts_total{family="http_requests"') == 2
        assert total(text, "sightglass_metric_conflicts_total{") == 4
        server.client.close()
        assert server.stop() == 0
        said = [line["message"] for line in server.lines() if line["logger"] == "sightglass.metrics.conflicts"]
        assert len(said) == 4
        assert sum("app_http_requests" in line for line in said) == 2
