"""The pull path and its faults on a current engine, with either of its image stores."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from scripts.images import LOCAL, recipe_id
from tests.images.machine import SERVICES
from tests.stack import ROOT

pytestmark = pytest.mark.timeout(1800)

# Stand-ins are built elsewhere; here it matters only that they are there.
RUN = """
for name in {names}; do tar --create --files-from /dev/null | docker import - {local}/$name:{recipe} >/dev/null; done
exec {python} -m pytest --quiet -p no:cacheprovider tests/images/test_pull.py
""".format(names=" ".join(SERVICES), local=LOCAL, recipe=recipe_id(), python=sys.executable)
STORES = {"containerd": "io.containerd.snapshotter.v1", "overlay2": "overlay2"}


@pytest.mark.skipif(os.geteuid() != 0, reason="an engine of its own needs root")
@pytest.mark.parametrize("store", STORES)
def test_pulls_and_their_faults(store: str) -> None:
    # A short path: sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="engine-") as directory:
        command = [str(ROOT / "tests" / "long" / "other_engine.sh"), directory, store, "sh", "-ec", RUN]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{result.stdout[-8000:]}\n{result.stderr[-2000:]}"
        assert STORES[store] in result.stdout.splitlines()[0]
        assert Path(directory, "docker.log").exists()
