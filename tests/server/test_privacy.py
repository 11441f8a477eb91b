"""Nothing a client sends is in a log, a label, an error or a job's record, whatever goes wrong."""

import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.server.server import ROOT, SECONDS, Server, prefixed
from tests.support.waiting import awaited

MEBIBYTE = 1024 * 1024
MARKER = "Marker4711"
KEY = f"{MARKER}-is-the-key-of-somebody"
BODIES = {
    "text/plain": [f"{MARKER} fail", f"{MARKER} fail, the disk too", f"{MARKER} Zaphod", f"{MARKER}\udcff"],
    "text/csv": [f"a,{MARKER} fail\n", f'a,"{MARKER}', f'a,"b"{MARKER}\n'],
    "application/xml": [f"<a>{MARKER} fail</a>", f"<{MARKER}>", f"<!DOCTYPE {MARKER}><a/>", f"<a>&{MARKER};</a>"],
    "application/x-ndjson": [f'{{"{MARKER}": "fail"}}\n', f'"{MARKER}'],
    "application/json": [
        f'{{"text": "{MARKER} fail"}}',
        f'{{"text": {MARKER}}}',
        f'{{"{MARKER}": 1}}',
        f'["{MARKER}"]',
    ],
    f"multipart/form-data; boundary={MARKER}": [f'--{MARKER}\nContent-Disposition: form-data; filename="{MARKER}"\n'],
    f"text/plain; charset={MARKER}": [MARKER],
    MARKER: [MARKER],
}
HEADERS = {
    "Authorization": f"Bearer {KEY}",
    "Cookie": f"session={MARKER}",
    "User-Agent": MARKER,
    "Referer": f"https://example.org/{MARKER}",
    "X-Request-ID": f"{MARKER} is no id",
    "Traceparent": MARKER,
    "Accept": MARKER,
}


def listed(server: Server) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = server.client.get("/api/v1/jobs?limit=1000").json()["jobs"]
    return jobs


def test_markers_are_nowhere(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (tmp_path / "keys").write_text(f"somebody:{KEY}\n")
    settings: dict[str, Any] = {
        "RUNS_DIR": str(runs),
        "API_KEYS_FILE": str(tmp_path / "keys"),
        "LOG_LEVEL": "DEBUG",
        "JOB_ATTEMPTS": "1",
        "MAX_TEXT_LENGTH": "100",
    }
    errors: list[httpx.Response] = []
    numbers = itertools.count()
    with Server(tmp_path, APP="tests.support.failing_app:app", **settings) as server:
        errors.append(server.client.get("/api/v1/jobs", headers={"Authorization": f"Bearer {MARKER}"}))
        server.client.headers["Authorization"] = f"Bearer {KEY}"
        for path in ("predict", "process", "jobs", "predict/x", "jobs/x/result"):
            for media_type, bodies in BODIES.items():
                for body in bodies:
                    for extra in ({}, {"Content-Encoding": "gzip"}, {"Content-Encoding": MARKER}):
                        answer = server.client.post(
                            f"/api/v1/{path}?language=en&{MARKER}={MARKER}",
                            content=body.encode("utf-8", "surrogateescape"),
                            headers={
                                **HEADERS,
                                **extra,
                                "Content-Type": media_type,
                                "Idempotency-Key": f"{MARKER}-{next(numbers)}",
                            },
                        )
                        errors += [answer] if answer.is_error else []
        for query in (f"language={MARKER}", f"min_confidence={MARKER}"):
            errors.append(
                server.client.post(f"/api/v1/process?{query}", content="a", headers={"Content-Type": "text/csv"})
            )
        errors.append(server.client.get(f"/api/v1/jobs?limit={MARKER}"))
        jobs = listed(server)
        job_log = tmp_path / "jobs"
        with job_log.open("wb") as out:
            job_process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.failing_app"],
                env={**os.environ, **prefixed(settings)},
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )
        try:
            awaited(
                lambda: (
                    not {"queued", "running"}
                    & {job["status"] for job in server.client.get("/api/v1/jobs").json()["jobs"]}
                )
            )
        finally:
            job_process.terminate()
            job_process.wait(30)
        done = listed(server)
        metrics = server.get("/metrics").text
        assert server.stop() == 0
        failures = [line for line in server.lines() if line["message"] == "the model failed: ValueError"]
        outputs = {
            "stdout": server.stdout(),
            "stderr": server.stderr(),
            "job process": job_log.read_text(),
            "metrics": metrics,
            "jobs": str(done),
            "records": "".join(path.read_bytes().decode("latin-1") for path in runs.glob("jobs.db*")),
            "queue": (runs / "queue.db").read_bytes().decode("latin-1"),
            "errors": "".join(f"{error.headers} {error.text}" for error in errors),
        }
    assert len(jobs) == len(done) > 10
    assert {job["status"] for job in done} == {"succeeded", "failed", "dead"}
    assert {error.status_code for error in errors} >= {401, 404, 415, 422, 500}
    requests = {error.headers["x-request-id"] for error in errors if error.status_code == 500}
    assert {line["request_id"] for line in failures} == requests  # which request it was is said
    assert "job " in outputs["job process"]
    assert "job left as it was: OSError" in outputs["job process"]
    assert [name for name, text in outputs.items() if MARKER in text] == []


def test_who_sends_too_much_is_told_so_though_all_of_it_is_on_its_way(tmp_path: Path) -> None:
    """A server that closes with bytes unread resets the connection, and its answer is lost: 502 at the edge."""
    size = 4 * MEBIBYTE
    heads = {
        "announced": f"Content-Length: {size}",
        "in chunks": "Transfer-Encoding: chunked",
    }
    body = {"announced": b" " * size, "in chunks": b"%x\r\n%b\r\n0\r\n\r\n" % (size, b" " * size)}
    with Server(tmp_path, APP="api.main:app", RUNS_DIR=str(tmp_path)) as server:
        for how, head in itertools.islice(itertools.cycle(heads.items()), 20):
            with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
                request = (
                    f"POST /api/v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}\r\n\r\n"
                )
                connection.sendall(request.encode() + body[how])
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                assert (answer.status, json.loads(answer.read())["status"]) == (413, 413)
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                after = http.client.HTTPResponse(connection)
                after.begin()
                assert after.status == 200
