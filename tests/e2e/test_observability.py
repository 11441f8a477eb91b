"""What Prometheus knows of a whole stack: exact counts, whatever happens to the workers behind them."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from monitoring.live import Window, interpolate, panels
from tests.stack import ROOT, Stack, docker, eventually, say

SCRAPE_INTERVAL = 10  # seconds, as docker/prometheus.yml has it
ITEMS = 'http_requests_total{job="api",route="/items/{item}",status="200"}'
BURN_SECONDS = 0.05  # of processor time for one request


class Served:
    """A stack without limits at its edge, whose API a test sets up as it needs it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.settings: dict[str, str] = {}
        self.workers = 0
        self.since = 0.0

    def serve(self, workers: int, **settings: str) -> None:
        """Replace the API's container, unless it is so already, and wait until Prometheus has seen every worker."""
        settings = {"WEB_CONCURRENCY": str(workers)} | settings
        if settings == self.settings:
            return
        self.settings, self.workers = settings, workers
        say(f"{self.stack.project}: {settings}")
        self.stack.compose("rm", "--force", "--stop", "--volumes", "api")
        base = self.stack.env_file.read_text().partition("# set by a test\n")[0]
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.stack.env_file.write_text(f"{base}# set by a test\n{lines}")
        self.since = time.time()
        self.stack.compose("up", "--detach", "--wait", "api")
        self.wait_for_edge()
        self.wait_for_workers()

    def wait_for_edge(self) -> None:
        """Wait until a request passes the edge again."""
        with self.stack.client() as client:
            eventually(lambda: client.get("/ready").status_code == 200, lambda: self.stack.logs("api", "nginx"))

    def wait_for_workers(self) -> None:
        """Wait until Prometheus has every worker as up, none of an earlier container."""
        up = f'count(sightglass_worker_up{{job="api"}} == 1 and process_start_time_seconds > {self.since - 1})'
        self.wait_for(up, self.workers)

    def wait_for(self, query: str, expected: float) -> None:
        """Poll a query."""
        eventually(
            lambda: self.stack.value(query) == expected,
            lambda: f"{query} is {self.stack.value(query)}, not {expected}",
        )

    def pids(self) -> list[str]:
        """The worker processes, as the container numbers them."""
        return self.stack.compose("exec", "-T", "api", "cat", "/proc/1/task/1/children").stdout.split()

    def kill(self, signal: str, pid: str = "1") -> None:
        """Signal a process of the container."""
        self.stack.compose("exec", "-T", "api", "sh", "-c", f"kill -{signal} {pid}")

    def ask(self, path: str, times: int) -> int:
        """Send requests over several connections; each must be answered by 200."""
        with self.stack.client() as client, ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.get(path).status_code, range(times)))
        assert answers == [200] * times
        return times

    def window(self) -> str:
        """The range of a query that begins with this container."""
        return f"{time.time() - self.since:.0f}s"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Edge, API, Prometheus and its door; the app is that of the tests with workers."""
    code = tmp_path_factory.mktemp("code")
    shutil.copy(ROOT / "tests" / "server" / "served.py", code)
    for path in (code, *code.rglob("*")):  # the container's user is another
        path.chmod(0o755)
    stack = Stack(
        tmp_path_factory.mktemp("observed"), profiles=["monitoring"], APP="served:app", APP_DIR=str(code),
        RATE_LIMIT="100000", RATE_BURST="10000", CONNECTION_LIMIT="10000", WEB_CONCURRENCY="1",
    )  # fmt: skip
    try:
        subprocess.run([sys.executable, "scripts/images.py"], cwd=stack.directory, check=True, capture_output=True)
        say(f"{stack.project}: nginx, api, prometheus, operators")
        stack.compose("up", "--detach", "--build", "--wait", "nginx", "api", "prometheus", "operators")
        yield Served(stack)
    finally:
        stack.down()


@pytest.mark.parametrize("workers", [1, 8])
def test_prometheus_counts_what_was_sent_whatever_happens_to_workers(served: Served, workers: int) -> None:
    served.serve(workers, GUNICORN_MAX_REQUESTS="30")  # up to 33
    first = set(served.pids())
    sent = served.ask("/items/1", 100)

    # Reloaded under load.
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.ask, "/items/1", 200)
        served.kill("HUP")
        sent += asked.result()
    eventually(lambda: len(served.pids()) == workers and not first & set(served.pids()), lambda: str(served.pids()))
    served.wait_for(f"sum({ITEMS})", sent)

    # Killed, when a scrape has seen everything.
    killed = served.pids()[0]
    served.kill("KILL", killed)
    eventually(lambda: len(served.pids()) == workers and killed not in served.pids(), lambda: str(served.pids()))
    served.wait_for_edge()

    # So many that a worker has to be recycled.
    before = set(served.pids())
    sent += served.ask("/items/1", 34 * workers)
    eventually(lambda: bool(before - set(served.pids())), lambda: f"still {before}")
    served.stack.wait_for_value(f"sum({ITEMS})", sent)
    served.wait_for_workers()

    # HUP doubles the workers for a moment; more numbers than that are never taken.
    assert len(served.stack.query(f"sum by (worker) ({ITEMS})")) <= 2 * workers
    window = served.window()
    assert served.stack.value(f"sum(resets({ITEMS}[{window}]))") == 0
    # Not even all of it between two scrapes is more than this.
    rates = f"sum(rate({ITEMS}[30s]))[{window}:5s]"
    fastest, slowest = (served.stack.value(f"{function}_over_time({rates})") for function in ("max", "min"))
    assert fastest is not None
    assert slowest is not None
    assert 0 <= slowest <= fastest <= 1.1 * sent / SCRAPE_INTERVAL


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_probes_are_counted_as_the_edge_counts_them(served: Served, path: str) -> None:
    served.serve(2)
    # The container's own health check asks /ready, not through the edge.
    before = served.stack.value(f'sum(http_requests_total{{job="api",route="{path}",method="HEAD"}}) or vector(0)')
    assert before is not None
    with served.stack.client() as client:
        for _ in range(15):
            assert client.head(path).status_code == 200
    served.wait_for(f'sum(http_requests_total{{job="api",route="{path}",method="HEAD"}})', before + 15)
    assert not served.stack.query('http_requests_total{route="/metrics"}')


def test_a_stopped_worker_is_told_and_neither_blocks_nor_empties_a_scrape(served: Served) -> None:
    served.serve(2)
    sent = served.stack.value(f"sum({ITEMS}) or vector(0)")
    assert sent is not None
    sent += served.ask("/items/1", 60)
    served.wait_for(f"sum({ITEMS})", sent)
    start = time.time()
    stopped = served.pids()[0]
    served.kill("STOP", stopped)
    try:
        served.wait_for('count(sightglass_worker_up{job="api"} == 0)', 1)
        assert served.stack.value(f"sum({ITEMS})") == sent
        assert served.stack.value('sum(sightglass_worker_up{job="api"})') == 1
    finally:
        served.kill("CONT", stopped)
    served.wait_for('sum(sightglass_worker_up{job="api"})', 2)
    assert served.pids().count(stopped) == 1
    window = f"{time.time() - start:.0f}s"
    assert served.stack.value(f'min_over_time(up{{job="api"}}[{window}])') == 1
    assert served.stack.value(f"sum(resets({ITEMS}[{window}]))") == 0


@pytest.mark.parametrize(
    "metric",
    [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
        'python_gc_collections_total{generation="0"}',
        "event_loop_lag_seconds",
        "http_requests_in_progress",
        "app_info",
        "jobs_total",  # the app's own counter
    ],
)
def test_each_worker_shows_its_own(served: Served, metric: str) -> None:
    served.serve(2)
    workers = {series["metric"]["worker"] for series in served.stack.query(metric) if series["metric"]["job"] == "api"}
    assert workers == {"0", "1"}


async def overload(stack: Stack, rate: int, seconds: int) -> tuple[int, int]:
    """Send requests at a rate, whether they are answered or not; returns how many were sent, and answered by the end.

    Nobody gives up before: the queue in the workers grows all the while.
    """
    # Over HTTP/2 in few connections, so that the client leaves the processors to the service.
    async with httpx.AsyncClient(base_url=stack.https_url, verify=stack.tls, http2=True, timeout=None) as client:

        async def one() -> bool:
            try:
                return (await client.get(f"/burn/{BURN_SECONDS}")).status_code == 200
            except httpx.TransportError:
                return False

        start = time.monotonic()
        tasks: list[asyncio.Task[bool]] = []
        while (passed := time.monotonic() - start) < seconds:
            tasks += [asyncio.create_task(one()) for _ in range(int(rate * passed) - len(tasks))]
            await asyncio.sleep(0.05)
        answered = sum(task.done() and task.result() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return len(tasks), answered


def test_scrapes_arrive_under_twice_the_load_the_service_can_take(served: Served) -> None:
    served.serve(2)
    start = time.time()
    two_processors = round(2 / BURN_SECONDS)  # what API_CPUS lets it answer in a second
    sent, answered = asyncio.run(overload(served.stack, rate=2 * two_processors, seconds=25))
    assert answered <= 0.6 * sent
    window = f"{time.time() - start:.0f}s"
    slowest = served.stack.value(f'max_over_time(scrape_duration_seconds{{job="api"}}[{window}])')
    say(f"{answered} of {sent} requests answered, slowest scrape {slowest} s")
    scrapes = served.stack.value(f'count_over_time(up{{job="api"}}[{window}])')
    assert scrapes is not None
    assert scrapes >= int(window[:-1]) // SCRAPE_INTERVAL - 1  # one may still be on its way
    assert served.stack.value(f'min_over_time(up{{job="api"}}[{window}])') == 1


@pytest.fixture
def spans(served: Served) -> Iterator[str]:
    """A container that takes spans and prints them, known to the API as `otlp`."""
    stack = served.stack
    name = f"{stack.project}-otlp"
    script = ROOT / "tests" / "support" / "otlp_receiver.py"
    docker(
        "run", "--detach", "--name", name, "--network", f"{stack.project}_app", "--network-alias", "otlp",
        "--no-healthcheck", "--volume", f"{script}:/otlp_receiver.py:ro", stack.project, "python", "/otlp_receiver.py",
    )  # fmt: skip
    try:
        yield name
    finally:
        docker("rm", "--force", name)


def test_answer_log_line_span_and_exemplar_are_of_one_request(served: Served, spans: str) -> None:
    stack = served.stack
    served.serve(
        2, APP="api.main:app", TRACING_ENABLED="true", OTEL_EXPORTER_OTLP_ENDPOINT="http://otlp:4318",
    )  # fmt: skip
    with stack.client() as client:
        answer = client.post("/api/v1/predict", json={}, headers={"x-request-id": "joined-1"})
    assert answer.status_code == 422
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "joined-1"

    def lines() -> list[dict[str, Any]]:
        output = stack.compose("logs", "--no-color", "--no-log-prefix", "api").stdout.splitlines()
        found = [json.loads(line) for line in output]
        return [line for line in found if line["logger"] == "api.access" and line.get("request_id") == "joined-1"]

    eventually(lambda: len(lines()) == 1, lambda: stack.logs("api"))
    (line,) = lines()
    assert (line["route"], line["status"]) == ("/api/v1/predict", 422)

    def exported() -> list[dict[str, str]]:
        return [json.loads(span) for span in docker("logs", spans).splitlines()]

    assert line["trace_id"] == answer.headers["x-trace-id"] == answer.json()["trace_id"]
    # Nothing was sent: the edge has begun the trace, and no span of it is missing.
    mine = {"name": "POST /api/v1/predict", "trace_id": line["trace_id"], "span_id": line["span_id"], "parent": ""}
    eventually(lambda: mine in exported(), lambda: f"{mine} is not among {exported()}")
    # Probes make none: only this request did.
    assert [span["name"] for span in exported()].count("POST /api/v1/predict") == 1
    assert not [span for span in exported() if "/ready" in span["name"]]

    board = json.loads((ROOT / "grafana/dashboards/api.json").read_text())
    (quantiles,) = (panel for panel in panels(board) if panel["title"] == "Quantiles")
    assert all(target["exemplar"] for target in quantiles["targets"])

    def exemplars() -> list[tuple[str, str]]:
        # As Grafana does with the queries of a panel that asks for exemplars.
        now = time.time()
        chosen = {"instance": ".*", "route": "/api/v1/predict"}
        query = interpolate(quantiles["targets"][0]["expr"], Window(now - 300, now + 10), chosen)
        answer = httpx.get(
            f"{stack.prometheus_url}/api/v1/query_exemplars",
            params={"query": query, "start": now - 300, "end": now + 10},
            timeout=30,
        ).json()
        return [
            (series["seriesLabels"]["worker"], exemplar["labels"]["trace_id"])
            for series in answer["data"]
            for exemplar in series["exemplars"]
        ]

    eventually(lambda: exemplars() == [(line["worker"], line["trace_id"])], lambda: f"{line} {exemplars()}")
