"""How the service does for its users, and how much of its error budget is left."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.alerts import CAUSES
from monitoring.panels import (
    BAD,
    BY_ROUTE,
    CALM,
    FIRING,
    GOOD,
    STATUS_COLOURS,
    WARN,
    Panel,
    Query,
    Row,
    board,
    choice,
    lines,
    number,
    quantiles,
    rows,
)
from monitoring.slo import BURNS, Objectives

JOB = 'job=~"$job"'
SLO_COLOURS = {"/^availability/": CALM, "/^latency/": "purple"}
ALERTMANAGER = "${alertmanager}/#/alerts?filter=%7Balertname%3D%22${__value.raw}%22%7D"
PAGES = sorted(burn.factor for burn in BURNS if burn.severity == "page")
BY_CLASS = (
    'sum by (class) (label_replace(rate(edge_http_requests_total{{{selector}}}[$__rate_interval]), "class", "$1",'
    ' "status", "(.).*"))'
)


def build(objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    availability, latency = objectives.slos
    days = objectives.window_days
    seconds = objectives.threshold_seconds
    timed = f"{JOB},{objectives.timed}"

    def budget(name: str, says: str, objective: float) -> Panel:
        return number(
            f"{name} budget",
            f"What is left of that of the last {days} days, weighted by traffic. Objective: {objective:.4g} % {says}."
            " Below 0 the objective is missed.",
            "percentunit",
            f'slo:error_budget_remaining:ratio{{slo="{name.lower()}"}}',
            steps=((None, BAD), (0, WARN), (0.25, GOOD)),
            decimals=1,
            empty="No traffic yet",
        )

    now = Row(
        "Now",
        (
            number(
                "Ready",
                "Whether the prober gets 200 from /ready through TLS and the edge.",
                "short",
                'min(probe_success{job="probe"})',
                steps=((None, BAD), (1, GOOD)),
                mappings={"0": "No", "1": "Yes"},
            ),
            number(
                "API instances",
                "Replicas whose metrics listener answers.",
                "short",
                'sum(up{job="api"}) or vector(0)',
                steps=((None, BAD), (1, GOOD)),
            ),
            number(
                "Requests",
                "Users' requests the edge answered, per second, over 5 minutes.",
                "reqps",
                f"sum(rate(edge_http_requests_total{{{JOB},{objectives.counted}}}[5m]))",
                steps=((None, CALM),),
                empty="No traffic",
            ),
            number(
                "5xx",
                "Share of counted requests answered with 5xx in the last 5 minutes.",
                "percentunit",
                'slo:sli_error:ratio_rate5m{slo="availability"}',
                steps=((None, GOOD), (availability.budget, WARN), (PAGES[-1] * availability.budget, BAD)),
                decimals=2,
                empty="No traffic",
            ),
            number(
                "p95",
                "95 % of the requests the latency objective counts were answered faster, over 5 minutes.",
                "s",
                "histogram_quantile(0.95, sum by (le)"
                f" (rate(edge_http_request_duration_seconds_bucket{{{timed}}}[5m]))) >= 0",  # NaN without traffic
                steps=((None, GOOD), (seconds, BAD)),
                empty="No traffic",
            ),
            budget("Availability", availability.says, availability.objective * 100),
            budget("Latency", latency.says, latency.objective * 100),
            number(
                "Firing alerts",
                "Pages and tickets; the table below names them.",
                "short",
                'count(ALERTS{alertstate="firing",severity=~"page|ticket"}) or vector(0)',
                steps=((None, GOOD), (1, BAD)),
            ),
        ),
    )
    firing = Row(
        "What is wrong",
        (
            rows(
                "Firing alerts",
                "Each has a section in docs/runbook.md, which Alertmanager links to.",
                Query(_with_dashboard(FIRING)),
                columns={
                    "alertname": "Alert",
                    "severity": "Severity",
                    "slo": "Objective",
                    "job": "Job",
                    "instance": "Instance",
                    "dashboard": "Shown on",
                },
                widths={"Alert": 190, "Severity": 90, "Objective": 110, "Job": 90, "Shown on": 110},
                links={
                    "Alert": {"Runbook, silences: Alertmanager": ALERTMANAGER},
                    "Shown on": {"The dashboard that shows it": "/d/sightglass-${__value.raw}?${__url_time_range}"},
                },
                w=16,
                h=7,
                empty="None",
            ),
            rows(
                "Versions running",
                "Worker processes by version; more than one row while a deploy is under way.",
                Query('count by (version, revision, environment) (app_info{job="api"})', "Processes"),
                columns={"version": "Version", "revision": "Revision", "environment": "Environment"},
                widths={"Version": 150, "Revision": 100, "Processes": 100},
                w=8,
                h=7,
                empty="None",
            ),
        ),
    )
    routed = f"{JOB},{objectives.counted}"
    asked = f"(sum by (route) (rate(edge_http_requests_total{{{routed}}}[5m])) > 0)"

    def share(matcher: str) -> str:
        these = f"sum by (route) (rate(edge_http_requests_total{{{routed},{matcher}}}[5m]))"
        return f"{these} / {asked} or 0 * {asked}"

    where = Row(
        "Where",
        (
            rows(
                "Routes",
                "Over the last 5 minutes, at the edge; a route's cell leads on.",
                Query(asked, "Requests", unit="reqps"),
                Query(share('status=~"5.."'), "5xx", unit="percentunit"),
                Query(share('status="429"'), "429", unit="percentunit"),
                Query(
                    "histogram_quantile(0.95, sum by (le, route) "
                    f"(rate(edge_http_request_duration_seconds_bucket{{{routed}}}[5m]))) >= 0",
                    "p95",
                    unit="s",
                ),
                columns={"route": "Route"},
                links={
                    "Route": {
                        "This route at the edge": BY_ROUTE.format(board="edge"),
                        "This route in the application": BY_ROUTE.format(board="api"),
                    }
                },
                sort="5xx",
                h=7,
                empty="No traffic",
            ),
        ),
    )
    traffic = Row(
        "Traffic, errors, latency",
        (
            lines(
                "Requests by status class",
                "What the edge answered, per second, 429 and its own errors included.",
                "reqps",
                Query(BY_CLASS.format(selector=JOB), "{{class}}xx"),
                stacked=True,
                colours=STATUS_COLOURS,
            ),
            lines(
                "Error ratio",
                "Share of bad requests of both objectives over 5 minutes; the line is the availability budget.",
                "percentunit",
                Query("slo:sli_error:ratio_rate5m", "{{slo}}"),
                limits=((None, "transparent"), (availability.budget, WARN)),
                colours=SLO_COLOURS,
                empty="No traffic",
            ),
            lines(
                "Request duration",
                f"Of the requests the latency objective counts, measured at the edge; the line is its {seconds:g} s.",
                "s",
                *quantiles("edge_http_request_duration_seconds", timed),
                limits=((None, "transparent"), (seconds, BAD)),
                empty="No traffic",
            ),
        ),
    )
    burn = "slo:sli_error:ratio_rate{window} / on (slo) group_left () slo:error_budget:ratio"
    slo = Row(
        "Objectives",
        (
            lines(
                "Burn rate",
                "How many times faster than allowed the budget is spent, over the windows of the alerts that page: 1 "
                f"spends it exactly in {days} days, {' and '.join(f'{factor:g}' for factor in PAGES)} page.",
                "short",
                *(
                    Query(burn.format(window=one.long), f"{{{{slo}}}} {one.long}")
                    for one in BURNS
                    if one.severity == "page"
                ),
                limits=((None, "transparent"), (1, GOOD), (PAGES[0], WARN), (PAGES[-1], BAD)),
                colours=SLO_COLOURS,
                decimals=1,
                empty="No traffic yet",
                w=12,
            ),
            lines(
                "Error budget left",
                f"Over {days} days, weighted by traffic; below 0 the objective is missed.",
                "percentunit",
                Query("slo:error_budget_remaining:ratio", "{{slo}}"),
                bottom=None,
                top=1,
                colours=SLO_COLOURS,
                decimals=1,
                empty="No traffic yet",
                w=12,
            ),
        ),
    )
    resources = Row(
        "Resources",
        (
            lines(
                "CPU of the API",
                "CPU seconds per second, by instance; 1 is one core.",
                "short",
                Query(
                    'sum by (instance) (rate(process_cpu_seconds_total{job="api"}[$__rate_interval]))', "{{instance}}"
                ),
                w=12,
            ),
            lines(
                "Memory of the API",
                "Resident memory of all gunicorn workers, by instance.",
                "bytes",
                Query('sum by (instance) (process_resident_memory_bytes{job="api"})', "{{instance}}"),
                w=12,
            ),
        ),
    )
    return board(
        "overview",
        "Overview",
        "How the service does for its users, and how much of its error budget is left.",
        (now, firing, where, traffic, slo, resources),
        (choice("job", "Edge job", "label_values(edge_connections, job)", hidden=True),),
        alerts=True,
    )


def _with_dashboard(alerts: str) -> str:
    """Return ``alerts`` with the name of the dashboard that shows each as a label."""
    shown: dict[str, set[str]] = {"overview": {"ErrorBudgetBurn"}}
    for alert in (alert for group in CAUSES.values() for alert in group):
        shown.setdefault(alert.dashboard, set()).add(alert.name)
    for name, these in sorted(shown.items()):
        alerts = f'label_replace({alerts}, "dashboard", "{name}", "alertname", "{"|".join(sorted(these))}")'
    return alerts
