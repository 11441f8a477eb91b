"""``python3 -m scripts.cluster parts|up|down``."""

import fcntl
import sys
import time
from typing import TextIO

from scripts.cluster import control_plane, ending, keys, node, parts
from scripts.cluster.layout import CACHE, HERE, KUBECONFIG, LOGS, RUN
from scripts.cluster.processes import ClusterError, run
from scripts.commands import CommandError, say, step


def up() -> None:
    """Start a cluster of one node; what an earlier one has left goes first.

    Raises:
        ClusterError: it did not come up.
        CommandError: a part could not be had.

    """
    parts.get()
    _alone()
    ending.down()
    step("starting a cluster")
    begun = time.monotonic()

    def tell(what: str) -> None:
        say(f"{time.monotonic() - begun:5.1f} s  {what}")

    LOGS.mkdir(parents=True)
    RUN.mkdir()
    node.make_network()
    node.make_cgroups()
    keys.make()
    control_plane.start_all()
    tell("API server, controllers, scheduler")
    node.start_containerd()
    node.import_part("coredns")
    tell("containerd")
    node.start_kubelet()
    tell("node ready")
    run("kubectl", "apply", "-f", str(HERE / "dns.yaml"))
    run("kubectl", "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=90s", seconds=100)
    tell(f"DNS; export KUBECONFIG={KUBECONFIG}")


_held: list[TextIO] = []


def _alone() -> None:
    """Wait for whoever else has a cluster, as tests do until their end; the lock is the kernel's and goes with us."""
    lock = (CACHE / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        step("waiting for another cluster's end")
        fcntl.flock(lock, fcntl.LOCK_EX)
    _held.append(lock)


COMMANDS = {"parts": parts.get, "up": up, "down": ending.down}


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        COMMANDS[arguments[0]]()
    except (ClusterError, CommandError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
