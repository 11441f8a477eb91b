"""What the edge costs: the full configuration against the barest TLS proxy_pass, in the same run, on the same machine.

Both are the same NGINX with one worker on a CPU of its own; `wrk` has the other and asks the container itself, not a
published port, whose userland proxy costs as much again. The upstream is first an NGINX that answers from memory, on
`wrk`'s CPU, so that the edge alone is measured; then a FastAPI route that does nothing; then the shipped service's
predict. Rounds alternate, and the median of the rounds' ratios counts: whatever else the machine does meets both. Run
as ``python -m bench.edge``; with ``--soak`` it sends a million requests and watches the memory instead.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from bench.report import Figure, publish, table
from tests.edge.containers import Edge, Network, docker
from tests.edge.images import build, choose

CONNECTIONS = 32
CONFIGURATIONS = Path(__file__).parent / "edge_nginx"
PREDICT = CONFIGURATIONS / "predict.lua"
SECTION = "Cost of the edge"
HEAD = ["upstream: edge", "requests/s", "median, ms", "p99, ms", "CPU µs a request"]
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class Round(NamedTuple):
    """What wrk measured, latencies in milliseconds, and the edge's CPU time a request in microseconds."""

    rate: float
    median: float
    p99: float
    cpu: float


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of measurements")
    parser.add_argument("--seconds", type=int, default=4, help="length of each")
    parser.add_argument("--soak", action="store_true", help="a million requests, watching memory")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing. As root, run: apt-get install wrk")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        nginx, base = choose(directory)
        network = Network(nginx, f"sightglass-edge-bench-{uuid.uuid4().hex[:8]}")
        try:
            upstream = start_upstream(network)
            full = start(network, directory / "full")
            if options.soak:
                soak(full)
                return
            bare = start(network, directory / "bare", CONFIGURATIONS / "bare.conf")
            rows = compare("from memory", full, bare, options.rounds, options.seconds)
            network.remove(upstream)
            build(network.api_image, base)
            upstream = network.start_api(WEB_CONCURRENCY="2")
            follow(bare)
            rows += compare("an empty route", full, bare, options.rounds, options.seconds)
            network.remove(upstream)
            build(network.api_image, base, "service")
            network.start_api(
                WEB_CONCURRENCY="2", APP="api.main:app", RUNS_DIR="/tmp", INFERENCE_CONCURRENCY=str(CONNECTIONS)
            )
            follow(bare)
            rows += compare("predict", full, bare, options.rounds, options.seconds, PREDICT)
        finally:
            network.close()
            subprocess.run(["docker", "image", "rm", network.api_image], capture_output=True, check=False)
    publish(
        SECTION,
        f"One NGINX worker on a CPU of its own, {CONNECTIONS} TLS keep-alive connections, {options.rounds} alternating "
        f"rounds of {options.seconds} s; CPU time is the worker's. Full ÷ bare: median (least–most).\n\n"  # noqa: RUF001
        + table(HEAD, rows),
        [
            Figure(
                f"{what} of predict through the edge", "the barest TLS proxy", float(rows[-1][column].split()[0]), goal
            )
            for column, what, goal in ((1, "requests a second", "≥ 0.90"), (3, "p99", "≤ 1"))
        ],
    )


def follow(bare: Edge) -> None:
    """Have the bare proxy, which resolves its upstream when it starts, find the one that runs now."""
    bare.exec("nginx", "-c", "/etc/sightglass/bare.conf", "-s", "reload")
    time.sleep(3)  # and the full one, which asks every two seconds


def start_upstream(network: Network) -> str:
    """Start the answer-from-memory upstream under the name the edge resolves; returns its container's name."""
    return network.run(
        "--network-alias", "api", "--user", "101:101", "--tmpfs", "/tmp:uid=101", "--cpuset-cpus", "1",
        "--volume", f"{CONFIGURATIONS}:/etc/bench:ro", network.nginx_image,
        "/usr/sbin/nginx", "-c", "/etc/bench/upstream.conf", "-g", "daemon off;",
    )  # fmt: skip


