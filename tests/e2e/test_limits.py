"""The rate limit a client meets: contract defaults, 429 as a problem with Retry-After."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.stack import Stack

BURST = 60


def test_a_burst_is_cut_off_and_counted(stack: Stack) -> None:
    limited = 'sum(edge_http_requests_total{status="429"}) or vector(0)'
    time.sleep(3)  # a full bucket again, whatever ran before
    before = stack.value(limited)
    assert before is not None
    with stack.client(limits=httpx.Limits(max_connections=BURST)) as client, ThreadPoolExecutor(BURST) as pool:
        answers: list[httpx.Response] = []
        while all(answer.status_code == 200 for answer in answers):  # a machine may take longer for one than the limit
            answers += pool.map(lambda _: client.get("/health"), range(BURST))
    refused = [a for a in answers if a.status_code == 429]
    served = [a for a in answers if a.status_code == 200]
    assert len(refused) + len(served) == len(answers)
    # 1 + burst of 20 at once, and 10 a second while the rest arrived.
    assert len(served) >= 21
    assert refused
    for answer in refused:
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json()["status"] == 429
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    stack.wait_for_value(limited, before + len(refused))
    time.sleep(3)
