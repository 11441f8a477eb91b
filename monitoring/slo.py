"""Service level objectives at the edge, read from ``slo.toml``.

The edge is where they are measured because only it sees its own 502s and the requests the API never got.
Burn rates and windows: Google, The Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
"""

import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# The buckets of edge_http_request_duration_seconds: a threshold between two of them cannot be measured.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EDGE = 'job="nginx"'


@dataclass(frozen=True)
class SLO:
    """One objective: ``objective`` is the fraction of requests that must be good over the window."""

    name: str
    objective: float
    says: str
    requests: str
    """PromQL, counted requests per second."""
    errors: str
    """PromQL, those of them that were bad, per second; 0 rather than absent when there were none."""

    @property
    def budget(self) -> float:
        """The fraction of requests that may be bad."""
        return round(1 - self.objective, 9)


@dataclass(frozen=True)
class Burn:
    """An alert when budget is spent ``factor`` times too fast over both windows."""

    factor: float
    long: str
    short: str
    severity: str
    hold: str
    """How long it must last (Prometheus' ``for``)."""


BURNS = (
    Burn(14.4, "1h", "5m", "page", "1m"),
    Burn(6, "6h", "30m", "page", "2m"),
    Burn(3, "1d", "2h", "ticket", "15m"),
    Burn(1, "3d", "6h", "ticket", "30m"),
)


@dataclass(frozen=True)
class Objectives:
    """Everything ``slo.toml`` says."""

    window_days: int
    minimum_errors: int
    routes_not_counted: tuple[str, ...]
    routes_not_timed: tuple[str, ...]
    """By the latency objective, on top of those not counted at all."""
    threshold_seconds: float
    counted: str
    """PromQL label matcher of the requests that count at all: those of users, not of machines."""
    timed: str
    """PromQL label matcher of the requests the latency objective counts."""
    availability: SLO
    latency: SLO

    @property
    def slos(self) -> tuple[SLO, SLO]:
        """Both objectives, in the order they are shown."""
        return self.availability, self.latency


def parse(document: dict[str, Any]) -> Objectives:
    """Objectives of a parsed ``slo.toml``.

    Raises:
        ValueError: a value that cannot be measured or would never alert; the message names it.

    """
    latency = document["latency"]
    threshold = float(latency["threshold_seconds"])
    if threshold not in BUCKETS:
        raise ValueError(f"latency.threshold_seconds={threshold}: not allowed; expected one of {BUCKETS}")
    if not 1 <= document["window_days"] <= 90:
        raise ValueError(f"window_days={document['window_days']}: not allowed; expected 1 to 90")
    if document["minimum_errors"] < 0:
        raise ValueError(f"minimum_errors={document['minimum_errors']}: not allowed; expected 0 or more")
    counted = _not_routes(document["routes_not_counted"])
    timed = _not_routes([*document["routes_not_counted"], *latency["routes_not_counted"]])
    counter = f"edge_http_requests_total{{{EDGE},{counted},"
    histogram = "edge_http_request_duration_seconds"
    all_requests = f'sum(rate({counter}status!="429"}}[5m]))'
    all_timed = f"sum(rate({histogram}_count{{{EDGE},{timed}}}[5m]))"
    return Objectives(
        window_days=document["window_days"],
        minimum_errors=document["minimum_errors"],
        routes_not_counted=tuple(document["routes_not_counted"]),
        routes_not_timed=tuple(latency["routes_not_counted"]),
        threshold_seconds=threshold,
        counted=counted,
        timed=timed,
        availability=SLO(
            name="availability",
            objective=_objective(document, "availability"),
            says="requests not answered with 5xx",
            requests=all_requests,
            errors=f'sum(rate({counter}status=~"5.."}}[5m])) or 0 * {all_requests}',
        ),
        latency=SLO(
            name="latency",
            objective=_objective(document, "latency"),
            says=f"requests answered within {threshold:g} s",
            requests=all_timed,
            # Both sides are rounded on their own: the difference of equals may come out just below 0.
            errors=f'clamp_min({all_timed} - sum(rate({histogram}_bucket{{{EDGE},{timed},le="{threshold}"}}[5m])), 0)',
        ),
    )


@cache
def load() -> Objectives:
    """Objectives of this project."""
    return parse(tomllib.loads((Path(__file__).parent / "slo.toml").read_text()))


def _objective(document: dict[str, Any], name: str) -> float:
    percent = float(document[name]["objective_percent"])
    # At 14.4 times the budget the fastest burn must still be a possible error ratio.
    if not 100 * (1 - 1 / BURNS[0].factor) < percent < 100:
        lowest = 100 * (1 - 1 / BURNS[0].factor)
        raise ValueError(f"{name}.objective_percent={percent}: not allowed; expected above {lowest:.1f} and below 100")
    return round(percent / 100, 9)


def _not_routes(routes: list[str]) -> str:
    return f"route!~{json.dumps('|'.join(map(re.escape, routes)))}"
