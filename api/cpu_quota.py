"""How many CPUs this process may use: the cgroup's quota (versions 1 and 2) and the scheduler's affinity."""

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
        for version, path in _memberships(membership)
        for directory in _ancestors(cgroups, path)
        if (quota := _quota_v2(cgroups / directory) if version == 2 else _quota_v1(cgroups / "cpu" / directory))
    ]
    return min(quotas, default=None)


def _memberships(membership: Path) -> list[tuple[int, Path]]:
    """Read lines of ``hierarchy:controllers:path`` (cgroups(7)); version 2 has no controllers there."""
    found = []
    for line in _lines(membership):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found.append((2, Path(path.lstrip("/"))))
        elif "cpu" in controllers.split(","):
            found.append((1, Path(path.lstrip("/"))))
    return found


def _ancestors(cgroups: Path, path: Path) -> list[Path]:
    # In a container the path may be the host's, unknown inside; the mount's root is then the container's own group.
    return [directory for directory in (path, *path.parents) if ".." not in directory.parts] if cgroups.is_dir() else []


def _quota_v2(directory: Path) -> float | None:
    for line in _lines(directory / "cpu.max"):
        quota, period = line.split()
        return None if quota == "max" else int(quota) / int(period)
    return None


def _quota_v1(directory: Path) -> float | None:
    quota, period = _lines(directory / "cpu.cfs_quota_us"), _lines(directory / "cpu.cfs_period_us")
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
