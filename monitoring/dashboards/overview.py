"""How the service does for its users, and how much of its error budget is left."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.panels import BAD, GOOD, WARN, Panel, Query, Row, board, choice, lines, number, quantiles, rows
from monitoring.slo import BURNS, Objectives

JOB = 'job=~"$job"'
STATUS_COLOURS = {"2xx": "green", "3xx": "blue", "4xx": "orange", "5xx": "red"}
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
            f"{name} budget left",
            f"Of the error budget of the last {days} days, weighted by traffic. Objective: {objective:.4g} % {says}."
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
                "All requests the edge answered, per second.",
                "reqps",
                f"sum(rate(edge_http_requests_total{{{JOB}}}[$__rate_interval]))",
                steps=((None, "blue"),),
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
            ),
            lines(
                "Request duration",
                f"Of the requests the latency objective counts, measured at the edge; the line is its {seconds:g} s.",
                "s",
                *quantiles("edge_http_request_duration_seconds", timed),
                limits=((None, "transparent"), (seconds, BAD)),
            ),
        ),
    )
    slo = Row(
        "Objectives",
        (
            lines(
                "Burn rate",
                "How many times faster than allowed the budget is spent over the last hour: 1 spends it exactly in "
                f"{days} days, {' and '.join(f'{factor:g}' for factor in PAGES)} page.",
                "short",
                Query("slo:sli_error:ratio_rate1h / on (slo) group_left () slo:error_budget:ratio", "{{slo}}"),
                limits=((None, "transparent"), (1, GOOD), (PAGES[0], WARN), (PAGES[-1], BAD)),
            ),
            lines(
                "Error budget left",
                f"Over {days} days, weighted by traffic.",
                "percentunit",
                Query("clamp_min(slo:error_budget_remaining:ratio, 0)", "{{slo}}"),
                top=1,
            ),
            rows(
                "Firing alerts",
                "Empty when all is well. Each alert has a section in docs/runbook.md.",
                Query('ALERTS{alertstate="firing",severity=~"page|ticket"}'),
                columns={
                    "alertname": "Alert",
                    "severity": "Severity",
                    "slo": "Objective",
                    "job": "Job",
                    "instance": "Instance",
                },
                w=8,
                empty="None",
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
            ),
            lines(
                "Memory of the API",
                "Resident memory of all gunicorn workers, by instance.",
                "bytes",
                Query('sum by (instance) (process_resident_memory_bytes{job="api"})', "{{instance}}"),
            ),
            rows(
                "Versions running",
                "gunicorn workers by version; more than one row while a deploy is under way.",
                Query('count by (version, revision, environment) (app_info{job="api"})', "Workers"),
                columns={"version": "Version", "revision": "Revision", "environment": "Environment"},
                w=8,
            ),
        ),
    )
    return board(
        "overview",
        "Overview",
        "How the service does for its users, and how much of its error budget is left.",
        (now, traffic, slo, resources),
        (choice("job", "Edge job", "label_values(edge_connections, job)"),),
    )
