"""Docker's json-file logs, rotated ones included, read where they are; by `docker logs` for who may not."""

import gzip
import heapq
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scripts.commands import checked
from scripts.story.entries import Entry, Requests, entry_of, seconds

_BLOCK = 1 << 22  # bytes that are searched at once
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

    def find(self, ids: frozenset[str]) -> Iterator[Entry]:
        """Give the lines in which one of the ids stands."""
        needles = [one.encode() for one in ids]
        for container in self._containers:
            for line, written in self._lines(container, needles):
                yield from entry_of(container.service, line, written)

    def requests(self, wanted: Requests) -> Iterator[Entry]:
        """Give the edge's lines of these requests, or the API's where the edge has none."""
        for logger in (_EDGE, _API):
            found = self._requests(logger, wanted)
            if found:
                yield from found
                return

    def _requests(self, logger: str, wanted: Requests) -> list[Entry]:
        status = r"\d{3}" if wanted.status is None else wanted.status.replace("x", r"\d")
        needle = '"status":' + (wanted.status or "").rstrip("x")
        slow: list[tuple[float, int, str, str, str]] = []
        latest: list[tuple[float, int, str, str, str]] = []
        number = 0
        for container in self._containers:
            for line, written in self._lines(
                container, [needle.encode(), needle.replace('"', '\\"').encode()], wanted.since
            ):
                if f'"logger":"{logger}"' not in line or not re.search(rf'"status":{status}[,}}]', line):
                    continue
                duration = re.search(r'"duration":([0-9.]+)', line)
                number += 1  # so that lines are never compared
                key = float(duration[1]) if wanted.slowest and duration else seconds(written)
                row = (key, number, container.service, line, written)
                if wanted.slowest is None:
                    latest.append(row)
                    if len(latest) > 2 * _LATEST:
                        latest = heapq.nlargest(_LATEST, latest)
                elif len(slow) < wanted.slowest:
                    heapq.heappush(slow, row)
                else:
                    heapq.heappushpop(slow, row)
        chosen = heapq.nlargest(wanted.slowest or _LATEST, slow or latest)
        entries = [one for _, _, service, line, written in chosen for one in entry_of(service, line, written)]
        return [one for one in entries if one.fields.get("logger") == logger and wanted.wants(one.fields.get("status"))]

    def _lines(
        self, container: Container, needles: list[bytes], since: float | None = None
    ) -> Iterator[tuple[str, str]]:
        try:
            files = container.files()
        except OSError:
            self._asked.add(container.service)
            yield from _asked(container, needles, since)
            return
        for file in files:
            with file:
                if since is None or os.fstat(file.fileno()).st_mtime >= since:
                    for line, written in search(file, needles):
                        if since is None or seconds(written) >= since:
                            yield line, written


def containers() -> list[Container]:
    """Find the project's containers, ended ones included.

    Raises:
        CommandError: Docker or Compose does not answer.

    """
    ids = checked("docker", "compose", "--profile", "*", "ps", "--all", "--quiet").split()
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
        yield from _matches(block[:cut], needles)
    yield from _matches(rest, needles)


def _matches(block: bytes, needles: list[bytes]) -> Iterator[tuple[str, str]]:
    begins = set()
    for needle in needles:
        at = block.find(needle)
        while at >= 0:
            begins.add(block.rfind(b"\n", 0, at) + 1)
            end = block.find(b"\n", at)
            at = -1 if end < 0 else block.find(needle, end)
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


def _entry(block: bytes, begin: int) -> tuple[str | None, str, str]:
    end = block.find(b"\n", begin)
    try:
        entry = json.loads(block[begin : end if end >= 0 else len(block)])
        return str(entry["log"]), str(entry.get("time", "")), str(entry.get("stream", ""))
    except (ValueError, KeyError, TypeError, AttributeError):  # being written, or torn by a crash
        return None, "", ""


def _asked(container: Container, needles: list[bytes], since: float | None) -> Iterator[tuple[str, str]]:
    options = [] if since is None else ["--since", f"{since:.3f}"]
    command = ["docker", "logs", "--timestamps", *options, container.id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout or ():
            if any(needle in line for needle in needles):
                written, _, text = line.decode(errors="replace").partition(" ")
                yield text, written
