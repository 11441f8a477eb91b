"""Personal data in real text is found and redacted, and Prometheus counts exactly those requests."""

import time
from typing import Any

from tests.stack import Stack

TEXT = "Write to ada@example.org or call +44 20 7946 0958. The card is 4111 1111 1111 1111."
REQUESTS = 40


def counted(status: int) -> str:
    return f'sum(http_requests_total{{method="POST",route="/api/v1/predict",status="{status}"}}) or vector(0)'


def test_personal_data_is_found_and_redacted(stack: Stack) -> None:
    with stack.client() as client:
        answer = client.post("/api/v1/predict", json={"text": TEXT, "language": "en", "anonymize": True})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    found = {TEXT[e["start"] : e["end"]]: e["type"] for e in body["entities"]}
    assert found["ada@example.org"] == "EMAIL_ADDRESS"
    assert found["4111 1111 1111 1111"] == "CREDIT_CARD"
    assert "ada@example.org" not in body["redacted"]
    assert "4111" not in body["redacted"]
    assert body["model"]["name"]
    assert body["model"]["version"]


def test_prometheus_counts_exactly_the_requests_sent(stack: Stack) -> None:
    stack.wait_for_scrape()
    good, bad = stack.value(counted(200)), stack.value(counted(422))
    histogram = 'sum(http_request_duration_seconds_count{method="POST",route="/api/v1/predict"}) or vector(0)'
    timed = stack.value(histogram)
    assert good is not None
    assert bad is not None
    assert timed is not None
    for number in range(REQUESTS):
        # A new connection each time, so that both workers get their share.
        with stack.client() as client:
            body: dict[str, Any] = {"text": TEXT} if number % 4 else {"txt": TEXT}
            client.post("/api/v1/predict", json=body)
        time.sleep(0.12)  # below the rate limit
    expected = {counted(200): good + REQUESTS * 3 // 4, counted(422): bad + REQUESTS // 4}
    stack.wait_for_values(expected | {histogram: timed + REQUESTS})


def test_bad_requests_are_problems(stack: Stack) -> None:
    cases: list[tuple[Any, int]] = [
        ({"text": 1}, 422),
        ({}, 422),
        ({"text": TEXT, "language": "tlh"}, 422),
        ({"text": TEXT, "min_confidence": 2}, 422),
        ({"text": TEXT, "unknown": True}, 422),
    ]
    with stack.client() as client:
        for body, status in cases:
            answer = client.post("/api/v1/predict", json=body)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
            assert "ada@example.org" not in answer.text
            time.sleep(0.12)
