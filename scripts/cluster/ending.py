"""The end of a cluster, whether it was whole, half started, or killed: nothing of it is left."""

import signal
from pathlib import Path

from scripts.cluster.layout import HOST_LINK, NETWORK_NAMESPACE, RUN, STATE
from scripts.cluster.node import cgroup_directories
from scripts.cluster.processes import ClusterError, end, kill_all, kill_shims, succeeds, until


def down() -> None:
    """End every process, and remove containers, mounts, cgroups, the network namespace and the directories.

    Raises:
        ClusterError: something of it is left.

    """
    for name in ("kubelet", "proxy", "scheduler", "controller-manager"):
        end(name)
    # The API server waits for etcd when it is to end, and etcd for nobody.
    for name in ("apiserver", "etcd", "containerd"):
        end(name, signal.SIGKILL)
    kill_shims()
    until("the containers' processes", _killed, 30)
    for place in _mounts():
        succeeds("umount", "--lazy", place)
    succeeds("ip", "netns", "delete", NETWORK_NAMESPACE)
    succeeds("ip", "link", "delete", HOST_LINK)
    for directory in (STATE, RUN):
        succeeds("rm", "-rf", "--one-file-system", str(directory), seconds=120)
    until("the cgroups", _without_cgroups, 30)
    if found := left():
        raise ClusterError(f"left: {', '.join(found)}")


def left() -> list[str]:
    """Name what there is of a cluster."""
    namespace = Path("/run/netns") / NETWORK_NAMESPACE
    links = Path("/sys/class/net") / HOST_LINK
    paths = [STATE, RUN, namespace, links, *cgroup_directories()]
    return [str(path) for path in paths if path.exists()] + _mounts()


def _mounts() -> list[str]:
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    ours = [place for place in places if place.startswith((f"{STATE}/", f"{RUN}/"))]
    return sorted(ours, reverse=True)  # what is below another comes first


def _members() -> list[int]:
    """Give the processes in the cluster's cgroups."""
    files = [
        file for directory in cgroup_directories() if directory.exists() for file in directory.rglob("cgroup.procs")
    ]
    found: set[int] = set()
    for file in files:
        try:
            found.update(map(int, file.read_text().split()))
        except OSError:
            continue
    return sorted(found)


def _killed() -> bool:
    members = _members()
    kill_all(members)
    return not members


def _without_cgroups() -> bool:
    for directory in cgroup_directories():
        if directory.exists():
            groups = [path for path in directory.rglob("*") if path.is_dir()]
            for group in [*sorted(groups, key=lambda path: len(path.parts), reverse=True), directory]:
                try:
                    group.rmdir()
                except OSError:
                    break
    return not any(directory.exists() for directory in cgroup_directories())
