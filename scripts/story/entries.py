"""What sources give: entries, each a line or a span, and what may be asked of them."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

IDS = ("request_id", "trace_id", "span_id", "job_id")
"""The fields of a line that an id may be in."""


@dataclass(frozen=True)
class Entry:
    """A log line or a span.

    Args:
        service: the Compose service it is of, or a span's `service.name`.
        fields: those of the line; of a span `name`, ids, `parent` and its attributes.
        start: seconds since the epoch.
        duration: seconds; None for what has none.
        span: whether it is one.

    """

    service: str
    fields: dict[str, Any]
    start: float
    duration: float | None = None
    span: bool = False

    @property
    def ids(self) -> dict[str, str]:
        """The ids it carries."""
        return {name: str(self.fields[name]) for name in IDS if self.fields.get(name)}


@dataclass(frozen=True)
class Requests:
    """Which requests are asked for.

    Args:
        status: a code or a class of them (`5xx`); None for any.
        since: seconds since the epoch; None for as long ago as there is something.
        slowest: the slowest so many; None for the latest ones.

    """

    status: str | None = None
    since: float | None = None
    slowest: int | None = None

    def wants(self, status: object) -> bool:
        """Tell whether a request of this status is one of them."""
        return self.status is None or re.fullmatch(self.status.replace("x", "[0-9]"), str(status)) is not None


class Source(Protocol):
    """A place where lines or spans are kept: Docker's files, a log store, a trace store."""

    def about(self) -> Iterable[str]:
        """Say what the reader should know of it, a line each."""

    def find(self, ids: frozenset[str], *, spans: bool = False) -> Iterable[Entry]:
        """Give what carries one of these ids, or the spans alone; more than that does no harm."""

    def requests(self, wanted: Requests) -> Iterable[Entry]:
        """Give the edge's lines of these requests, or the API's where there is no edge."""


def entry_of(service: str, text: str, written: str) -> Iterator[Entry]:
    """Make an entry of a log line, or several of one with spans (OTLP's JSON, as a collector writes to a file).

    Args:
        service: whose it is.
        text: the line.
        written: when, as the log driver says (RFC 3339), for lines that do not say it themselves.

    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        yield Entry(service, {"message": text.rstrip()}, seconds(written))
        return
    if isinstance(fields.get("resourceSpans"), list):
        yield from _spans(fields["resourceSpans"])
        return
    ended = seconds(fields.get("timestamp"), seconds(written))
    duration = fields.get("duration")
    if isinstance(duration, bool) or not isinstance(duration, int | float) or not 0 <= duration < 1e9:
        duration = None
    yield Entry(service, fields, ended - (duration or 0), duration)


def seconds(time: object, otherwise: float = 0.0) -> float:
    """Return an RFC 3339 time as seconds since the epoch."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?", str(time))
    if found is None:
        return otherwise
    try:
        zone = (found[4] or "Z").replace("Z", "+00:00")
        return datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}").timestamp() + float(found[3] or 0)
    except ValueError:
        return otherwise


def clock(time: float) -> str:
    """Write seconds since the epoch as a line does: UTC, milliseconds."""
    try:
        return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return "?"


def _spans(resources: list[Any]) -> Iterator[Entry]:
    try:
        for resource in resources:
            service = str(_values(resource.get("resource", {}).get("attributes", [])).get("service.name", "spans"))
            for scope in resource.get("scopeSpans", []):
                for span in scope.get("spans", []):
                    start, end = int(span["startTimeUnixNano"]) / 1e9, int(span["endTimeUnixNano"]) / 1e9
                    fields = _values(span.get("attributes", [])) | {
                        "name": str(span["name"]),
                        "trace_id": str(span["traceId"]),
                        "span_id": str(span["spanId"]),
                        "parent": str(span.get("parentSpanId", "")),
                    }
                    yield Entry(service, fields, start, max(0.0, end - start), span=True)
    except (AttributeError, KeyError, TypeError, ValueError):  # no such thing after all
        return


def _values(attributes: list[Any]) -> dict[str, Any]:
    return {str(one["key"]): next(iter(one.get("value", {}).values()), None) for one in attributes}
