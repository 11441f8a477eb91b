"""What a container uses and may use, from files as either version of cgroups has them."""

from pathlib import Path

import pytest

from sightglass.metrics.container import Container

PREFIX = "sightglass_container_"
V2 = {
    "memory.current": "700\n",
    "memory.max": "1000\n",
    "memory.stat": "anon 500\ninactive_file 150\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\n",
    "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nnr_periods 90\nnr_throttled 8\nthrottled_usec 750000\n",
    "cpu.max": "150000 100000\n",
}
V1 = {
    "memory/memory.usage_in_bytes": "700\n",
    "memory/memory.limit_in_bytes": "1000\n",
    "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 150\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "cpuacct/cpuacct.usage": "2500000000\n",
    "cpu/cpu.stat": "nr_periods 90\nnr_throttled 8\nthrottled_time 750000000\n",
    "cpu/cpu.cfs_quota_us": "150000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
}
UNLIMITED = {
    "v2": V2 | {"memory.max": "max\n", "cpu.max": "max 100000\n"},
    "v1": V1 | {"memory/memory.limit_in_bytes": "9223372036854771712\n", "cpu/cpu.cfs_quota_us": "-1\n"},
}
LIMITS = {"spec_memory_limit_bytes": 1000, "spec_cpu_cores": 1.5}
USED = {
    "memory_working_set_bytes": 550, "oom_events_total": 2, "cpu_usage_seconds_total": 2.5,
    "cpu_cfs_throttled_seconds_total": 0.75,
}  # fmt: skip


def read(cgroup: Path) -> dict[str, float]:
    samples = (sample for family in Container(cgroup).collect() for sample in family.samples)
    return {sample.name.removeprefix(PREFIX): sample.value for sample in samples}


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    return directory


@pytest.mark.parametrize("files", [V2, V1], ids=["v2", "v1"])
def test_use_and_limits(tmp_path: Path, files: dict[str, str]) -> None:
    assert read(write(tmp_path, files)) == USED | LIMITS


@pytest.mark.parametrize("version", UNLIMITED)
def test_a_limit_that_is_not_set_is_absent(tmp_path: Path, version: str) -> None:
    assert read(write(tmp_path, UNLIMITED[version])) == USED


@pytest.mark.parametrize("missing", sorted(V2))
def test_what_is_not_told_is_absent_and_nothing_else(tmp_path: Path, missing: str) -> None:
    told = read(write(tmp_path, {name: text for name, text in V2.items() if name != missing}))
    assert told.items() < (USED | LIMITS).items()
    assert told


@pytest.mark.parametrize("text", ["", "?", "inactive_file\n", "0"])
def test_nonsense_is_absent(tmp_path: Path, text: str) -> None:
    assert "memory_working_set_bytes" not in read(write(tmp_path, V2 | {"memory.stat": text}))


def test_no_cgroup_is_absent(tmp_path: Path) -> None:
    assert read(tmp_path / "missing") == {}


def test_it_is_named_before_anything_is_read(tmp_path: Path) -> None:
    described = {family.name for family in Container(tmp_path / "missing").describe()}
    assert {f"{PREFIX}{name}".removesuffix("_total") for name in USED | LIMITS} == described
