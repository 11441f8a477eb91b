"""Asks an application behind the edge, and compares what each side tells of it."""

import json
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from tests.apps.cases import Case
from tests.stack import Stack, eventually

REQUESTS = 20
API = ("http://api:9464/metrics", "http_requests_total")
EDGE = ("http://127.0.0.1:9113/metrics", "edge_http_requests_total")
Counts = Counter[tuple[str, str]]
"""Requests by route and status."""


def samples(stack: Stack, name: str, address: str = API[0]) -> list[tuple[dict[str, str], float]]:
    text = stack.compose("exec", "-T", "nginx", "curl", "-fsS", address).stdout
    families = text_string_to_metric_families(text)
    return [(sample.labels, sample.value) for family in families for sample in family.samples if sample.name == name]


def counted(stack: Stack, side: tuple[str, str]) -> Counts:
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
        eventually(
            lambda side=side: counted(stack, side) - before[side] == expected,  # type: ignore[misc]
            lambda side=side: f"{side}: {counted(stack, side) - before[side]}, not {expected}",  # type: ignore[misc]
        )
    for service, logger in (("api", "api.access"), ("nginx", "nginx.access")):
        told = lines(stack, service, logger)
        assert {name: told.get(name) for name in ids} == ids