def start(network: Network, directory: Path, bare: Path | None = None) -> Edge:
    """Start an edge on one CPU."""
    directory.mkdir()
    directory.chmod(0o755)
    variables = {"RATE_LIMIT": "1000000", "RATE_BURST": "1000000", "CONNECTION_LIMIT": "65535", "NGINX_WORKERS": "1"}
    return Edge(network, directory, variables, bare=bare, cpus="0").wait()


def compare(
    upstream: str, full: Edge, bare: Edge, rounds: int, seconds: int, script: Path | None = None
) -> list[list[str]]:
    """Alternate between the two; returns the table's rows of this upstream."""
    edges = {"bare": bare, "full": full}
    measured: dict[str, list[Round]] = {name: [] for name in edges}
    for edge in edges.values():
        measure(edge, 2, script)
    for number in range(rounds):
        for name in sorted(edges, reverse=number % 2 == 0):
            measured[name].append(measure(edges[name], seconds, script))
    rows = []
    for name, results in measured.items():
        rate, p50, p99, cpu = (statistics.median(values) for values in zip(*results, strict=True))
        rows.append([f"{upstream}: {name}", f"{rate:.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.0f}"])
    pairs = list(zip(measured["full"], measured["bare"], strict=True))
    ratios = [sorted(one[column] / other[column] for one, other in pairs) for column in range(len(Round._fields))]
    shown = [f"{statistics.median(values):.2f} ({values[0]:.2f}–{values[-1]:.2f})" for values in ratios]  # noqa: RUF001
    return [*rows, [f"{upstream}: full ÷ bare", *shown]]


def measure(edge: Edge, seconds: int, script: Path | None = None) -> Round:
    """Run wrk over TLS with keep-alive connections: GETs, or what its script says.

    Raises:
        RuntimeError: an answer was not 2xx, or a connection failed.

    """
    target = f"https://{edge.network.address(edge.container)}:8443/api/v1/jobs/17"
    options = [f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *(["-s", str(script)] if script else [])]
    command = ["taskset", "-c", "1", "wrk", "-t1", *options, target]
    before = cpu_seconds(edge)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(edge) - before
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    rate, requests = re.search(r"Requests/sec:\s+([\d.]+)", output), re.search(r"(\d+) requests in", output)
    assert rate is not None
    assert requests is not None
    return Round(float(rate[1]), latency(output, "50%"), latency(output, "99%"), used / int(requests[1]) * 1e6)


def processes(edge: Edge) -> list[Path]:
    """Return the edge's processes."""
    return [Path("/proc") / line.split()[0] for line in docker("top", edge.container, "-eo", "pid").splitlines()[1:]]


def cpu_seconds(edge: Edge) -> float:
    """Return the CPU time the edge has used so far, in seconds."""
    times = [(process / "stat").read_text().rpartition(")")[2].split()[11:13] for process in processes(edge)]
    return sum(int(ticks) for pair in times for ticks in pair) / os.sysconf("SC_CLK_TCK")


def latency(output: str, name: str) -> float:
    """Return a line of wrk's latency distribution in milliseconds."""
    found = re.search(rf"{name}\s+([\d.]+)(us|ms|s)\b", output)
    assert found is not None, output
    return float(found[1]) * UNITS[found[2]]


def soak(edge: Edge) -> None:
    """Send a million requests and print the workers' memory on the way."""
    sent = 0.0
    while sent < 1_000_000:
        began = time.monotonic()
        sent += measure(edge, 10).rate * 10
        print(f"{sent:>10.0f} requests  {memory(edge):8.1f} MiB  {time.monotonic() - began:5.1f} s", flush=True)


def memory(edge: Edge) -> float:
    """Return the resident memory of all of the edge's processes in MiB."""
    pages = sum(int((process / "statm").read_text().split()[1]) for process in processes(edge))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
