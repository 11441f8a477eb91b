"""Families as text for Prometheus, in the format the scraper prefers.

OpenMetrics 1.0 and the Prometheus text format 0.0.4; `Accept` and `Accept-Encoding` as RFC 9110 defines them.
Names are always escaped to the classic character set, which every `escaping=` a scraper can ask for allows.
"""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from sightglass.metrics.families import Family, Sample, number

_TEXT_TYPES = {"info": "gauge", "stateset": "gauge", "unknown": "untyped", "gaugehistogram": "untyped"}
_TEXT_SUFFIXES = {"counter": "_total", "info": "_info"}
_GZIP_LEVEL = 1  # a tenth of the default level's time; the text is repetitive enough

# Ranges that name a format, with the versions of it that our text satisfies; none given means any.
_OPENMETRICS = {"application/openmetrics-text": ("", "1.0.0", "0.0.1")}
_TEXT = {"text/plain": ("", "0.0.4", "1.0.0"), "text/*": ("",), "*/*": ("",)}


class Range(NamedTuple):
    """One element of an `Accept`-like header, lower case, with its weight from 0 to 1."""

    value: str
    parameters: dict[str, str]
    weight: float


class Response(NamedTuple):
    """An exposition ready to be sent."""

    headers: list[tuple[str, str]]
    body: bytes


def expose(families: Iterable[Family], accept: str = "", accept_encoding: str = "") -> Response:
    """Write families, of one or many workers, as one valid exposition."""
    openmetrics, escaping = _negotiate(accept)
    body = _render(families, openmetrics=openmetrics)
    kind = "application/openmetrics-text; version=1.0.0" if openmetrics else "text/plain; version=0.0.4"
    headers = [("content-type", f"{kind}; charset=utf-8{'; escaping=underscores' if escaping else ''}")]
    headers.append(("vary", "accept, accept-encoding"))
    if _weight(_ranges(accept_encoding), {"gzip": ("",), "*": ("",)}):
        body = gzip.compress(body, _GZIP_LEVEL)
        headers.append(("content-encoding", "gzip"))
    headers.append(("content-length", str(len(body))))
    return Response(headers, body)


def _render(families: Iterable[Family], *, openmetrics: bool) -> bytes:
    merged: dict[str, tuple[Family, list[list[Sample]]]] = {}
    for family in families:
        first, samples = merged.setdefault(family[0], (family, []))
        # During a deploy two versions of an app can disagree; a family has one type, so the later one stays out.
        if family[1] == first[1]:
            samples.append(family[4])
    lines: list[str] = []
    for (name, kind, documentation, unit, _), groups in merged.values():
        help_text = documentation.replace("\\", r"\\").replace("\n", r"\n")
        if openmetrics:
            lines.append(f"# TYPE {name} {kind}\n")
            if unit:
                lines.append(f"# UNIT {name} {unit}\n")
            help_text = help_text.replace('"', r"\"")
            lines.append(f"# HELP {name} {help_text}\n")
        else:
            shown = name + _TEXT_SUFFIXES.get(kind, "")
            lines.append(f"# HELP {shown} {help_text}\n# TYPE {shown} {_TEXT_TYPES.get(kind, kind)}\n")
        for group in groups:
            if openmetrics:
                lines += [f"{key} {number(value)}{exemplar}\n" for key, value, exemplar in group]
            else:
                lines += [f"{key} {number(value)}\n" for key, value, _ in group]
    if openmetrics:
        lines.append("# EOF\n")
    return "".join(lines).encode(errors="replace")  # a label's value may be half of a surrogate pair


def _negotiate(accept: str) -> tuple[bool, bool]:
    """Whether OpenMetrics is preferred, and whether the scraper named an escaping scheme.

    Without a preference, and for a scraper that accepts neither, the answer is text: every scraper reads it.
    """
    ranges = list(_ranges(accept))
    openmetrics = _weight(ranges, _OPENMETRICS)
    return bool(openmetrics) and openmetrics >= _weight(ranges, _TEXT), any("escaping" in r.parameters for r in ranges)


def _weight(ranges: Iterable[Range], names: Mapping[str, tuple[str, ...]]) -> float:
    """Return the weight of the best range with the most specific of these names; 0 when none is there."""
    found = list(ranges)
    for name, versions in names.items():
        weights = [r.weight for r in found if r.value == name and r.parameters.get("version", "") in versions]
        if weights:
            return max(weights)
    return 0


def _ranges(header: str) -> Iterator[Range]:
    for element in header.lower().split(","):
        value, *rest = element.split(";")
        parameters: dict[str, str] = {}
        for parameter in rest:
            name, _, text = parameter.partition("=")
            parameters[name.strip()] = text.strip().strip('"')
        if value.strip():
            yield Range(value.strip(), parameters, _quality(parameters.pop("q", "1")))


def _quality(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0
    return weight if 0 <= weight <= 1 else 0
