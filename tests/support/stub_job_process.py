"""`python stub_job_process.py RUNS_DIR`: a job process whose model finds one word, slowly."""

import logging
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Event

from api.privacy.findings import Finding
from api.privacy.jobs import depth, process
from api.settings import load_settings
from tests.support.service import StubModel, words


def find(text: str) -> list[Finding]:
    time.sleep(0.01)
    return words("Zaphod")(text)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    settings = replace(load_settings(), runs_dir=Path(sys.argv[1]))
    depth.INTERVAL_SECONDS = 0.2
    process.work(settings, Event(), lambda _: StubModel(find))
