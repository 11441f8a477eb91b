"""The edge counts every request, to the one, over several workers, and keeps its counts through reloads."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.edge.containers import Edge, Network, docker, eventually

CONTAINER = {"memory_working_set_bytes", "oom_events", "cpu_usage_seconds", "cpu_cfs_throttled_seconds"}  # no limits
REQUESTS = "edge_http_requests_total"
DURATION = "edge_http_request_duration_seconds"

# method, path, times → route, status
MIXTURE = [
    ("GET", "/echo", 40, "/echo", 200),
    ("POST", "/api/v1/predict", 60, "/api/v1/predict", 200),
    ("GET", "/api/v1/jobs/17", 20, "/api/v1/jobs/{job_id}", 200),
    ("GET", "/api/v1/jobs/18?secret=1", 20, "/api/v1/jobs/{job_id}", 200),
    ("GET", "/api/v1//jobs/./19", 10, "(unmatched)", 404),  # the application takes the path as sent
    ("GET", "/api/v1/jobs/17/result", 10, "(unmatched)", 404),
    ("DELETE", "/api/v1/predict", 15, "/api/v1/predict", 405),
    ("GET", "/metrics", 10, "(unmatched)", 404),
    ("GET", "/status/500", 10, "/status/{code}", 500),
    ("BREW", "/nowhere", 10, "(unmatched)", 400),
    ("OPTIONS", "/echo", 5, "/echo", 200),
]


@pytest.fixture(scope="module")
def counted(start_edge: Callable[..., Edge]) -> Edge:
    return start_edge(NGINX_WORKERS="4", RATE_LIMIT="100000", RATE_BURST="100000", CONNECTION_LIMIT="1000")


def send_mixture(edge: Edge) -> Counter[tuple[str, str, str]]:
    requests = [(method, path) for method, path, times, _, _ in MIXTURE for _ in range(times)]
    with edge.client() as client, ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda request: client.request(*request), requests[::2])
        with edge.client(http2=True) as one_connection:
            for request in requests[1::2]:
                one_connection.request(*request)
        assert len(list(answers)) == len(requests[::2])
    expected: Counter[tuple[str, str, str]] = Counter()
    for method, _, times, route, status in MIXTURE:
        expected[route, "OTHER" if method == "BREW" else method, str(status)] += times
    return expected


def test_a_known_mixture_is_found_to_the_request(counted: Edge) -> None:
    expected = send_mixture(counted)
    labels = ("route", "method", "status")
    eventually(lambda: counted.counts(REQUESTS, *labels) == expected, lambda: counted.counts(REQUESTS, *labels))
    assert counted.reload().returncode == 0
    expected += send_mixture(counted)
    eventually(lambda: counted.counts(REQUESTS, *labels) == expected, lambda: counted.counts(REQUESTS, *labels))
    assert counted.counts("edge_reloads_total") == {(): 1.0}

    by_route: Counter[tuple[str]] = Counter()
    for (route, _, _), count in expected.items():
        by_route[route,] += count
    assert counted.counts(f"{DURATION}_count", "route") == by_route
    infinite = {
        (route,): count
        for (route, le), count in counted.counts(f"{DURATION}_bucket", "route", "le").items()
        if le == "+Inf"
    }
    assert infinite == by_route
    eventually(lambda: len(counted.log()) == expected.total(), lambda: len(counted.log()))


def test_the_apis_counts_reconcile(network: Network, start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="100000", RATE_BURST="100000")
    alone = network.start_api(alias="reconciled")  # its own, asked by this edge and the readiness check only
    try:
        edge.pin(f"{network.address(alone)}:8000")
        send_mixture(edge)

        def counts(text: str, name: str) -> Counter[tuple[str, str]]:
            """By route and status, where both sides know the route."""
            found: Counter[tuple[str, str]] = Counter()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.name == name and sample.labels["route"].startswith("/api/"):
                        found[sample.labels["route"], sample.labels["status"]] += int(sample.value)
            return found

        expected = {
            ("/api/v1/predict", "200"): 60, ("/api/v1/predict", "405"): 15, ("/api/v1/jobs/{job_id}", "200"): 40,
        }  # fmt: skip
        scrape = f"http://{network.address(alone)}:9464/metrics"
        eventually(
            lambda: (
                {k: n for k, n in counts(httpx.get(scrape).text, "http_requests_total").items() if k in expected}
                == expected
            ),
            lambda: counts(httpx.get(scrape).text, "http_requests_total"),
        )
        eventually(
            lambda: {k: n for k, n in counts(edge.exposition(), REQUESTS).items() if k in expected} == expected,
            lambda: counts(edge.exposition(), REQUESTS),
        )
    finally:
        network.remove(alone)


def test_latency_falls_into_the_bucket_of_its_duration(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge()
    with edge.client() as client:
        client.get("/slow/0.3")
    eventually(lambda: edge.counts(f"{DURATION}_count", "route"))
    below = {float(le): count for (le,), count in edge.counts(f"{DURATION}_bucket", "le").items()}
    assert min(below) >= 0.5  # a busy machine may be slower, never faster
    assert edge.counts(f"{DURATION}_sum", "route")["/slow/{seconds}",] >= 0.3


def test_server_sent_events_have_no_latency_but_a_first_byte(network: Network, start_edge: Callable[..., Edge]) -> None:
    edge = start_edge()
    alone = network.start_api(alias="streaming")
    try:
        edge.pin(f"{network.address(alone)}:8000")
        with edge.client() as client, ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(client.get, ["/ticks/2"] * 20))
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, "data: first\n\ndata: last\n\n")}
        eventually(lambda: edge.counts(REQUESTS, "route", "status") == {("/ticks/{seconds}", "200"): 20})
        assert edge.counts(f"{DURATION}_count", "route") == {}
        text = httpx.get(f"http://{network.address(alone)}:9464/metrics").text
        api = {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.labels.get("route") == "/ticks/{seconds}" and sample.name.endswith(("_count", "_sum"))
        }
        first, whole = "http_time_to_first_byte_seconds", "http_request_duration_seconds"
        assert api[f"{first}_count"] == api[f"{whole}_count"] == 20
        assert api[f"{whole}_sum"] - api[f"{first}_sum"] >= 40
    finally:
        network.remove(alone)


def test_refusals_have_no_latency_and_the_applications_errors_have(
    network: Network, api: str, start_edge: Callable[..., Edge]
) -> None:
    edge = start_edge(RATE_LIMIT="1", RATE_BURST="3")
    with edge.client() as client:
        asked = ["/status/429", "/status/503", "/status/500", "/status/404"] + ["/echo"] * 40
        statuses = Counter((path, client.get(path).status_code) for path in asked)
    assert statuses["/echo", 429] > 0
    passed = statuses.total() - statuses["/echo", 429]
    eventually(lambda: sum(edge.counts(REQUESTS, "route", "status").values()) == len(asked))
    eventually(lambda: sum(edge.counts(f"{DURATION}_count", "route").values()) == passed)

    other = start_edge()
    other.pin(f"{network.address(api)}:9")  # nobody listens there
    with other.client() as client:
        assert [client.get("/echo").status_code for _ in range(3)] == [502] * 3
    eventually(lambda: sum(other.counts(REQUESTS, "route", "status").values()) == 3)
    assert other.counts(f"{DURATION}_count", "route") == {}


def test_slow_routes_have_no_latency(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(SLOW_ROUTES="/api/v1/jobs/{job_id} /status/{code}")
    with edge.client() as client:
        for path in ("/api/v1/jobs/1", "/status/200", "/status/404", "/echo"):
            client.get(path)
    eventually(lambda: sum(edge.counts(REQUESTS, "route", "status").values()) == 4)
    assert edge.counts(f"{DURATION}_count", "route") == {("/echo",): 1}


def test_rejected_requests_are_counted(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="1", RATE_BURST="2")
    eventually(lambda: edge.counts("sightglass_edge_routes"))
    with edge.client() as client, ThreadPoolExecutor(10) as pool:
        statuses = Counter(answer.status_code for answer in pool.map(client.get, ["/echo"] * 40))
    assert statuses[429] > 0
    expected = {("/echo", "GET", str(status)): count for status, count in statuses.items()}
    eventually(lambda: edge.counts(REQUESTS, "route", "method", "status") == expected)
    assert edge.counts("rate_limit_exceeded_total") == {(): statuses[429]}


def test_a_head_too_large_for_http_2_ends_the_connection_and_counts_as_400(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge()
    eventually(lambda: edge.counts("sightglass_edge_routes"))
    for path, headers in (
        ("/" + "x" * 20_000, {}),
        ("/echo", {"X-Long": "y" * 20_000}),
        ("/echo", {f"X-{number}": "y" * 7000 for number in range(8)}),
    ):
        with edge.client(http2=True) as client, pytest.raises(httpx.RemoteProtocolError, match="error_code:11,"):
            client.get(path, headers=headers)
    expected = {("(unmatched)", "OTHER", "400"): 1, ("/echo", "OTHER", "400"): 2}
    eventually(lambda: edge.counts(REQUESTS, "route", "method", "status") == expected)
    eventually(lambda: len(edge.log()) == 3)
    assert {(line["status"], line["message"]) for line in edge.log()} == {
        (400, "OTHER (unmatched) 400"), (400, "OTHER /echo 400"),
    }  # fmt: skip


def test_everything_is_there_before_the_first_request(start_edge: Callable[..., Edge]) -> None:
    families = {family.name: family for family in text_string_to_metric_families(start_edge().exposition())}
    assert set(families) == {
        "edge_http_requests", "edge_http_request_duration_seconds", "edge_cache_requests", "rate_limit_exceeded",
        "edge_upstream_failures", "edge_connections", "edge_reloads", "edge_metrics_dropped",
        "edge_log_lines_dropped", "sightglass_edge_routes", "process_start_time_seconds",
        "sightglass_edge_connections_limit", "sightglass_deploy_judged_timestamp_seconds",
    } | {f"sightglass_container_{name}" for name in CONTAINER}  # fmt: skip
    assert all(family.documentation for family in families.values())
    assert [sample.value for sample in families["sightglass_edge_connections_limit"].samples] == [2 * 4096]
    zeros = {sample.name: sample.value for sample in families["rate_limit_exceeded"].samples}
    assert zeros == {"rate_limit_exceeded_total": 0}
    assert {s.labels["cache"] for s in families["edge_cache_requests"].samples} >= {"hit", "miss", "stale"}
    assert {s.labels["state"] for s in families["edge_connections"].samples} == {
        "active", "reading", "writing", "waiting",
    }  # fmt: skip


def test_a_failure_is_there_at_zero_before_it_happens(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge()
    with edge.client() as client:
        assert client.get("/api/v1/jobs/17").status_code == 200

    def found() -> dict[tuple[str, str, str], float]:
        families = text_string_to_metric_families(edge.exposition())
        samples = [sample for family in families for sample in family.samples if sample.name == REQUESTS]
        return {(s.labels["route"], s.labels["method"], s.labels["status"]): s.value for s in samples}

    expected = {("/api/v1/jobs/{job_id}", "GET", status): 0.0 for status in ("500", "502", "503", "504")}
    expected["/api/v1/jobs/{job_id}", "GET", "200"] = 1.0
    eventually(lambda: found() == expected, found)


def test_open_connections_are_shown(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge()
    before = edge.counts("edge_connections", "state")["active",]
    with edge.connect(), edge.connect(), edge.connect():
        eventually(lambda: edge.counts("edge_connections", "state")["active",] == before + 3)
    eventually(lambda: edge.counts("edge_connections", "state")["active",] == before)


def test_a_full_zone_is_said_and_stops_nothing(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="100000", RATE_BURST="100000")
    routes = edge.configuration / "nginx" / "routes.js"  # with the mistake that fills it
    routes.write_text(routes.read_text().replace("function find(v) {", "function find(v) { return v.request_uri;"))
    zone = edge.configuration / "nginx" / "http" / "metrics.conf"
    zone.write_text(zone.read_text().replace("metrics:1m", "small:32k"))
    code = edge.configuration / "nginx" / "metrics.js"
    code.write_text(code.read_text().replace("ngx.shared.metrics", "ngx.shared.small"))
    assert edge.reload().returncode == 0
    eventually(lambda: "edge_metrics_dropped_total 0" in edge.exposition())
    with edge.client() as client:
        statuses = Counter(client.get(f"/status/200/{'x' * 50}/{number}").status_code for number in range(400))
    assert statuses == {404: 400}
    eventually(lambda: edge.counts("edge_metrics_dropped_total"))
    eventually(lambda: sum(1 for line in edge.log() if line["path"].startswith("/status/200/")) == 400)


def test_websockets_are_counted_at_their_end_and_have_no_latency(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge()
    with edge.connect() as connection:
        connection.sendall(
            b"GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 101")
    eventually(lambda: edge.counts(REQUESTS, "method", "status") == {("GET", "101"): 1})
    assert edge.counts(f"{DURATION}_count", "route") == {}


def test_counts_outlive_a_kill_a_restart_and_a_broken_file(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(RATE_LIMIT="100000", RATE_BURST="100000")
    kept = edge.directory / "state" / "metrics.json"
    expected = {("(unmatched)", "GET", "404"): 7}
    with edge.client() as client:
        for _ in range(7):
            assert client.get("/metrics").status_code == 404
    eventually(lambda: edge.counts(REQUESTS, "route", "method", "status") == expected)
    eventually(
        lambda: kept.exists() and '"requests\\n(unmatched)\\nGET\\n404":{"value":7.' in kept.read_text(), edge.errors
    )
    docker("kill", edge.container)
    docker("start", edge.container)
    edge.wait()
    assert edge.counts(REQUESTS, "route", "method", "status") == expected
    docker("kill", edge.container)
    # A file that is older than what that scrape has seen.
    assert (edge.directory / "state" / "told").read_text() == "7"
    kept.write_text(kept.read_text().replace('"value":7.', '"value":6.'))
    docker("start", edge.container)
    edge.wait()
    assert edge.counts(REQUESTS, "route", "method", "status") == {}
    assert "metrics.json is older than the last scrape: the counters begin anew" in edge.errors()
    docker("kill", edge.container)
    kept.write_text('{"requests')
    (edge.directory / "state" / "routes.json").write_text('{"table')
    docker("start", edge.container)
    edge.wait()
    assert edge.counts(REQUESTS, "route", "method", "status") == {}
    for file in ("metrics", "routes"):
        assert f"{file}.json cannot be read: what was kept in it is forgotten" in edge.errors()
