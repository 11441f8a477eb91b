"""Asks an application behind the edge, and compares what each side tells of it."""

import json
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from tests.apps.cases import Case
from tests.stack import Stack, eventually

REQUESTS = 20
Side = tuple[str, str]
"""Where it tells its metrics, and the name of its count of requests."""

API: Side = ("http://api:9464/metrics", "http_requests_total")
EDGE: Side = ("http://127.0.0.1:9113/metrics", "edge_http_requests_total")
LOGS = {API: ("api", "api.access"), EDGE: ("nginx", "nginx.access")}
"""Of each side the service and its access log."""

Counts = Counter[tuple[str, str]]
"""Requests by route and status."""


def samples(stack: Stack, name: str, address: str = API[0]) -> list[tuple[dict[str, str], float]]:
    text = stack.compose("exec", "-T", "nginx", "curl", "-fsS", address).stdout
    families = text_string_to_metric_families(text)
    return [(sample.labels, sample.value) for family in families for sample in family.samples if sample.name == name]


def counted(stack: Stack, side: Side) -> Counts:
    """Return what is counted at one side, without what the stack asks for itself."""
    address, name = side
    counts: Counts = Counter()
    for labels, value in samples(stack, name, address):
        if labels["route"] not in ("/health", "/ready"):
            counts[labels["route"], labels["status"]] += int(value)
    return counts


def lines(stack: Stack, service: str, logger: str) -> dict[str, tuple[str, int]]:
    """Return the route and status that a service's access log has, by request id."""
    logged = stack.compose("logs", "--no-color", "--no-log-prefix", service).stdout.splitlines()
    entries = [json.loads(line) for line in logged if f'"logger":"{logger}"' in line]
    return {entry["request_id"]: (entry["route"], entry["status"]) for entry in entries}


def grown(stack: Stack, side: Side, before: Counts, expected: Counts) -> None:
    """Wait until what is counted at one side has grown by exactly this."""
    eventually(
        lambda: counted(stack, side) - before == expected,
        lambda: f"{side}: {counted(stack, side) - before}, not {expected}",
    )


def told(stack: Stack, side: Side, ids: dict[str, tuple[str, int]]) -> None:
    """Wait until one side's access log has each of these ids, with its route and status."""

    def found() -> dict[str, tuple[str, int] | None]:
        entries = lines(stack, *LOGS[side])
        return {one: entries.get(one) for one in ids}

    eventually(lambda: found() == ids, lambda: f"{side}: {found()}, not {ids}")


def latencies(stack: Stack, route: str) -> float:
    """Return how many requests to a route are in the histogram of which the latency objective is made."""
    counts = samples(stack, "edge_http_request_duration_seconds_count", EDGE[0])
    return sum(value for labels, value in counts if labels["route"] == route)


def agree(stack: Stack, cases: list[Case]) -> None:
    """Send each request twenty times: both sides count each one, by one template, under the answer's id."""
    before = {side: counted(stack, side) for side in (API, EDGE)}
    ids: dict[str, tuple[str, int]] = {}
    expected: Counts = Counter()
    with stack.client() as client:
        for path, route, status in cases:
            for _ in range(REQUESTS):
                answer = client.get(path)
                assert answer.status_code == status, (path, answer.text)
                assert "x-sightglass-route" not in answer.headers
                ids[answer.headers["x-request-id"]] = (route, status)
            expected[route, str(status)] += REQUESTS
    assert len(ids) == REQUESTS * len(cases)
    for side in (API, EDGE):
        grown(stack, side, before[side], expected)
        told(stack, side, ids)
