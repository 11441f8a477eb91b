"""Server-sent events of an application as it was released (fakellm): whole, left by the client, broken by itself."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.apps.asking import API, EDGE, Counts, Side, counted, grown, latencies, samples, told
from tests.stack import Stack, eventually

APP = "fakellm.server:app"
ROUTE = "/v1/chat/completions"
CLIENTS = 20
SHORTEST = 1.0  # seconds a whole stream takes at least; what is asked for is in released/prepare.py


@pytest.fixture(scope="module")
def streaming(unmodified: Stack) -> Stack:
    """The stack with the application that streams."""
    if unmodified.settings["APP"] != APP:
        unmodified.set(APP=APP)
    return unmodified


@pytest.fixture
def before(streaming: Stack) -> dict[Side, Counts]:
    """What both sides had counted."""
    return {side: counted(streaming, side) for side in (API, EDGE)}


def asked(model: str, *, stream: bool = True) -> dict[str, object]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "how are you?"}]}


def seconds(stack: Stack, name: str) -> tuple[float, float]:
    """Return the count and the sum of a histogram of the API's for the route."""
    count, total = (
        sum(value for labels, value in samples(stack, f"{name}_{part}") if labels["route"] == ROUTE)
        for part in ("count", "sum")
    )
    return count, total


def test_streams_are_counted_alike_and_are_no_latency(streaming: Stack, before: dict[Side, Counts]) -> None:
    measured = latencies(streaming, ROUTE)
    first, whole = (seconds(streaming, f"http_{what}_seconds") for what in ("time_to_first_byte", "request_duration"))
    with streaming.client(limits=httpx.Limits(max_connections=CLIENTS)) as client:

        def follow(_: int) -> str:
            with client.stream("POST", ROUTE, json=asked("short")) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                assert "x-sightglass-route" not in answer.headers
                events = [line for line in answer.iter_lines() if line]
            assert len(events) == 103
            assert events[-1] == "data: [DONE]"
            return str(answer.headers["x-request-id"])

        with ThreadPoolExecutor(CLIENTS) as threads:
            ids = set(threads.map(follow, range(CLIENTS)))
        assert len(ids) == CLIENTS
        for side in (API, EDGE):
            grown(streaming, side, before[side], Counter({(ROUTE, "200"): CLIENTS}))
            told(streaming, side, dict.fromkeys(ids, (ROUTE, 200)))
        # What is no stream is a latency, on the same route too.
        assert latencies(streaming, ROUTE) == measured
        assert client.post(ROUTE, json=asked("short", stream=False)).status_code == 200
        eventually(lambda: latencies(streaming, ROUTE) == measured + 1)
    first_now, whole_now = (
        seconds(streaming, f"http_{what}_seconds") for what in ("time_to_first_byte", "request_duration")
    )
    assert first_now[0] - first[0] == whole_now[0] - whole[0] == CLIENTS + 1
    assert (whole_now[1] - whole[1]) - (first_now[1] - first[1]) > CLIENTS * SHORTEST


def test_a_stream_that_its_client_leaves_ends(streaming: Stack, before: dict[Side, Counts]) -> None:
    """The API counts that; the edge the status that it has passed on (docs/http.md)."""
    measured, first = latencies(streaming, ROUTE), seconds(streaming, "http_time_to_first_byte_seconds")
    ids = set()
    for _ in range(5):
        with streaming.client() as client, client.stream("POST", ROUTE, json=asked("endless")) as answer:
            assert next(answer.iter_lines()).startswith("data: ")
            ids.add(answer.headers["x-request-id"])
    for side, status in ((API, 499), (EDGE, 200)):
        grown(streaming, side, before[side], Counter({(ROUTE, str(status)): 5}))
        told(streaming, side, dict.fromkeys(ids, (ROUTE, status)))
    assert latencies(streaming, ROUTE) == measured
    assert seconds(streaming, "http_time_to_first_byte_seconds")[0] == first[0] + 5
    # Nobody goes on writing for them.
    eventually(lambda: sum(value for _, value in samples(streaming, "http_requests_in_progress")) == 0)


def test_a_stream_that_breaks_is_no_whole_answer(streaming: Stack, before: dict[Side, Counts]) -> None:
    """The client is told so; the API counts a failure, the edge what it has passed on."""
    measured = latencies(streaming, ROUTE)
    ids = set()
    for _ in range(5):
        with streaming.client() as client, client.stream("POST", ROUTE, json=asked("broken")) as answer:
            assert answer.status_code == 200
            ids.add(answer.headers["x-request-id"])
            with pytest.raises(httpx.RemoteProtocolError):
                answer.read()
    for side, status in ((API, 500), (EDGE, 200)):
        grown(streaming, side, before[side], Counter({(ROUTE, str(status)): 5}))
        told(streaming, side, dict.fromkeys(ids, (ROUTE, status)))
    assert latencies(streaming, ROUTE) == measured
    failed = [line for line in streaming.logs("api", tail=200).splitlines() if '"exception' in line]
    assert sum(any(one in line for one in ids) for line in failed) == 5
