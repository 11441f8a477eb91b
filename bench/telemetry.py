"""What keeping logs and traces takes: memory of the three programs idle and under load, and disk a line.

``python -m bench.telemetry`` starts the stack's part that is measured, beside whatever else runs on the machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.stack import docker, eventually
from tests.telemetry.stores import Telemetry, running

SERVICES = ("collector", "victoria-logs", "jaeger")
RATES = (100, 2000)
"""Lines a second."""


def resident(stack: Telemetry) -> dict[str, float]:
    """Return each service's resident memory in MB."""
    found = {}
    for service in SERVICES:
        (container,) = stack.inspect(service)
        status = Path(f"/proc/{container['State']['Pid']}/status").read_text()
        found[service] = int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6
    return found


def most(stack: Telemetry, seconds: float) -> dict[str, int]:
    """Return the most that each service had within a time."""
    end = time.monotonic() + seconds
    highest = dict.fromkeys(SERVICES, 0.0)
    while time.monotonic() < end:
        for service, now in resident(stack).items():
            highest[service] = max(highest[service], now)
        time.sleep(1)
    return {service: round(value) for service, value in highest.items()}


def size(volume: str) -> int:
    """Return the bytes of a volume's files."""
    mountpoint = docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume)
    return int(subprocess.run(["du", "-sb", mountpoint], capture_output=True, text=True, check=True).stdout.split()[0])


def main() -> int:
    """Measure, and print a JSON object a line.

    Returns:
        0.

    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=60, help="for each load (default: %(default)s)")
    seconds: int = arguments.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory, running(Path(directory), *SERVICES, "telemetry-door") as stack:
        time.sleep(20)
        print(json.dumps({"load": "idle", "MB": most(stack, seconds)}), flush=True)
        for rate in RATES:
            before = size(f"{stack.project}_logs")
            lines = rate * seconds
            with stack.emitting(lines, rate) as service:
                highest = most(stack, seconds)

                def all_there(service: str = service, lines: int = lines) -> bool:
                    return stack.counted(service)[1] == lines

                eventually(all_there, deadline=600)
            grown = (size(f"{stack.project}_logs") - before) / lines
            print(json.dumps({"load": f"{rate} lines/s", "MB": highest, "bytes a line": round(grown)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
