"""A job process takes no more memory for a long document than for a short one, whatever its format."""

import subprocess
import sys
from pathlib import Path

from api.privacy.jobs.routes import PATH
from tests.support.documents import LINES, document
from tests.support.service import StubModel, serving

SHORT, LONG = 1024 * 1024, 8 * 1024 * 1024  # bytes
RISE = 4 * 1024  # KiB
ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_jobs_memory_does_not_grow_with_its_document(tmp_path: Path) -> None:
    with serving(lambda _: StubModel(), runs_dir=tmp_path) as client:

        def create(media_type: str, size: int) -> str:
            answer = client.post(PATH, content=document(media_type, size), headers={"Content-Type": media_type})
            assert answer.status_code == 202
            where: str = answer.headers["location"]
            return where

        wheres = {(kind, size): create(kind, size) for size in (SHORT, LONG) for kind in LINES}
        command = [sys.executable, "-m", "tests.support.job_memory", str(tmp_path)]
        output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        peaks = dict(zip(wheres, map(int, output.split()), strict=True))
        short = max(peaks[kind, SHORT] for kind in LINES)
        for kind in LINES:
            assert peaks[kind, LONG] - short < RISE, (kind, peaks)
            redacted = document(kind, LONG).replace(b"Zaphod", b"[WORD]")
            assert client.get(f"{wheres[kind, LONG]}/result").content == redacted, kind
