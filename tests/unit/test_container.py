from pathlib import Path

from sightglass.metrics.container import ContainerMemory


def read(cgroup: Path) -> dict[str, float]:
    return {family.name: family.samples[0].value for family in ContainerMemory(cgroup).collect()}


def write(directory: Path, **files: str) -> None:
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def test_use_and_limit(tmp_path: Path) -> None:
    write(tmp_path, memory__max="1000\n", memory__current="700\n", memory__stat="anon 500\ninactive_file 150\n")
    assert read(tmp_path) == {
        "sightglass_container_memory_working_set_bytes": 550,
        "sightglass_container_spec_memory_limit_bytes": 1000,
    }


def test_no_limit_is_absent(tmp_path: Path) -> None:
    write(tmp_path, memory__max="max\n", memory__current="700\n", memory__stat="inactive_file 0\n")
    assert read(tmp_path) == {}


def test_no_cgroup_is_absent(tmp_path: Path) -> None:
    assert read(tmp_path / "missing") == {}
