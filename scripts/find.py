"""One request's story, from what is kept of it: the edge's line, the application's, its jobs', and its spans, in order.

Usage: find.py ID=… | [STATUS=5xx] [SINCE=10m] [SLOWEST=10]

    ID       of a request, a trace, a span or a job
    STATUS   requests answered with this code, or a class of them
    SINCE    of the last so many seconds, minutes, hours or days
    SLOWEST  so many of them, the slowest first

Standard library only.
"""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts.commands import CommandError
from scripts.preflight import refusal
from scripts.story import telemetry
from scripts.story.docker_files import DockerFiles, containers
from scripts.story.entries import Entry, Requests, Source
from scripts.story.rendering import printable, story, table

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_EARLIER = 0.002  # seconds by which NGINX's start may be late: it counts milliseconds


class QuestionError(ValueError):
    """What is asked for is not understood; one line."""


def main(arguments: Sequence[str], sources: Callable[[], Sequence[Source]]) -> int:
    """Answer on stdout.

    Returns:
        0; 1 where nothing is found; 2 with a line on stderr where the question is wrong or nobody can be asked.

    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    try:
        question = read(arguments)
        asked = sources()
        if isinstance(question, str):
            entries, shown = tell(question, asked), story
        else:
            entries, shown = [one for source in asked for one in source.requests(question)], table
            order: Callable[[Entry], float] = lambda one: one.duration or 0 if question.slowest else one.start  # noqa: E731
            entries = sorted(entries, key=order, reverse=True)[: question.slowest]
        for source in asked:
            for line in source.about():
                print(line, file=sys.stderr)
        if not entries:
            print(f"nothing is kept of {printable(' '.join(filter(_given, arguments)))}", file=sys.stderr)
            return 1
        for line in shown(entries, width):
            print(line)
    except QuestionError as error:
        print(error, file=sys.stderr)
        return 2
    except CommandError as error:
        print(printable(error.line), file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read has read enough
        sys.stderr.close()
    return 0


def read(arguments: Sequence[str]) -> str | Requests:
    """Read the question; empty values are not given.

    Raises:
        QuestionError: it is not understood.

    """
    given: dict[str, str] = {}
    for argument in filter(_given, arguments):
        name, _, value = argument.partition("=")
        if name not in ("ID", "STATUS", "SINCE", "SLOWEST"):
            raise QuestionError(f"{printable(argument)!r} is none of ID=…, STATUS=…, SINCE=…, SLOWEST=…")
        given[name] = value
    if "ID" in given:
        if len(given) > 1:
            raise QuestionError("ID stands alone: STATUS, SINCE and SLOWEST ask for other requests")
        _check("ID", given["ID"], r"[A-Za-z0-9._-]{1,128}", "1 to 128 letters, digits, '.', '_' or '-'")
        return given["ID"]
    if not given:
        raise QuestionError("make find needs ID=…, or STATUS=5xx, SINCE=10m or SLOWEST=10")
    _check("STATUS", status := given.get("STATUS"), "[1-5]([0-9]{2}|xx)", "a code such as 503, or a class such as 5xx")
    _check("SINCE", since := given.get("SINCE"), "[1-9][0-9]{0,5}[smhd]", "a number and s, m, h or d, such as 10m")
    _check("SLOWEST", slowest := given.get("SLOWEST"), "[1-9][0-9]{0,2}", "a whole number from 1 to 999")
    return Requests(
        status,
        None if since is None else time.time() - int(since[:-1]) * _UNITS[since[-1]],
        None if slowest is None else int(slowest),
    )


def tell(wanted: str, sources: Iterable[Source]) -> list[Entry]:
    """Collect what belongs to an id, in order.

    A job's or a span's leads to its request, and a request's to the spans of its trace.
    """
    sources = list(sources)
    own = [one for one in _all(sources, {wanted}) if _is_of(one, wanted)]
    requests = {
        one.ids["request_id"]
        for one in own
        if "request_id" in one.ids and wanted in (one.ids.get("job_id"), one.ids.get("span_id"))
    }
    traces = {one.ids["trace_id"] for one in own if "trace_id" in one.ids}
    own += [one for one in _all(sources, requests - {wanted}) if one.ids.get("request_id") in requests]
    own += [
        one for one in _all(sources, traces - {wanted}, spans=True) if one.span and one.ids.get("trace_id") in traces
    ]
    once = {json.dumps([one.service, one.fields, one.span], sort_keys=True, default=str): one for one in own}
    return sorted(once.values(), key=lambda one: (one.start - _EARLIER * _is_edge(one), -(one.duration or 0)))


def _all(sources: Iterable[Source], ids: set[str], *, spans: bool = False) -> Iterable[Entry]:
    return (one for source in sources for one in source.find(frozenset(ids), spans=spans)) if ids else ()


def _is_of(entry: Entry, wanted: str) -> bool:
    if entry.ids or len(entry.fields) > 1:
        return wanted in entry.ids.values()
    # A line of somebody who writes no JSON.
    return (
        re.search(rf"(?<![A-Za-z0-9._-]){re.escape(wanted)}(?![A-Za-z0-9._-])", str(entry.fields.get("message")))
        is not None
    )


def _is_edge(entry: Entry) -> bool:
    return entry.fields.get("logger") == "nginx.access"


def _given(argument: str) -> bool:
    return not argument.endswith("=")


def _check(name: str, value: str | None, pattern: str, allowed: str) -> None:
    if value is not None and re.fullmatch(pattern, value) is None:
        raise QuestionError(refusal(name, value, allowed))


def kept() -> list[Source]:
    """Give the sources there are: the stores where they run, else Docker's files."""
    files = DockerFiles(containers())
    return telemetry.stores(files) or [files]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], kept))
