"""The container's memory and processor against their limits, from its cgroup, under cAdvisor's names with a prefix.

Both versions of cgroups are read (cgroups(7)). What the cgroup does not say, a limit that is not set or everything
outside of Linux, is absent: there is nothing to be near to.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

CGROUP = Path("/sys/fs/cgroup")

_UNLIMITED = 2**60
"""Bytes; version 1 has a number about as high as it can be where there is no limit."""

Family = CounterMetricFamily | GaugeMetricFamily


class Container(Collector):
    """What the container uses, what it may use, and how often the kernel had to step in."""

    def __init__(self, cgroup: Path = CGROUP) -> None:
        self._cgroup = cgroup

    def describe(self) -> Iterator[Family]:
        """Names only: registering reads nothing."""
        for family, _ in self._families():
            yield family

    def collect(self) -> Iterator[Family]:
        """Read the cgroup now."""
        for family, read in self._families():
            try:
                value = read(self._cgroup)
            except (OSError, LookupError, ValueError):
                continue
            if value is not None:
                family.add_metric([], value)
                yield family

    def _families(self) -> Iterator[tuple[Family, Callable[[Path], float | None]]]:
        prefix = "sightglass_container"
        yield (
            GaugeMetricFamily(f"{prefix}_memory_working_set_bytes", "Memory in use without inactive page cache."),
            _used,
        )
        yield GaugeMetricFamily(f"{prefix}_spec_memory_limit_bytes", "Memory the container may use."), _memory
        yield CounterMetricFamily(f"{prefix}_oom_events", "Processes the kernel killed at that limit."), _killed
        yield CounterMetricFamily(f"{prefix}_cpu_usage_seconds", "Processor time used."), _cpu
        yield GaugeMetricFamily(f"{prefix}_spec_cpu_cores", "Processors the container may use at once."), _cores
        throttled = "Time its processes waited because that limit was used up."
        yield CounterMetricFamily(f"{prefix}_cpu_cfs_throttled_seconds", throttled), _throttled


def _used(cgroup: Path) -> float:
    if (cgroup / "memory.current").exists():
        used, inactive = _number(cgroup / "memory.current"), _table(cgroup / "memory.stat")["inactive_file"]
    else:
        used = _number(cgroup / "memory/memory.usage_in_bytes")
        inactive = _table(cgroup / "memory/memory.stat")["total_inactive_file"]
    return max(0, used - inactive)


def _memory(cgroup: Path) -> float | None:
    if (cgroup / "memory.max").exists():
        limit = (cgroup / "memory.max").read_text().strip()
        return None if limit == "max" else int(limit)
    number = _number(cgroup / "memory/memory.limit_in_bytes")
    return None if number >= _UNLIMITED else number


def _killed(cgroup: Path) -> float:
    if (cgroup / "memory.events").exists():
        return _table(cgroup / "memory.events")["oom_kill"]
    return _table(cgroup / "memory/memory.oom_control")["oom_kill"]


def _cpu(cgroup: Path) -> float:
    if (cgroup / "cpu.stat").exists():
        return _table(cgroup / "cpu.stat")["usage_usec"] / 1e6
    return _number(cgroup / "cpuacct/cpuacct.usage") / 1e9


def _cores(cgroup: Path) -> float | None:
    if (cgroup / "cpu.max").exists():
        quota, period = (cgroup / "cpu.max").read_text().split()
    else:
        quota, period = ((cgroup / f"cpu/cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    return None if quota in {"max", "-1"} else int(quota) / int(period)


def _throttled(cgroup: Path) -> float:
    if (cgroup / "cpu.stat").exists():
        return _table(cgroup / "cpu.stat")["throttled_usec"] / 1e6
    return _table(cgroup / "cpu/cpu.stat")["throttled_time"] / 1e9


def _number(file: Path) -> int:
    return int(file.read_text())


def _table(file: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in file.read_text().splitlines())}


CONTAINER = Container()
REGISTRY.register(CONTAINER)
