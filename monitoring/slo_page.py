"""docs/slo.md: what is promised, and what happens when the promise is at risk."""

from monitoring.slo import BURNS, Objectives


def slo_page(objectives: Objectives) -> str:
    """Return the page's Markdown."""
    days = objectives.window_days
    promises = "\n".join(
        f"| {slo.name} | {slo.objective * 100:.4g} % of {slo.says} | {slo.budget * 100:.4g} % of requests"
        f" ({_minutes(slo.budget, days)} of everything failing) |"
        for slo in objectives.slos
    )
    burns = "\n".join(
        f"| {burn.severity} | {burn.factor:g} | {burn.long} and {burn.short} | {burn.hold} | "
        + ", ".join(f"{slo.name} above {burn.factor * slo.budget * 100:.3g} % bad" for slo in objectives.slos)
        + " |"
        for burn in BURNS
    )
    return f"""# Service level objectives

*Generated from [monitoring/slo.toml](../monitoring/slo.toml) by `python -m monitoring`; so are the Prometheus rules and
the thresholds of the dashboards. To change an objective, edit that file, run the command, commit what it wrote.*

Measured over {days} days at the edge, because only NGINX sees its own 502s and the requests the API never got.

| objective | promise | error budget |
|---|---|---|
{promises}

Not counted: {_code(objectives.routes_not_counted)}, which machines ask; 429, which is policy, not failure; and for
latency {_code(objectives.routes_not_timed)}, which
take as long as a document is large and a client's line is slow. Nor does the latency objective count the edge's own 429
and 5xx, what waited for its turn there, WebSockets, server-sent events, and the routes in
[`SLOW_ROUTES`](../.env.template).

## Who is woken, and when

An alert fires when the budget burns too fast over a long window, and still does over a short one, so that it ends soon
after the trouble (Google, *The Site Reliability Workbook*, chapter 5).

| severity | times too fast | over | for | that is |
|---|---|---|---|---|
{burns}

A `page` should wake someone, a `ticket` should be looked at within days. Fewer than {objectives.minimum_errors} bad
requests in the long window alert nobody: with little traffic, one failure is a large share. A total outage without
traffic is found by `APIDown`, `EdgeDown` and `EdgeProbeFailing`.

## The error budget

`slo:error_budget_remaining:ratio` is 1 with nothing spent, 0 with all of it, below 0 when the promise is broken. It is
bad requests over all requests of {days} days, not a mean of daily ratios: an hour with ten times the traffic weighs ten
times as much. Prometheus must keep samples longer than that (`PROMETHEUS_RETENTION_TIME`); a younger Prometheus shows
what it has seen so far.

`rate()` counts from a series' second sample on. The edge therefore shows a route's 500, 502, 503 and 504 from its first
request on, at 0; what fails within 10 seconds of a route's very first request, or with another status, is not in these
numbers when it is the first of its kind.
"""


def _minutes(budget: float, days: int) -> str:
    minutes = budget * days * 24 * 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _code(routes: tuple[str, ...]) -> str:
    return ", ".join(f"`{route}`" for route in routes)
