"""`python -m tests.support.supervised KIND RUNS_DIR`: a process, and a supervisor of little patience.

KIND `jobs` works on the jobs there; `hangs` begins to hang in a step, `ends` ends at once; each says so, and who it is.
"""

import logging
import os
import sys
import threading
from pathlib import Path

from api.privacy.jobs import depth, process, supervisor
from api.privacy.jobs.supervisor import Heart, Supervisor
from api.privacy.turns import Turns
from api.settings import Settings
from sightglass.metrics import exporter
from sightglass.metrics.process import this_process
from tests.support.service import StubModel, words


def run(heart: Heart) -> None:
    exporter.after_fork()
    this_process.listen()
    print(f"child {os.getpid()}", flush=True)
    match sys.argv[1]:
        case "jobs":
            settings = Settings(runs_dir=Path(sys.argv[2]))
            process.work(settings, threading.Event(), lambda _: StubModel(words("Zaphod")), heart)
        case "hangs":
            turns = Turns("model")
            heart.moves = lambda: turns.busy() < 0.2
            turns.run("", threading.Event().wait)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    supervisor.BEAT_SECONDS = 0.05
    supervisor.PAUSE_SECONDS = 0.05
    depth.INTERVAL_SECONDS = 0.1
    port = exporter.start(0, host="127.0.0.1")
    print(f"metrics {port}", flush=True)
    try:
        Supervisor(run, patience=20).supervise()
    finally:
        exporter.stop()
