"""How many CPUs this process may use: the cgroup's quota and the scheduler's affinity.

Of cgroups only version 2 is read: every distribution's default since Debian 11, Ubuntu 21.10, Fedora 31 and RHEL 9.
"""

import os
from math import ceil
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cpus(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return the CPUs worth a worker each, at least 1; a part of a CPU counts as one."""
    available = len(os.sched_getaffinity(0))
    quota = cpu_quota(cgroups, membership)
    return available if quota is None else max(1, min(available, ceil(quota)))


def cpu_quota(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """Return the CPU quota in CPUs, the lowest from this process's cgroup up to the root; None when there is none."""
    quotas = [
        quota
        for directory in _ancestors(cgroups, _membership(membership))
        if (quota := _quota(cgroups / directory)) is not None
    ]
    return min(quotas, default=None)


def _membership(membership: Path) -> Path:
    """Read the line ``0::path`` (cgroups(7))."""
    paths = [line.removeprefix("0::/") for line in _lines(membership) if line.startswith("0::/")]
    return Path(paths[0] if paths else "")


def _ancestors(cgroups: Path, path: Path) -> list[Path]:
    # In a container the path may be the host's, unknown inside; the mount's root is then the container's own group.
    return [directory for directory in (path, *path.parents) if ".." not in directory.parts] if cgroups.is_dir() else []


def _quota(directory: Path) -> float | None:
    for line in _lines(directory / "cpu.max"):
        quota, period = line.split()
        return None if quota == "max" else int(quota) / int(period)
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
