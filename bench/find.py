"""`make find` beside `grep`: the CPU time to find one request in large json-file logs, Docker's share of it left out.

Both read the same file, from the page cache, in processes of their own; they take turns, and the medians count. Docker
keeps 50 MB a container here.
"""

import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.report import Figure, publish, table
from scripts.story.entries import clock

ROOT = Path(__file__).resolve().parents[1]
SECTION = "Finding a request"
SIZES = (50, 200)  # MB
ROUNDS = 5
_FIND = """
import sys
from pathlib import Path
from scripts import find
from scripts.story.docker_files import Container, DockerFiles
question, log = sys.argv[1:]
sys.exit(find.main([question], lambda: [DockerFiles([Container("id", "nginx", Path(log))])]))
"""


def write(log: Path, megabytes: int) -> str:
    """Write the edge's lines of so many MB; return the request id of one in the last tenth."""
    chosen, written, size, number = "", 0, megabytes * 1_000_000, 0
    draw = random.Random(4711)
    with log.open("w") as file:
        while written < size:
            request, trace = (f"{draw.getrandbits(128):032x}" for _ in range(2))
            moment = clock(1_795_700_000 + number / 1000)
            line = {
                "timestamp": moment, "level": "INFO", "logger": "nginx.access", "message": "GET /items/{item_id} 200",
                "method": "GET", "route": "/items/{item_id}", "path": f"/items/{number}", "status": 200,
                "duration": 0.004, "request_size": 412, "response_size": 55, "request_id": request, "trace_id": trace,
                "client": "203.0.113.0", "upstream_status": 200, "upstream_duration": 0.003, "upstream_failure": "",
                "cache": "", "protocol": "HTTP/2.0", "tls": "TLSv1.3",
            }  # fmt: skip
            text = json.dumps(line, separators=(",", ":")) + "\n"
            entry = json.dumps({"log": text, "stream": "stdout", "time": moment}, separators=(",", ":"))
            written += file.write(entry + "\n")
            number += 1
            if not chosen and written > 0.9 * size:
                chosen = request
    return chosen


def seconds(*command: str) -> float:
    """Run a command that finds something; return the CPU time it took."""
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.stdout
    return ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime


def main() -> None:
    """Measure, print and write down."""
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for megabytes in SIZES:
            log = Path(directory) / "nginx-json.log"
            request = write(log, megabytes)
            python = (sys.executable, "-c", _FIND)
            ways = {
                "grep -F": ("grep", "-F", request, str(log)),
                "find ID=…": (*python, f"ID={request}", str(log)),
                "find SLOWEST=10": (*python, "SLOWEST=10", str(log)),
            }
            found: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, command in ways.items():
                    found[name].append(seconds(*command))
            medians = {name: statistics.median(taken) for name, taken in found.items()}
            factor = medians["find ID=…"] / medians["grep -F"]
            rows.append([f"{megabytes} MB", *(f"{taken * 1000:.0f} ms" for taken in medians.values()), f"{factor:.1f}"])
    figures = [Figure(f"finding a request in {SIZES[-1]} MB of log lines", "grep -F", factor)]
    note = f"CPU time, median of {ROUNDS} rounds, file in the page cache; with Python's start, without Docker's answer."
    publish(
        SECTION,
        f"{note}\n\n{table(['logs', 'grep -F', 'find ID=…', 'find SLOWEST=10', 'find ID ÷ grep'], rows)}",
        figures,
    )


if __name__ == "__main__":
    main()
