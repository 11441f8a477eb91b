"""The API does what its OpenAPI description says, whatever it is sent: schemathesis through the edge.

A share of it, and the same, in every run; `make fuzz` sends 20,000 requests, of a new seed each time, which a failure
shows.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.stack import ROOT, Stack, say

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1000"))
RANDOM = "FUZZ_REQUESTS" in os.environ
ROUND = 40  # seconds of one run of the tool
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance"
)


@pytest.mark.timeout(3600)
def test_no_answer_is_a_500_or_outside_the_schema(service: Stack, tmp_path: Path) -> None:
    before = answers(service)
    tool = Path(sys.executable).with_name("schemathesis")
    sent = rounds = 0
    while sent < REQUESTS:
        result = subprocess.run(
            [
                tool, "--no-color", "run", f"{service.https_url}/openapi.json",
                f"--checks={CHECKS}", f"--tls-verify={service.certificate}", f"--max-time={ROUND}", "--workers=1",
                "--request-timeout=60", "--continue-on-failure", "--warnings=off",
                *([] if RANDOM else [f"--seed={rounds}"]),
            ],
            cwd=tmp_path, env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.support.fuzz_hooks", "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout[-60_000:] + result.stderr[-2000:]
        now = answers(service)
        sent = sum(now.values()) - sum(before.values())
        say(f"{sent} requests")
        rounds += 1
    assert {status: count for status, count in answers(service).items() if status.startswith("5")} == {
        status: count for status, count in before.items() if status.startswith("5")
    }


def answers(service: Stack) -> Counter[str]:
    """Return the edge's count of answers by status, without zeros."""
    text = service.compose("exec", "-T", "nginx", "curl", "-fsS", "http://127.0.0.1:9113/metrics").stdout
    counts: Counter[str] = Counter()
    for status, count in re.findall(r'^edge_http_requests_total\{.*status="(\d+)".*\} (\d+)', text, re.MULTILINE):
        counts[status] += int(count)
    return +counts
