"""What the shipped service does, and takes for it: predict at rising load, documents by format, jobs, Presidio alone.

A production stack of its own, its rate limit out of the way; everything goes through TLS and NGINX. CPU time and memory
are those of the API's, or the job processes'. The load comes from the same machine, by `wrk` and httpx.
Run as ``python -m bench.service``.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.report import Figure, publish, table
from tests.stack import Stack, docker, running_stack

TEXT = "Write to ada@example.org or call +44 20 7946 0958. The card is 4111 1111 1111 1111, the invoice from May."
SENTENCE = "Please ask {n}@example.org about the delivery to the old harbour before the end of the week. "
DOCUMENT = 256 * 1024
"""Characters of text in a document, at least."""
ROUNDS = 7
"""Times that each document is sent."""
JOBS = 300
SETTINGS = {"RATE_LIMIT": "100000", "RATE_BURST": "100000", "CONNECTION_LIMIT": "1000", "JOBS_REPLICAS": "2"}
LOADS = (1, 2, 4, 8, 16)
PREDICT = [
    "predict: connections",
    "texts/s",
    "503s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "model ms",
    "CPU ms",
    "÷ floor",
    "MiB",
]
PROCESS = ["process: 256 KiB of sentences as", "MB/s", "CPU s a MB", "÷ floor", "MiB"]
WORK = ["jobs", "jobs/s", "CPU ms", "MiB"]
FLOOR = """
import sys, time
import spacy, tldextract
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine
tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
engine = SpacyNlpEngine([{"lang_code": "en", "model_name": "en"}])
engine.nlp = {"en": spacy.blank("en")}
analyze = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"]).analyze
for text in sys.argv[1:]:
    rounds = max(5, 40000 // len(text))
    began = time.process_time()
    for _ in range(rounds):
        analyze(text, "en", score_threshold=0.35)
    print((time.process_time() - began) / rounds)
"""


class Usage(NamedTuple):
    """CPU time in seconds and resident memory in MiB of a service's processes."""

    cpu: float
    memory: float


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8, help="length of each load of predict")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing. As root, run: apt-get install wrk")
    with running_stack(profiles=[], **SETTINGS) as stack:
        text_floor, window_floor = floor(stack)
        predict(stack, 4, 3, text_floor)
        rows = [predict(stack, load, options.seconds, text_floor) for load in LOADS]
        document_rows = [process(stack, media_type, window_floor) for media_type in documents()]
        job_row = work(stack)
    publish(
        "The shipped service",
        "Everything through TLS and NGINX, 2 gunicorn workers, 2 job processes, the model without `MODEL_PATH`; the "
        f"load comes from the same CPUs. The floor is Presidio as it comes: {text_floor * 1000:.1f} ms of CPU for the "
        f"text of predict ({len(TEXT)} characters), {window_floor:.1f} s for 1 MB of the documents' sentences in "
        "windows. “Model” is the time from a text's turn to its end, waiting for a CPU included; a 503 is a worker's "
        "`INFERENCE_CONCURRENCY` (8) reached, as connections are not spread evenly. Each document is sent "
        f"{ROUNDS} times; its figures are medians.\n\n"
        + table(PREDICT, rows)
        + "\n\n"
        + table(PROCESS, document_rows)
        + "\n\n"
        + table(WORK, [job_row]),
        [
            Figure("predict through the whole stack, CPU", "Presidio alone", float(rows[0][-2])),
            Figure("process of plain text, CPU", "Presidio alone", float(document_rows[0][-2])),
        ],
    )


def floor(stack: Stack) -> tuple[float, float]:
    """Return Presidio's own CPU time for the text, in seconds, and for 1 MB of sentences."""
    window = sentences(2048)[:2048]
    text, windowed = stack.compose("exec", "-T", "api", "python", "-c", FLOOR, TEXT, window).stdout.split()
    return float(text), float(windowed) * 1e6 / len(window)


