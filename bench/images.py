"""How long the shipped service's image takes to build, and to start, beside what the source systems' deployments state.

Building: everything anew, the packages' downloads included; then with nothing changed; then with a line of the service
changed, in a copy of the tree. Starting: from `docker start` until /ready is 200, with two workers. Cold is a new
container whose files are not in the page cache, warm the same one stopped and started again.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx

from bench.report import Figure, publish, table
from tests.edge.images import choose
from tests.stack import NOT_COPIED, ROOT, docker, eventually, free_ports

SECTION = "Building and starting the image"
ROUNDS = 5
THEIRS = {
    "build, nothing there but the base image": 300,
    "build again, a line of the service changed": 45,
    "build again, nothing changed": 30,
    "cold start until ready": 10,
    "warm start until ready": 2,
}
"""Seconds, as the source systems' documents state them."""
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def taken(action: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def build(directory: Path, tag: str, base: str | None, *options: str) -> None:
    """Build the image as `make up` does."""
    docker(
        "buildx", "build", "--load", "--quiet", "--target", "service", "--tag", tag, *options,
        *([f"--build-arg=PYTHON_IMAGE={base}"] if base else []),
        "--secret", f"id=ca_bundle,src={BUNDLE if BUNDLE.exists() else '/dev/null'}",
        "--secret", "id=pip_conf,src=/dev/null", str(directory),
    )  # fmt: skip


def forget(container: str) -> None:
    """Take the files that a container sees out of the page cache, those it does not use just now."""
    layers = docker("inspect", "--format", "{{.GraphDriver.Data.LowerDir}}", container).split(":")
    os.sync()
    for directory in layers:
        for path in Path(directory).rglob("*"):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def until_ready(port: int, *command: str) -> float:
    """Return the seconds from a command of Docker's until the service is ready."""

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def start() -> None:
        docker(*command)
        eventually(ready, lambda: f"not ready after {' '.join(command)}")

    return taken(start)


def starts(tag: str) -> tuple[list[float], list[float]]:
    """Return how long cold and warm starts take."""
    cold, warm = [], []
    for _ in range(ROUNDS):
        (port,) = free_ports(1)
        name = f"bench-images-{uuid.uuid4().hex[:8]}"
        docker(
            "create", "--name", name, "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--publish", f"127.0.0.1:{port}:8000", "--env", "SIGHTGLASS_WEB_CONCURRENCY=2", tag,
        )  # fmt: skip
        try:
            forget(name)
            cold.append(until_ready(port, "start", name))
            docker("stop", name)
            warm.append(until_ready(port, "start", name))
        finally:
            docker("rm", "--force", "--volumes", name)
    return cold, warm


def main() -> None:
    """Measure, print and write down."""
    tag = f"bench-images-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as made:
        tree = Path(made) / "tree"
        _, base = choose(Path(made))
        shutil.copytree(ROOT, tree, ignore=NOT_COPIED)
        try:
            anew = taken(lambda: build(tree, tag, base, "--no-cache"))
            same = taken(lambda: build(tree, tag, base))
            with (tree / "api" / "main.py").open("a") as file:
                file.write(f"# {uuid.uuid4()}\n")
            changed = taken(lambda: build(tree, tag, base))
            cold, warm = starts(tag)
        finally:
            subprocess.run(["docker", "image", "rm", "--force", tag], capture_output=True, check=False)
    ours = (anew, changed, same, statistics.median(cold), statistics.median(warm))
    rows = [[what, f"{seconds:.1f} s", f"{said} s"] for (what, said), seconds in zip(THEIRS.items(), ours, strict=True)]
    figures = [
        Figure(f"image: {what}", f"the source systems' {said} s", seconds / said, "≤ 1")
        for (what, said), seconds in zip(THEIRS.items(), ours, strict=True)
    ]
    note = (
        "Wall-clock, on a machine with other work; packages come by its own way to its index. Theirs are figures of "
        f"the source systems' documents, on machines of their own. Starts: median of {ROUNDS}, two workers, the model "
        "without `MODEL_PATH` loaded. Cold: a new container, its files not in the page cache; warm: the same again."
    )
    publish(SECTION, f"{note}\n\n{table(['', 'ours', 'theirs'], rows)}", figures)


if __name__ == "__main__":
    main()
