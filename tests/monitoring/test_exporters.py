"""What the exporters of docker/exporters/compose.yml leave out of what they are asked for."""

import re

import pytest
import yaml

from tests.stack import ROOT

COMMAND = yaml.safe_load((ROOT / "docker/exporters/compose.yml").read_text())["services"]["node-exporter"]["command"]
(EXCLUDED,) = (
    argument.partition("=")[2].replace("$$", "$")  # as Compose passes it on
    for argument in COMMAND
    if argument.startswith("--collector.filesystem.mount-points-exclude=")
)


@pytest.mark.parametrize(
    "mount", ["/", "/data", "/var", "/var/lib/docker", "/var/lib/docker-data", "/home", "/srv/run", "/system"]
)
def test_a_disk_that_may_fill_is_watched(mount: str) -> None:
    assert not re.search(EXCLUDED, mount)


@pytest.mark.parametrize(
    "mount", ["/dev/shm", "/proc", "/run", "/run/lock", "/sys/fs/cgroup", "/var/lib/docker/overlay2/1f/merged"]
)
def test_what_is_no_disk_of_the_host_is_not(mount: str) -> None:
    assert re.search(EXCLUDED, mount)
