"""The end of a cluster, whether it was whole, half started, or killed: nothing of it is left."""

import json
import signal
from contextlib import suppress
from pathlib import Path

from scripts.cluster.layout import HOST_LINK, NAME, NODES, RUN, STATE
from scripts.cluster.node import cgroup_directories, members
from scripts.cluster.processes import ClusterError, end, kill_all, kill_shims, succeeds, until

_CONTROLLERS = ("scheduler", "controller-manager")
_OF_SHIM = "bootstrap.json"
_DEVICES = Path("/var/lib/kubelet/device-plugins")
_EMPTY_AFTERWARDS = (
    *(_DEVICES, _DEVICES.parent, Path("/var/lib/cni/results"), Path("/var/lib/cni")),
    Path("/var/log/containers"),
)


def down() -> None:
    """End every process, and remove containers, mounts, cgroups, the network namespace and the directories.

    Raises:
        ClusterError: something of it is left.

    """
    nodes = [node.name for node in NODES]
    for name in (*(f"{part}-{node}" for node in nodes for part in ("kubelet", "proxy", "router")), *_CONTROLLERS):
        end(name)
    # The API server waits for etcd when it is to end, and etcd for nobody.
    for name in ("apiserver", "etcd", *(f"containerd-{node}" for node in nodes)):
        end(name, signal.SIGKILL)
    kill_shims()
    until("the containers' processes", _killed, 30)
    for place in _mounts():
        succeeds("umount", "--lazy", place)
    for node in NODES:
        succeeds("ip", "netns", "delete", node.network_namespace)
    succeeds("ip", "link", "delete", HOST_LINK)
    for file in _elsewhere():
        file.unlink(missing_ok=True)
    for directory in _EMPTY_AFTERWARDS:
        with suppress(OSError):
            directory.rmdir()  # another one's, where it is not empty
    for directory in (STATE, RUN):
        succeeds("rm", "-rf", "--one-file-system", str(directory), seconds=120)
    until("the cgroups", _without_cgroups, 30)
    if found := left():
        raise ClusterError(f"left: {', '.join(found)}")


def left() -> list[str]:
    """Name what there is of a cluster."""
    namespaces = [Path("/run/netns") / node.network_namespace for node in NODES]
    links = Path("/sys/class/net") / HOST_LINK
    paths = [STATE, RUN, *namespaces, links, *cgroup_directories()]
    return [str(path) for path in [*(path for path in paths if path.exists()), *_elsewhere()]] + _mounts()


def _elsewhere() -> list[Path]:
    """Find what kubelet and the network plugins keep at places that nobody can choose."""
    results = Path("/var/lib/cni/results")
    networks = list(results.glob(f"{NAME}-*-eth0"))
    pods = [path.name.removeprefix(f"{NAME}-").removesuffix("-eth0") for path in networks]
    loops = [results / f"cni-loopback-{pod}-lo" for pod in pods]
    logs = [link for link in Path("/var/log/containers").glob("*.log") if str(link.readlink()).startswith(f"{STATE}/")]
    shims = [Path(json.loads(file.read_text())["address"].removeprefix("unix://")) for file in RUN.rglob(_OF_SHIM)]
    devices = [_DEVICES / "kubelet.sock"] if STATE.exists() else []
    return [path for path in [*networks, *loops, *logs, *shims, *devices] if path.is_symlink() or path.exists()]


def _mounts() -> list[str]:
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    ours = [place for place in places if place.startswith((f"{STATE}/", f"{RUN}/"))]
    return sorted(ours, reverse=True)  # what is below another comes first


def _killed() -> bool:
    found = members()
    kill_all(found)
    return not found


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
