"""The container's memory against its limit, from its cgroup (versions 1 and 2), under cAdvisor's names.

Outside a container, and without a limit, the families are absent: there is nothing to be near to.
"""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CGROUP = Path("/sys/fs/cgroup")

_UNLIMITED = 1 << 60
"""Version 1 says "no limit" by a number close to 2**63."""


class ContainerMemory(Collector):
    """Bytes in use that the kernel cannot simply drop, and the limit at which it kills."""

    def __init__(self, cgroup: Path = CGROUP) -> None:
        self._cgroup = cgroup

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names only: registering reads nothing."""
        yield GaugeMetricFamily("container_memory_working_set_bytes", "Memory in use but for inactive page cache.")
        yield GaugeMetricFamily("container_spec_memory_limit_bytes", "Memory the container may use.")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the cgroup now."""
        v1 = self._cgroup / "memory"
        if v1.is_dir():
            values = _values(v1, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            values = _values(self._cgroup, "memory.max", "memory.current", "inactive_file")
        for family, value in zip(self.describe(), values, strict=False):
            family.add_metric([], value)
            yield family


def _values(cgroup: Path, limit: str, usage: str, inactive: str) -> tuple[()] | tuple[int, int]:
    try:
        most = (cgroup / limit).read_text().strip()
        if most == "max" or int(most) >= _UNLIMITED:
            return ()
        statistics = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        used = int((cgroup / usage).read_text())
    except OSError:
        return ()
    return max(0, used - int(statistics.get(inactive, 0))), int(most)


CONTAINER_MEMORY = ContainerMemory()
REGISTRY.register(CONTAINER_MEMORY)