def predict(stack: Stack, connections: int, seconds: int, least: float) -> list[str]:
    """Load predict with wrk; returns a row of the table.

    Raises:
        RuntimeError: a connection failed.

    """
    before, model_before = usage(stack, "api"), model_time(stack)
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(Path(__file__).with_name("predict.lua")),
        f"{stack.https_url}/api/v1/predict",
    ]  # fmt: skip
    environment = os.environ | {"BODY": json.dumps({"text": TEXT})}
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    requests, duration, p50, p95, p99, refused, errors = map(int, output.splitlines()[-1].split())
    if errors:
        raise RuntimeError(output)
    after, model_after = usage(stack, "api"), model_time(stack)
    answered = requests - refused
    cpu = (after.cpu - before.cpu) / answered
    model = (model_after[0] - model_before[0]) / (model_after[1] - model_before[1])
    latencies = [f"{microseconds / 1000:.1f}" for microseconds in (p50, p95, p99)]
    figures = [f"{model * 1000:.1f}", f"{cpu * 1000:.1f}", f"{cpu / least:.2f}", f"{after.memory:.0f}"]
    return [str(connections), f"{answered / duration * 1e6:.0f}", str(refused), *latencies, *figures]


def process(stack: Stack, media_type: str, least: float) -> list[str]:
    """Send a document `ROUNDS` times; returns a row of the table, medians."""
    document = documents()[media_type]
    megabytes = len(document) / 1e6
    speeds, costs = [], []
    for _ in range(ROUNDS):
        before = usage(stack, "api")
        with stack.client(timeout=300) as client:
            began = time.perf_counter()
            answer = client.post("/api/v1/process", content=document.encode(), headers={"Content-Type": media_type})
            speeds.append(megabytes / (time.perf_counter() - began))
        answer.raise_for_status()
        after = usage(stack, "api")
        costs.append((after.cpu - before.cpu) / megabytes)
    cpu = median(costs)
    return [media_type, f"{median(speeds):.2f}", f"{cpu:.1f}", f"{cpu / least:.2f}", f"{after.memory:.0f}"]


def work(stack: Stack) -> list[str]:
    """Make many short jobs at once and wait for their end; returns a row of the table."""
    before = usage(stack, "jobs")
    form = [("document", ("a", TEXT, "text/plain")) for _ in range(JOBS)]
    with stack.client(timeout=60) as client:
        began = time.perf_counter()
        answer = client.post("/api/v1/jobs", files=form)
        answer.raise_for_status()
        while client.get(answer.headers["location"]).text.count('"succeeded"') < JOBS:
            time.sleep(0.2)
        took = time.perf_counter() - began
    after = usage(stack, "jobs")
    cpu = (after.cpu - before.cpu) / JOBS
    return [f"{JOBS} of one text", f"{JOBS / took:.0f}", f"{cpu * 1000:.1f}", f"{after.memory:.0f}"]


def documents() -> dict[str, str]:
    """Return the same sentences in every format."""
    lines = [SENTENCE.format(n=n).strip() for n in range(DOCUMENT // len(SENTENCE))]
    return {
        "text/plain": "\n".join(lines),
        "text/csv": "".join(f"{n},{line}\n" for n, line in enumerate(lines)),
        "application/xml": "<a>" + "".join(f"<b>{line}</b>" for line in lines) + "</a>",
        "application/x-ndjson": "".join(json.dumps({"n": n, "text": line}) + "\n" for n, line in enumerate(lines)),
    }


def sentences(length: int) -> str:
    """Return at least so many characters of sentences."""
    return "".join(SENTENCE.format(n=n) for n in range(length // len(SENTENCE) + 1))


def usage(stack: Stack, service: str) -> Usage:
    """Return what a service's processes have used and hold."""
    cpu = memory = 0.0
    for container in stack.compose("ps", "--quiet", service).stdout.split():
        for line in docker("top", container, "-eo", "pid").splitlines()[1:]:
            directory = Path("/proc") / line.strip()
            ticks = (directory / "stat").read_text().rpartition(")")[2].split()[11:13]
            cpu += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
            memory += int((directory / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Usage(cpu, memory)


def model_time(stack: Stack) -> tuple[float, float]:
    """Return the sum, in seconds, and the count of the API's inferences."""
    text = stack.compose("exec", "-T", "nginx", "curl", "-fsS", "http://api:9464/metrics").stdout
    total, count = (
        sum(map(float, re.findall(rf"^model_inference_duration_seconds_{kind}\S* (\S+)", text, re.MULTILINE)))
        for kind in ("sum", "count")
    )
    return total, count


if __name__ == "__main__":
    main()
