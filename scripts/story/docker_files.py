"""Docker's json-file logs, rotated ones included, read where they are; by `docker logs` for who may not."""

import gzip
import heapq
import io
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from scripts.commands import checked
from scripts.running import named
from scripts.story.entries import Entry, Requests, clock, entry_of, seconds

_BLOCK = 1 << 22  # bytes that are searched at once
_HEAD = 1 << 16
_SPANS = b"resourceSpans"
_LONGEST = 1 << 26  # bytes of a line that is put together
_WHOLE = b'\\n","stream"'  # of an entry that ends a line; Docker splits lines above 16 KiB
_EDGE, _API = "nginx.access", "api.access"
_LATEST = 1000


@dataclass(frozen=True)
class Container:
    """A container of the project.

    Args:
        id: Docker's.
        service: the Compose service.
        log: its log file.

    """

    id: str
    service: str
    log: Path

    def files(self) -> list[BinaryIO]:
        """Open its log files, the oldest first.

        Raises:
            OSError: this user may not, or they are not here.

        """
        opened: dict[tuple[int, int], BinaryIO] = {}
        # The newest first: a file that is rotated meanwhile has the next name then, and is met again.
        path, number = self.log, 0
        while True:
            try:
                file = path.open("rb")
            except FileNotFoundError:
                packed = Path(f"{path}.gz")
                if not packed.exists():
                    if number == 0:
                        raise
                    break
                file = gzip.open(packed)  # type: ignore[assignment]  # noqa: SIM115 - the caller closes it
            status = os.fstat(file.fileno())
            if opened.setdefault((status.st_dev, status.st_ino), file) is not file:
                file.close()
            number += 1
            path = Path(f"{self.log}.{number}")
        return list(reversed(opened.values()))


