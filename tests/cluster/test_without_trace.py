"""The last: a cluster that nobody ended, as kill -9 leaves it, is ended by a process that knows nothing of it."""

import json
import subprocess
import sys
from pathlib import Path

from scripts.cluster.layout import NAME, NODES, RUN, STATE
from tests.cluster.cluster import Cluster
from tests.edge.containers import ROOT


def traces(shims: list[Path]) -> list[str]:
    """Look for a cluster's traces, wherever its parts leave some."""
    found = [line for line in Path("/proc/mounts").read_text().splitlines() if NAME in line]
    found += [path.name for path in Path("/sys/class/net").glob("sgc-*")]
    places = ("/run/netns", "/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/run", "/var/lib", "/var/lib/cni/results")
    found += [str(path) for place in places for path in Path(place).glob(f"{NAME}*")]
    found += [str(link) for link in Path("/var/log/containers").glob("*") if NAME in str(link.readlink())]
    found += [str(path) for path in shims if path.exists()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(STATE).encode() in words or str(RUN).encode() in words:
            found.append(words.decode())
    return found


def test_nothing_is_left_of_it(cluster: Cluster) -> None:
    cluster.joined.result()
    shims = [
        Path(json.loads(file.read_text())["address"].removeprefix("unix://")) for file in RUN.rglob("bootstrap.json")
    ]
    assert shims
    assert len(traces(shims)) > len(shims) + len(NODES)
    subprocess.run([sys.executable, "-m", "scripts.cluster", "down"], cwd=ROOT, check=True)
    assert traces(shims) == []
