"""A Prometheus that holds each state, and what Grafana's packages draw over it."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from monitoring.generate import dashboard
from tests.dashboards.world import STATES
from tests.stack import ROOT, docker
from tests.support.drawing import PICTURES, Drawing, draw
from tests.support.waiting import eventually

DAY = 86400
FIRST = 1_767_610_800
"""When the first state ends (2026-01-05 11:00 UTC); each other does a day after the one before."""
ENDS = {state: FIRST + at * DAY for at, state in enumerate(STATES)}
MINUTES = 30

EVERY_STATE = ("overview", "edge")
TWO_STATES = ("api", "workers", "model", "jobs", "monitoring", "telemetry", "runbook")


def dashboards(state: str) -> tuple[str, ...]:
    """Return which dashboards are drawn in a state."""
    more = {"load": TWO_STATES, "down": TWO_STATES, "no-jobs": ("jobs",), "blind": ("monitoring",)}
    return (*EVERY_STATE, *more.get(state, ()))


def image(directory: Path) -> str:
    """Return the image of Prometheus, pulled or built as the stack's is."""
    env_file = directory / "images.env"
    env_file.touch()
    command = [sys.executable, "scripts/images.py", "--env-file", str(env_file), "prometheus"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    compose = ("--file", str(ROOT / "docker-compose.prod.yml"), "--env-file", str(env_file), "--profile", "monitoring")
    services = json.loads(docker("compose", *compose, "config", "--format", "json"))["services"]
    return str(services["prometheus"]["image"])


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that holds every state."""
    directory = tmp_path_factory.mktemp("world")
    directory.chmod(0o777)
    with (directory / "world.om").open("w") as file:
        for state, end in ENDS.items():
            file.writelines(f"{line}\n" for line in STATES[state](end).openmetrics())
        file.write("# EOF\n")
    name = f"dashboards-test-{uuid.uuid4().hex[:8]}"
    prometheus = image(directory)
    run = ("run", "--volume", f"{directory}:/world", "--user", "65534:65534", "--network", "none", "--rm")
    docker(
        *run, "--entrypoint", "promtool", prometheus,
        "tsdb", "create-blocks-from", "openmetrics", "--quiet", "/world/world.om", "/world/data",
    )  # fmt: skip
    (directory / "prometheus.yml").write_text("{}\n")
    docker(
        "run", "--detach", "--rm", "--name", name, "--publish", "127.0.0.1::9090", "--volume", f"{directory}:/world",
        "--user", "65534:65534", "--entrypoint", "prometheus", prometheus,
        "--config.file=/world/prometheus.yml", "--storage.tsdb.path=/world/data", "--storage.tsdb.retention.time=100y",
    )  # fmt: skip
    try:
        address = f"http://{docker('port', name, '9090/tcp').splitlines()[0]}"

        def ready() -> bool:
            try:
                return httpx.get(f"{address}/-/ready", trust_env=False).is_success
            except httpx.HTTPError:
                return False

        eventually(ready, lambda: docker("logs", name))
        yield address
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.fixture(scope="session")
def drawn(lived: str) -> Callable[[str], Drawing]:
    """Return what is seen in a state; its pictures are in ``artifacts/dashboards``."""
    seen: dict[str, Drawing] = {}

    def of(state: str) -> Drawing:
        if state not in seen:
            paths = [dashboard(ROOT, name) for name in dashboards(state)]
            seen[state] = draw(lived, *paths, to=ENDS[state], minutes=MINUTES, out=PICTURES / state)
        return seen[state]

    return of
