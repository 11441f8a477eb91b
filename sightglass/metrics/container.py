"""The container's memory against its limit, from its cgroup (version 2), under cAdvisor's names with a prefix.

Outside a container, and without a limit, the families are absent: there is nothing to be near to.
"""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CGROUP = Path("/sys/fs/cgroup")


class ContainerMemory(Collector):
    """Bytes in use that the kernel cannot simply drop, and the limit at which it kills."""

    def __init__(self, cgroup: Path = CGROUP) -> None:
        self._cgroup = cgroup

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names only: registering reads nothing."""
        yield GaugeMetricFamily(
            "sightglass_container_memory_working_set_bytes", "Memory in use without inactive page cache."
        )
        yield GaugeMetricFamily("sightglass_container_spec_memory_limit_bytes", "Memory the container may use.")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the cgroup now."""
        values = _values(self._cgroup)
        for family, value in zip(self.describe(), values, strict=False):
            family.add_metric([], value)
            yield family


def _values(cgroup: Path) -> tuple[()] | tuple[int, int]:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        if limit == "max":
            return ()
        statistics = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        used = int((cgroup / "memory.current").read_text())
    except OSError:
        return ()
    return max(0, used - int(statistics.get("inactive_file", 0))), int(limit)


CONTAINER_MEMORY = ContainerMemory()
REGISTRY.register(CONTAINER_MEMORY)
