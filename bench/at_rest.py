"""What the stack takes while nobody asks anything: memory and image of each service, by the profile that starts it.

Everything but ACME is switched on, and `make up` starts it with the images there; then it is left alone.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

from bench.report import publish, table
from tests.attacks.memory import MEBIBYTE, Memory
from tests.stack import Stack, docker, free_ports
from tests.support.switched_on import PROFILES, SETTINGS

SECTION = "At rest"
SETTLE, MEASURED = 90, 60  # seconds
MEGABYTE = 1000**2
HEAD = ["profile: MiB", "service", "MiB at rest", "image, MB"]


def make_up(directory: Path, profiles: list[str], **settings: str) -> tuple[Stack, float]:
    """Start a stack as a user does; returns it and how many seconds that took."""
    stack = Stack(directory, profiles=profiles, **settings)
    begun = time.monotonic()
    result = stack.run("make", "up")
    if result.returncode != 0:
        stack.down()
        raise RuntimeError(result.stdout[-2000:] + result.stderr[-2000:])
    return stack, time.monotonic() - begun


def until_healthy() -> float:
    """Return the seconds of a first `make up` of the stack as it comes, its images there."""
    with tempfile.TemporaryDirectory() as made:
        stack, seconds = make_up(Path(made), ["monitoring"])
        stack.down()
    return seconds


def started_by(stack: Stack) -> dict[str, str]:
    """Return each service's profile, empty where it starts without one."""
    services = json.loads(stack.compose("--profile", "*", "config", "--format", "json").stdout)["services"]
    return {name: ", ".join(one.get("profiles", [])) for name, one in services.items()}


def image_sizes(stack: Stack) -> dict[str, int]:
    """Return the bytes of each running service's image."""
    return {
        one["Config"]["Labels"]["com.docker.compose.service"]: int(
            docker("image", "inspect", "--format", "{{.Size}}", one["Image"])
        )
        for one in stack.inspect()
    }


def rows(stack: Stack) -> list[list[str]]:
    """Measure each service; the first of a profile's has the sum of them all."""
    with Memory(stack) as memory:
        time.sleep(MEASURED)
    profiles, sizes = started_by(stack), image_sizes(stack)
    found: dict[str, list[list[str]]] = {}
    sums: dict[str, int] = {}
    for service, held in sorted(memory.held.items()):
        profile = profiles[service]
        sums[profile] = sums.get(profile, 0) + held.most
        size = f"{sizes[service] / MEGABYTE:.0f}"
        found.setdefault(profile, []).append(["", service, f"{held.most / MEBIBYTE:.0f}", size])
    lines = []
    for profile in sorted(found):
        found[profile][0][0] = f"{profile or 'always'}: {sums[profile] / MEBIBYTE:.0f}"
        lines += found[profile]
    return [*lines, [f"everything: {memory.whole / MEBIBYTE:.0f}", "", "", ""]]


def main() -> None:
    """Measure, print and write down."""
    seconds = statistics.median(until_healthy() for _ in range(3))
    with tempfile.TemporaryDirectory() as made:
        on = SETTINGS | {"MLFLOW_PORT": str(free_ports(1)[0])}
        stack, _ = make_up(Path(made), PROFILES, **on)
        try:
            time.sleep(SETTLE)
            measured = rows(stack)
        finally:
            stack.down()
    note = (
        f"The most that a service's container held within {MEASURED} s, without the page cache; one replica. "
        "Images as they are here, stand-ins of Debian's packages among them; Grafana has none. `make up` of the stack "
        f"as it comes, images there, takes {seconds:.0f} s until all of it is healthy (median of 3)."
    )
    publish(SECTION, f"{note}\n\n{table(HEAD, measured)}")


if __name__ == "__main__":
    main()
