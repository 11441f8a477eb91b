"""How the service does for its users, and how much of its error budget is left."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.alerts import (
    CERTIFICATE_DAYS,
    CERTIFICATE_PAGE,
    CERTIFICATE_TICKET,
    DISK_FREE,
    DISK_FREE_RATIO,
    EVENT_LOOP_LAG,
    MISSING,
    NONE,
    STARTS,
    TARGETS_DOWN,
    starts,
)
from monitoring.panels import (
    BAD,
    CALM,
    FIRING,
    FULL,
    GOOD,
    LIMITED,
    STATUS_COLOURS,
    WARN,
    Panel,
    Query,
    Row,
    board,
    lines,
    number,
    quantiles,
    route_links,
    rows,
)
from monitoring.slo import BURNS, Objectives

JOB = 'job="nginx"'
SLO_COLOURS = {"/^availability/": CALM, "/^latency/": "purple"}
ALERTMANAGER = "${alertmanager}/#/alerts?filter=%7Balertname%3D%22${__value.raw}%22%7D"
PANEL = "/d/sightglass-${__value.raw}&${__url_time_range}"
PAGING = [burn for burn in BURNS if burn.severity == "page"]
PAGES = sorted(burn.factor for burn in PAGING)
BY_CLASS = (
    'sum by (class) (label_replace(rate(edge_http_requests_total{{{selector}}}[$__rate_interval]), "class", "$1",'
    ' "status", "(.).*"))'
)


def build(objectives: Objectives, shown: dict[str, str], runbook: dict[str, str]) -> Dashboard:
    """Return the dashboard.

    ``shown`` is where the panel of each alert is, ``runbook`` its section: ``DASHBOARD?viewPanel=panel-ID``.
    """
    availability, latency = objectives.slos
    days = objectives.window_days
    seconds = objectives.threshold_seconds
    timed = f"{JOB},{objectives.timed}"

    errors = ((None, GOOD), (availability.budget, WARN), (PAGES[-1] * availability.budget, BAD))

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
            leads="edge",
        )

    counted = f"{JOB},{objectives.counted}"
    now = Row(
        "For users",
        (
            number(
                "Ready",
                "Whether the prober gets 200 from /ready through TLS and the edge.",
                "short",
                'min(probe_success{job="probe"})',
                steps=((None, BAD), (1, GOOD)),
                mappings={"0": "No", "1": "Yes"},
                leads="edge",
            ),
            number(
                "5xx",
                "Share of counted requests answered with 5xx in the last 5 minutes.",
                "percentunit",
                'slo:sli_error:ratio_rate5m{slo="availability"}',
                steps=errors,
                decimals=2,
                empty="No traffic",
                leads="edge",
            ),
            number(
                "p95",
                "95 % of the requests the latency objective counts were answered faster, over 5 minutes.",
                "s",
                "histogram_quantile(0.95, sum by (le)"
                f" (rate(edge_http_request_duration_seconds_bucket{{{timed}}}[5m]))) >= 0",  # NaN without traffic
                steps=((None, GOOD), (seconds, BAD)),
                empty="No answer",
                leads="edge",
            ),
            number(
                "429",
                "Share of users' requests that were over a limit, over 5 minutes.",
                "percentunit",
                f'(sum(rate(edge_http_requests_total{{{counted},status="429"}}[5m])) or vector(0))'
                f" / (sum(rate(edge_http_requests_total{{{counted}}}[5m])) > 0)",
                steps=LIMITED,
                decimals=1,
                empty="No traffic",
                leads="edge",
            ),
            number(
                "Requests",
                "Users' requests the edge answered, per second, over 5 minutes.",
                "reqps",
                f"sum(rate(edge_http_requests_total{{{counted}}}[5m])) > 0",
                steps=((None, CALM),),
                empty="No traffic",
                leads="api",
            ),
            budget("Availability", availability.says, availability.objective * 100),
            budget("Latency", latency.says, latency.objective * 100),
            number(
                "Firing alerts",
                "Pages and tickets; the table below names them.",
                "short",
                f"count({FIRING}) or {NONE}",
                steps=((None, GOOD), (1, BAD)),
                link="${alertmanager}/#/alerts",
            ),
        ),
    )
    below = Row(
        "Below them",
        (
            number(
                "Replicas missing",
                "Of the API and of the job processes: expected, and not answering Prometheus.",
                "short",
                f"sum(clamp_min({MISSING}, 0))",
                steps=((None, GOOD), (1, BAD)),
                leads="workers",
            ),
            number(
                "Targets down",
                "Of all that Prometheus scrapes: not answering, or not there at all.",
                "short",
                TARGETS_DOWN,
                steps=((None, GOOD), (1, BAD)),
                leads="monitoring",
            ),
            number(
                "Processor",
                "Of the API's, the jobs' and NGINX's containers the one that uses most of what it may, over 5 minutes.",
                "percentunit",
                "max(rate(sightglass_container_cpu_usage_seconds_total[5m]) / sightglass_container_spec_cpu_cores)",
                steps=FULL,
                decimals=0,
                empty="No limit",
                leads="workers",
            ),
            number(
                "Memory",
                "Of the API's, the jobs' and NGINX's containers the one that uses most of what it may.",
                "percentunit",
                "max(sightglass_container_memory_working_set_bytes / sightglass_container_spec_memory_limit_bytes)",
                steps=FULL,
                decimals=0,
                empty="No limit",
                leads="workers",
            ),
            number(
                "Event loop lag",
                "The longest of all processes within 15 seconds.",
                "s",
                'max(event_loop_lag_seconds{job="api"})',
                steps=((None, GOOD), (EVENT_LOOP_LAG, BAD)),
                empty="No process",
                leads="workers",
            ),
            number(
                "Most starts",
                "Of one process of the API or the jobs within 15 minutes, under whatever address.",
                "short",
                f"max({starts('15m')})",
                steps=((None, GOOD), (STARTS - 1, WARN), (STARTS, BAD)),
                empty="No process",
                leads="workers",
            ),
            number(
                "Least disk free",
                "Share of the fullest file system of the host.",
                "percentunit",
                f"min({DISK_FREE_RATIO})",
                steps=((None, BAD), (DISK_FREE, WARN), (2 * DISK_FREE, GOOD)),
                decimals=0,
                leads="monitoring",
            ),
            number(
                "Certificate",
                "Days until the first certificate of the chain expires.",
                "suffix: days",
                CERTIFICATE_DAYS,
                steps=((None, BAD), (CERTIFICATE_PAGE / 86400, WARN), (CERTIFICATE_TICKET / 86400, GOOD)),
                decimals=0,
                leads="edge",
            ),
        ),
    )
    firing = Row(
        "What is wrong",
        (
            rows(
                "Firing alerts",
                "Each leads to the panel that shows it, and to its section of the runbook.",
                Query(_led(FIRING, shown, runbook)),
                columns={
                    "alertname": "Alert",
                    "severity": "Severity",
                    "slo": "Objective",
                    "window": "Window",
                    "job": "Job",
                    "instance": "Instance",
                    "shown": "Shown on",
                    "runbook": "What to do",
                },
                widths={
                    "Alert": 190,
                    "Severity": 90,
                    "Objective": 110,
                    "Window": 80,
                    "Job": 90,
                    "Shown on": 110,
                    "What to do": 100,
                },
                links={
                    "Alert": {"Silences: Alertmanager": ALERTMANAGER},
                    "Shown on": {"The panel that shows it": PANEL},
                    "What to do": {"Its section of the runbook": PANEL},
                },
                words={"Shown on": (r"([a-z]+)\?.*", "$1"), "What to do": ("(.+)\\?.*", "$1")},
                w=16,
                h=7,
                empty="None",
            ),
            rows(
                "Versions running",
                "Worker processes by version; more than one row while a deploy is under way.",
                Query(
                    "count by (version, revision, environment)"
                    ' (label_replace(app_info{job="api"}, "revision", "$1", "revision", "(.{12}).*"))',
                    "Processes",
                ),
                columns={"version": "Version", "revision": "Revision", "environment": "Environment"},
                widths={"Environment": 110, "Revision": 130, "Processes": 100},
                w=8,
                h=7,
                empty="None",
            ),
        ),
    )
    asked = f"(sum by (route) (rate(edge_http_requests_total{{{counted}}}[5m])) > 0)"

    def share(matcher: str) -> str:
        these = f"sum by (route) (rate(edge_http_requests_total{{{counted},{matcher}}}[5m]))"
        return f"{these} / {asked} or 0 * {asked}"

    where = Row(
        "Where",
        (
            rows(
                "Routes",
                "Over 5 minutes, at the edge; each cell leads there. p95: of routes the latency objective counts.",
                Query(share('status=~"5.."'), "5xx", unit="percentunit", steps=errors),
                Query(share('status="429"'), "429", unit="percentunit", steps=LIMITED),
                Query(
                    "histogram_quantile(0.95, sum by (le, route) "
                    f"(rate(edge_http_request_duration_seconds_bucket{{{timed}}}[5m]))) >= 0",
                    "p95",
                    unit="s",
                    steps=((None, GOOD), (seconds, BAD)),
                ),
                Query(asked, "Requests", unit="reqps"),
                columns={"route": "Route"},
                links={"": route_links("__data.fields.Route")},
                sort="5xx",
                h=8,
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
                "Share of bad requests of both objectives over 5 minutes; dashed is how much each may have.",
                "percentunit",
                Query("slo:sli_error:ratio_rate5m", "{{slo}}"),
                Query("slo:error_budget:ratio and on (slo) slo:sli_error:ratio_rate5m", "{{slo}} budget"),
                colours=SLO_COLOURS,
                dashed="/budget$/",
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
                *(Query(burn.format(window=one.long), f"{{{{slo}}}} {one.long}") for one in PAGING),
                limits=((None, "transparent"), (1, GOOD), (PAGES[0], WARN), (PAGES[-1], BAD)),
                colours=SLO_COLOURS,
                dashed=f"/{PAGING[-1].long}$/",
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
    return board(
        "overview",
        "Overview",
        "How the service does for its users, and how much of its error budget is left.",
        (now, below, where, firing, traffic, slo),
        alerts=True,
    )


def _led(alerts: str, shown: dict[str, str], runbook: dict[str, str]) -> str:
    """Return ``alerts`` with two labels: where each is shown, and where it is told what to do."""
    for label, found in (("shown", shown), ("runbook", runbook)):
        for alert, where in sorted(found.items()):
            alerts = f'label_replace({alerts}, "{label}", "{where}", "alertname", "{alert}")'
    return alerts
