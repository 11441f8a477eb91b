"""Lines as VictoriaLogs has them and spans as Jaeger has them, asked through the operators' door of this machine."""

import base64
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.commands import CommandError, checked
from scripts.running import named
from scripts.story.entries import IDS, Entry, Requests, Source, clock, entry_of

_DOOR = "telemetry-door"
_LOGS_PORT, _TRACES_PORT = 9428, 16686  # within its container
_TIMEOUT_SECONDS = 30.0
_LATEST = 1000
_TRACE = re.compile("[0-9a-f]{32}")
_OF_THE_STORE = re.compile(
    r"_(msg|time|stream|stream_id)|severity_(number|text)|(scope|service|container)\.[\w.]+|log\.iostream"
)
"""Fields of a line that are not its own."""


class AskError(Exception):
    """A store gave no answer; one line."""


@dataclass(frozen=True)
class Door:
    """The door's addresses, and what it asks for.

    Args:
        logs: VictoriaLogs' address.
        traces: Jaeger's.
        login: user and password, as `user:password`.

    """

    logs: str
    traces: str
    login: str

    def ask(self, address: str, **given: str) -> bytes:
        """Return an answer; parameters are sent as a form.

        Raises:
            AskError: there is none.

        """
        headers = {"Authorization": f"Basic {base64.b64encode(self.login.encode()).decode()}"}
        data = urllib.parse.urlencode(given).encode() if given else None
        request = urllib.request.Request(address, data, headers)  # noqa: S310  # of this machine
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                body: bytes = answer.read()
                return body
        except (OSError, http.client.HTTPException) as error:
            raise AskError(f"{address}: {error}") from None


class VictoriaLogs:
    """The log lines that are kept there."""

    def __init__(self, door: Door, otherwise: Source) -> None:
        self._door, self._otherwise = door, otherwise
        self._silent = ""

    def about(self) -> Iterable[str]:
        """Say that it was not there."""
        if self._silent:
            yield f"VictoriaLogs gave no answer ({self._silent}): this is what Docker's files have"
            yield from self._otherwise.about()

    def find(self, ids: frozenset[str], *, spans: bool = False) -> Iterator[Entry]:
        """Give the lines that carry one of the ids, or have it in their text; there are no spans here."""
        if spans and not self._silent:
            return
        listed = ", ".join(map(_quoted, sorted(ids)))
        fields = [f"{name}:in({listed})" for name in IDS]
        try:
            yield from self._entries(" or ".join([*fields, *map(_quoted, sorted(ids))]))
        except AskError as error:
            self._silent = str(error)
            yield from self._otherwise.find(ids, spans=spans)

    def requests(self, wanted: Requests) -> Iterator[Entry]:
        """Give the edge's lines of these requests, or the API's where the edge has none."""
        try:
            for logger in ("nginx.access", "api.access"):
                found = self._requests(logger, wanted)
                if found:
                    yield from found
                    return
        except AskError as error:
            self._silent = str(error)
            yield from self._otherwise.requests(wanted)

    def _requests(self, logger: str, wanted: Requests) -> list[Entry]:
        parts = [f"logger:={_quoted(logger)}"]
        if wanted.status:
            pattern = wanted.status.replace("x", "[0-9]")
            parts.append(f"status:~{_quoted(f'^{pattern}$')}")
        if wanted.since is not None:
            parts.append(f"_time:>={clock(wanted.since)}")
        by, most = ("duration", wanted.slowest) if wanted.slowest else ("_time", _LATEST)
        return list(self._entries(f"{' '.join(parts)} | sort by ({by} desc) limit {most}"))

    def _entries(self, query: str) -> Iterator[Entry]:
        answer = self._door.ask(f"{self._door.logs}/select/logsql/query", query=query)
        for row in map(json.loads, answer.splitlines()):
            yield from entry_of(row.get("service.name", ""), text_of(row), row["_time"])


class Jaeger:
    """The spans that are kept there."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._silent = ""

    def about(self) -> Iterable[str]:
        """Say that it was not there."""
        if self._silent:
            yield f"Jaeger gave no answer ({self._silent}): spans are missing"

    def find(self, ids: frozenset[str], *, spans: bool = False) -> Iterator[Entry]:  # noqa: ARG002
        """Give the spans of those ids that are a trace's."""
        for trace in sorted(filter(_TRACE.fullmatch, ids)):
            try:
                answer = json.loads(self._door.ask(f"{self._door.traces}/api/traces/{trace}"))
            except AskError as error:
                if "404" not in str(error):  # there is no such trace
                    self._silent = str(error)
                continue
            for found in answer.get("data") or ():
                yield from _spans(found)

    def requests(self, wanted: Requests) -> Iterator[Entry]:  # noqa: ARG002
        """Give nothing: a request is asked for by its line."""
        yield from ()


def stores(otherwise: Source) -> list[Source]:
    """Give the two stores, where they run; what they do not have while they are silent is asked of another source."""
    try:
        if _DOOR not in checked(*named("ps", "--services", "--status", "running")).split():
            return []
        logs, traces = (checked(*named("port", _DOOR, str(port))).strip() for port in (_LOGS_PORT, _TRACES_PORT))
        password = checked(*named("exec", "-T", "--user", "10001", _DOOR, "cat", "/run/operators/password"))
    except CommandError:
        return []
    door = Door(f"http://{logs}", f"http://{traces}", f"operator:{password}")
    return [VictoriaLogs(door, otherwise), Jaeger(door)]


def text_of(row: Mapping[str, str]) -> str:
    """Return the line that a row of VictoriaLogs was: it keeps fields flat, as text, and sorted."""
    own = {name: value for name, value in row.items() if _OF_THE_STORE.fullmatch(name) is None}
    text = row.get("_msg", "")
    if not own.keys() - {"level"} or _whole(text, own):  # it was no JSON, or JSON without a message
        return text
    fields: dict[str, Any] = {"message": text} if text else {}
    for name, value in own.items():
        place = fields
        *outer, last = name.split(".")
        for part in outer:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                break
            place = inner
        else:
            place[last] = _value(value)
            continue
        fields[name] = _value(value)
    return json.dumps(fields)


def _whole(text: str, fields: Iterable[str]) -> bool:
    """Tell whether a text is the line itself, of which the fields are."""
    if text[:1] != "{":
        return False
    try:
        return {name.partition(".")[0] for name in fields} <= set(json.loads(text))
    except ValueError:
        return False


def _value(text: str) -> Any:
    """Return a number, a list or a truth as such; of the rest it is not known that it was one."""
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]+)?", text) or text in ("true", "false") or text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _quoted(text: str) -> str:
    return json.dumps(text)


def _spans(trace: Mapping[str, Any]) -> Iterator[Entry]:
    for span in trace["spans"]:
        parents = [one["spanID"] for one in span.get("references", ()) if one.get("refType") == "CHILD_OF"]
        fields = {str(tag["key"]): tag["value"] for tag in span.get("tags", ())} | {
            "name": span["operationName"],
            "trace_id": span["traceID"],
            "span_id": span["spanID"],
            "parent": next(iter(parents), ""),
        }
        service = trace["processes"][span["processID"]]["serviceName"]
        yield Entry(service, fields, span["startTime"] / 1e6, span["duration"] / 1e6, span=True)
