"""What version 1 has left in `RUNS_DIR`: a job's record in its directory, `jobs/<id>/record.json`, and `drafts`."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from api.privacy.jobs.record import Record

FORMER_JOBS, FORMER_RECORD = "jobs", "record.json"


def former_jobs(runs_dir: Path) -> Iterator[Path]:
    """Give the directories of jobs that have a record of their own."""
    for directory in _in(runs_dir / FORMER_JOBS):
        if (directory / FORMER_RECORD).exists():
            yield directory


def former_drafts(runs_dir: Path) -> Iterator[Path]:
    """Give the directories of uploads."""
    yield from _in(runs_dir / "drafts")


def read_former(directory: Path) -> Record | None:
    """Read a job's record; None when there is none, or none that can be read."""
    try:
        record = Record.model_validate_json((directory / FORMER_RECORD).read_bytes())
    except (OSError, ValidationError):
        return None
    record.directory = f"{FORMER_JOBS}/{directory.name}"
    record.client = record.owner or record.client
    return record


def _in(directory: Path) -> Iterator[Path]:
    try:
        yield from directory.iterdir()
    except OSError:
        return
