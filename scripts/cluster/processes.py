"""The cluster's processes: started in its network namespace, noted, and ended by their number."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from scripts.cluster import parts
from scripts.cluster.layout import FIRST, KUBECONFIG, LOGS, RUN, STATE, Node


class ClusterError(Exception):
    """Something did not come to be in time, or failed."""


def in_network(node: Node = FIRST) -> tuple[str, ...]:
    """Return what a command begins with that runs in a node's network.

    `ip netns exec` would mount another /sys.
    """
    return ("nsenter", f"--net=/run/netns/{node.network_namespace}")


def environment(node: Node = FIRST) -> dict[str, str]:
    """Return the environment in which commands find the cluster, a node's containers, and all parts."""
    return os.environ | {
        "PATH": parts.search_path(),
        "KUBECONFIG": str(KUBECONFIG),
        "HOME": str(STATE),  # caches go with the cluster
        "DOCKER_CONFIG": os.environ.get("DOCKER_CONFIG", str(Path.home() / ".docker")),
        "CONTAINERD_ADDRESS": str(node.containerd),
        "CONTAINERD_NAMESPACE": "k8s.io",
    }


def start(name: str, *command: str, node: Node = FIRST) -> None:
    """Start a process that outlives this one, in a node's network."""
    with (LOGS / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*in_network(node), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment(node),
        )
    (LOGS / f"{name}.pid").write_text(f"{process.pid} {_started(process.pid)}")


def run(*command: str, given: str | None = None, seconds: float = 60, node: Node = FIRST) -> str:
    """Run a command that must succeed, for what it prints.

    Raises:
        ClusterError: it failed, or took longer.

    """
    try:
        result = subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=seconds, env=environment(node)
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{' '.join(command)}: nothing within {seconds:.0f} s") from None
    if result.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {(result.stderr or result.stdout).strip()[-2000:]}")
    return result.stdout


def until(what: str, holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds.

    Raises:
        ClusterError: it does not in time.

    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {seconds:.0f} s; logs in {LOGS}")
        time.sleep(0.2)


def succeeds(*command: str, seconds: float = 10, node: Node = FIRST) -> bool:
    """Tell whether a command succeeds in time."""
    try:
        run(*command, seconds=seconds, node=node)
    except ClusterError:
        return False
    return True


def end(name: str, number: int = signal.SIGTERM, seconds: float = 5) -> None:
    """End a process that was noted: it has so long, then it is killed."""
    noted = LOGS / f"{name}.pid"
    if not noted.exists():
        return
    pid, _, started = noted.read_text().partition(" ")
    for signalled, patience in ((number, seconds), (signal.SIGKILL, 10.0)):
        if not _runs(int(pid), started):
            break
        os.kill(int(pid), signalled)
        deadline = time.monotonic() + patience
        while _runs(int(pid), started) and time.monotonic() < deadline:
            _reap(int(pid))
            time.sleep(0.05)
    noted.unlink()


def kill_shims() -> None:
    """Kill what stands between containerd and its containers; it is known by containerd's address."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"containerd-shim-runc-v2") and any(word.startswith(f"{RUN}/".encode()) for word in words):
            _kill(int(process.name))


def kill_all(pids: Sequence[int]) -> None:
    """Kill processes."""
    for pid in pids:
        _kill(pid)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _started(pid: int) -> str:
    """proc(5): the 22nd field of stat, so that another process of the same number is none of ours."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]


def _runs(pid: int, started: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return False
    return state[19] == started and state[0] not in ("Z", "X")


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
