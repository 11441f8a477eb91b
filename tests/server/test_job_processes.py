"""Job processes to which something is missing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.stack import ROOT
from tests.support.waiting import eventually


def test_a_job_process_without_a_model_says_so_and_stays(tmp_path: Path) -> None:
    code = (
        "import logging; from threading import Event; from api.privacy.jobs.process import work; "
        "from api.settings import load_settings; logging.basicConfig(); work(load_settings(), Event())"
    )
    environment = {**os.environ, "SIGHTGLASS_MODEL_PATH": "/nowhere", "SIGHTGLASS_RUNS_DIR": str(tmp_path)}
    log = tmp_path / "log"
    with log.open("wb") as said:
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT, stderr=said)
    try:
        eventually(lambda: "MODEL_PATH=/nowhere: no such directory" in log.read_text())
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_a_job_process_clears_up_while_the_queue_is_gone(tmp_path: Path) -> None:
    left = tmp_path / "drafts" / "left"  # by version 1
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    with socket.socket() as nobody, (tmp_path / "log").open("wb") as said:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        environment = {**os.environ, "SIGHTGLASS_QUEUE_URL": f"redis://127.0.0.1:{nobody.getsockname()[1]}/0"}
        command = [sys.executable, "-m", "tests.support.stub_job_process", str(tmp_path)]
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=said)
        try:
            eventually(lambda: not left.exists())
        finally:
            process.terminate()
            assert process.wait(30) == 0
