"""The embedded documents: files of `RUNS_DIR`, a directory for each job."""

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LOCK = "lock"
"""What the rows of SQLite hold a job by: there before the job is."""


class _Draft:
    """A file that has its name once it is on disk."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self.write = file.write

    def keep(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        Path(self._file.name).replace(self._path)
        _sync(self._path.parent)
        return size


class Directory:
    """All documents of a `RUNS_DIR`."""

    def __init__(self, runs_dir: Path) -> None:
        self._root = runs_dir

    @contextmanager
    def create(self, directory: str, name: str) -> Iterator[_Draft]:
        path = self._root / directory / name
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            (path.parent / LOCK).touch()
        part = path.with_name(f"{name}.part")
        try:
            with part.open("wb") as file:
                yield _Draft(file, path)
        finally:
            part.unlink(missing_ok=True)  # what is left of it takes the room that the record may need

    def open(self, directory: str, name: str) -> BinaryIO:
        return (self._root / directory / name).open("rb")

    def settle(self, upload: str) -> None:
        for directory in (upload, str(Path(upload).parent)):
            _sync(self._root / directory)

    def remove(self, directory: str, name: str) -> None:
        (self._root / directory / name).unlink(missing_ok=True)

    def clear(self, directory: str) -> None:
        path = self._root / directory
        shutil.rmtree(path, ignore_errors=True)
        if path.parent.parent != self._root:
            with suppress(OSError):  # an upload's own goes with its last document
                path.parent.rmdir()

    def size(self, directory: str) -> int:
        return size_of(self._root / directory)

    def written(self, directory: str) -> float:
        return written_in(self._root / directory)


def size_of(directory: Path) -> int:
    """Give the bytes of disk that a directory takes: of a short document the files' own blocks are most."""
    return sum(stat.st_blocks * 512 for stat in _stats(directory))


def written_in(directory: Path) -> float:
    """Give the time, in Unix seconds, at which anything in a directory was last written; nothing in it was never."""
    return max((stat.st_mtime for stat in _stats(directory)), default=-math.inf)


def _stats(directory: Path) -> list[os.stat_result]:
    """Look at a directory and what is in it; nothing when it is just going."""
    try:
        return [path.stat() for path in (directory, *directory.rglob("*"))]
    except OSError:
        return []


def _sync(directory: Path) -> None:
    """Put a directory's entries on disk."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
