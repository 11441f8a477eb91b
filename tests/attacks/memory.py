"""The memory that containers hold and cannot give back, beside their limits: sampled while they are attacked."""

import re
import threading
from pathlib import Path
from typing import Any, NamedTuple

from tests.stack import Stack

MEBIBYTE = 1024 * 1024
EVERY = 0.1
"""Seconds between two samples."""


class Held(NamedTuple):
    """A service's limit, the most that one of its containers held, and how often the kernel killed for memory."""

    limit: int
    most: int
    killed: int


class Memory:
    """Samples every container of a stack during a `with` block; `held` tells, by service."""

    def __init__(self, stack: Stack) -> None:
        self._containers = [(_service(one), _limit(one), _group(one["State"]["Pid"])) for one in stack.inspect()]
        self._before = [_killed(group) for _, _, group in self._containers]
        self._most = [0] * len(self._containers)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def held(self) -> dict[str, Held]:
        """What was seen so far."""
        seen: dict[str, Held] = {}
        for (service, limit, group), most, before in zip(self._containers, self._most, self._before, strict=True):
            other = seen.get(service, Held(limit, 0, 0))
            seen[service] = Held(limit, max(most, other.most), other.killed + _killed(group) - before)
        return seen

    @property
    def whole(self) -> int:
        """What all containers together held: of each the most that was seen."""
        return sum(self._most)

    def _sample(self) -> None:
        while not self._over.wait(EVERY):
            for number, (_, _, group) in enumerate(self._containers):
                self._most[number] = max(self._most[number], _held(group))


def _service(container: dict[str, Any]) -> str:
    name: str = container["Config"]["Labels"]["com.docker.compose.service"]
    return name


def _limit(container: dict[str, Any]) -> int:
    limit: int = container["HostConfig"]["Memory"]
    return limit


def _group(pid: int) -> Path:
    """Return the directory of a process' memory control group, of version 1 or 2."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory") / path.lstrip("/")
    return Path("/sys/fs/cgroup") / lines[0][2].lstrip("/")


def _held(group: Path) -> int:
    """Return the bytes of anonymous, shared and the kernel's memory: the page cache goes when room is needed."""
    try:
        stat = {
            name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", (group / "memory.stat").read_text(), re.M)
        }
        if "anon" in stat:
            return stat["anon"] + stat["shmem"] + stat.get("kernel", 0) - stat.get("slab_reclaimable", 0)
        return stat["total_rss"] + stat.get("total_shmem", 0) + int((group / "memory.kmem.usage_in_bytes").read_text())
    except OSError:  # the container was restarted
        return 0


def _killed(group: Path) -> int:
    for file in ("memory.events", "memory.oom_control"):
        if (group / file).exists():
            return int(re.findall(r"^oom_kill (\d+)$", (group / file).read_text(), re.M)[0])
    return 0