class DockerFiles:
    """The logs of these containers."""

    def __init__(self, containers: list[Container]) -> None:
        self._containers = containers
        self._asked: set[str] = set()

    def about(self) -> Iterable[str]:
        """Say whose files could not be read."""
        if self._asked:
            yield (
                f"Docker's files of {', '.join(sorted(self._asked))} cannot be read by this user (root may): "
                "this is what `docker compose logs` has"
            )

    def find(self, ids: frozenset[str], *, spans: bool = False) -> Iterator[Entry]:
        """Give the lines in which one of the ids stands; spans are looked for in files that begin with such."""
        needles = [one.encode() for one in ids]
        for container in self._containers:
            for file in self._files(container):
                with file:
                    if spans and _SPANS not in file.read(_HEAD):
                        continue
                    file.seek(0)
                    for line, written in search(file, needles):
                        yield from entry_of(container.service, line, written)

    def requests(self, wanted: Requests) -> Iterator[Entry]:
        """Give the edge's lines of these requests, or the API's where the edge has none."""
        for logger in (_EDGE, _API):
            found = self._requests(logger, wanted)
            if found:
                yield from found
                return

    def _requests(self, logger: str, wanted: Requests) -> list[Entry]:
        status = (wanted.status or "xxx").replace("x", "[0-9]")
        # As it stands in Docker's line, where quotes are escaped once: what a client sent is escaped once more.
        line = rf'"logger":"{logger}"(?=.*?"status":{status}[,}}])(?=.*?"duration":([0-9]+(?:[.][0-9]+)?))'
        pattern = re.compile(line.replace('"', r'\\"').encode())
        since = b"" if wanted.since is None else clock(wanted.since).rstrip("Z").encode()
        most = wanted.slowest or _LATEST
        chosen: list[tuple[Any, int, str, bytes]] = []
        number = 0  # so that lines are never compared
        for container in self._containers:
            for duration, time, raw in self._met(container, pattern, since):
                number += 1
                row = (float(duration) if wanted.slowest else time, number, container.service, raw)
                if len(chosen) < most:
                    heapq.heappush(chosen, row)
                elif row > chosen[0]:
                    heapq.heapreplace(chosen, row)
        return [one for _, _, service, raw in chosen for one in _of(service, raw)]

    def _met(self, container: Container, line: re.Pattern[bytes], since: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Give the entries that a pattern is found in: what it captures, when each was written, and the entry."""
        earliest = seconds(since.decode() + "Z")
        for file in self._files(container):
            with file:
                if isinstance(file, io.BufferedReader) and os.fstat(file.fileno()).st_mtime < earliest:
                    continue
                for raw in file:
                    found = line.search(raw)
                    if found is None:
                        continue
                    time = raw[raw.rfind(b'"time":"') + 8 : -3].rstrip(b"Z")
                    if time >= since:
                        yield found[1], time, raw

    def _files(self, container: Container) -> Sequence[BinaryIO]:
        try:
            return container.files()
        except OSError:
            self._asked.add(container.service)
            return [_asked(container)]


def containers() -> list[Container]:
    """Find the project's containers, ended ones included.

    Raises:
        CommandError: Docker or Compose does not answer.

    """
    ids = checked(*named("ps", "--all", "--quiet")).split()
    if not ids:
        return []
    found = json.loads(checked("docker", "inspect", "--type", "container", *ids))
    return [
        Container(
            one["Id"],
            one["Config"]["Labels"].get("com.docker.compose.service", one["Name"]),
            Path(one["LogPath"] or "/none"),
        )
        for one in found
    ]


def search(file: BinaryIO, needles: list[bytes]) -> Iterator[tuple[str, str]]:
    """Give the lines of a json-file log in which one of the needles stands, and when each was written."""
    rest = b""
    while block := file.read(_BLOCK):
        block = rest + block
        # Up to the end of a whole line: what Docker has split stays together.
        whole = block.rfind(_WHOLE)
        if whole < 0 and len(block) < _LONGEST:
            rest = block
            continue
        cut = block.find(b"\n", max(0, whole)) + 1
        rest = block[cut:]
        yield from _matches(block, cut, needles)
    yield from _matches(rest, len(rest), needles)


def _matches(block: bytes, cut: int, needles: list[bytes]) -> Iterator[tuple[str, str]]:
    begins = set()
    for needle in needles:
        at = block.find(needle, 0, cut)
        while at >= 0:
            begins.add(block.rfind(b"\n", 0, at) + 1)
            end = block.find(b"\n", at)
            at = -1 if end < 0 else block.find(needle, end, cut)
    done = 0
    for begin in sorted(begins):
        if begin >= done:
            line, written, done = _joined(block, begin)
            if line is not None:
                yield line, written


def _joined(block: bytes, begin: int) -> tuple[str | None, str, int]:
    """Return the log line that the entry at an offset is of, put together, when it was written, and where it ends."""
    line, written, stream = _entry(block, begin)
    if line is None:
        return None, "", begin + 1
    before = begin
    while before > 0:  # pieces before it
        before = block.rfind(b"\n", 0, before - 1) + 1
        piece, _, of = _entry(block, before)
        if piece is None or of == stream:
            if piece is None or piece.endswith("\n"):
                break
            line = piece + line
    end = block.find(b"\n", begin) + 1
    while not line.endswith("\n") and 0 < end < len(block):
        piece, _, of = _entry(block, end)
        if of == stream:
            line += piece or ""
        end = block.find(b"\n", end) + 1
    return line, written, end or len(block)


def _of(service: str, raw: bytes) -> Iterator[Entry]:
    line, written, _ = _entry(raw, 0)
    if line is not None:
        yield from entry_of(service, line, written)


def _entry(block: bytes, begin: int) -> tuple[str | None, str, str]:
    end = block.find(b"\n", begin)
    try:
        entry = json.loads(block[begin : end if end >= 0 else len(block)])
        return str(entry["log"]), str(entry.get("time", "")), str(entry.get("stream", ""))
    except (ValueError, KeyError, TypeError, AttributeError):  # being written, or torn by a crash
        return None, "", ""


def _asked(container: Container) -> BinaryIO:
    """Give what Docker tells of a container's log, in the form that its files have."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    command = ["docker", "logs", "--timestamps", container.id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout or ():
            time, _, text = line.decode(errors="replace").partition(" ")
            entry = {"log": text, "stream": "stdout", "time": time}
            file.write(json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
    file.seek(0)
    return file
