"""`python -m tests.support.job_memory RUNS_DIR`: does the jobs there, and prints the peak of its memory after each.

In KiB (VmHWM); the model looks for one word.
"""

import re
import sys
from pathlib import Path
from threading import Event

from api.privacy.jobs.runner import Runner
from api.privacy.jobs.store import JobStore
from api.settings import Settings
from tests.support.service import StubModel, words

if __name__ == "__main__":
    settings = Settings(runs_dir=Path(sys.argv[1]))
    store = JobStore(settings)
    runner = Runner(settings, store, StubModel(words("Zaphod")), Event())
    while runner.run_next():
        peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
        print(peak and peak[1])
