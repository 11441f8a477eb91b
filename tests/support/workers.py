"""Job processes over a database, with a model that finds one word."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api.settings import Settings
from tests.stack import ROOT


@contextmanager
def workers(settings: Settings, number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run job processes; one that was killed is started again, as Docker or a cluster does."""
    given = {"SIGHTGLASS_DATABASE_URL": settings.database_url, "SIGHTGLASS_DOCUMENTS_URL": settings.documents_url}
    variables = {**os.environ, **{name: value for name, value in given.items() if value}}
    command = [sys.executable, "-m", "tests.support.stub_job_process", str(settings.runs_dir)]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=variables, cwd=ROOT, stderr=subprocess.DEVNULL)

    running = [start() for _ in range(number)]
    over = threading.Event()

    def keep() -> None:
        while not over.wait(0.2):
            for place, process in enumerate(running):
                if process.poll() is not None:
                    running[place] = start()

    keeping = threading.Thread(target=keep)
    keeping.start()
    try:
        yield running
    finally:
        over.set()
        keeping.join()
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(120)
