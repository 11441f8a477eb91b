"""What NGINX sees: every request, its own errors and rejections included."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.alerts import CERTIFICATE_ATTEMPTS, CERTIFICATE_DAYS, CERTIFICATE_PAGE, CERTIFICATE_TICKET
from monitoring.panels import (
    BAD,
    CALM,
    GOOD,
    STATUS_COLOURS,
    WARN,
    Query,
    Row,
    board,
    choice,
    density,
    lines,
    number,
    quantiles,
    route_links,
    rows,
)
from monitoring.slo import Objectives

JOB = 'job="nginx"'
EDGE = 'job="nginx",route=~"$route"'
API = 'job="api",route=~"$route"'


def build(objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    seconds = objectives.threshold_seconds
    requests = f"sum by (%s) (rate(edge_http_requests_total{{{EDGE}}}[$__rate_interval]))"
    failed = f'sum by (route) (rate(edge_http_requests_total{{{EDGE},status=~"5.."}}[$__rate_interval]))'
    failed_inside = f'sum by (route) (rate(http_requests_total{{{API},status=~"5.."}}[$__rate_interval]))'
    traffic = Row(
        "Traffic",
        (
            lines(
                "Requests by route",
                "Answered requests per second.",
                "reqps",
                Query(requests % "route", "{{route}}"),
                stacked=True,
            ),
            lines(
                "Requests by status",
                "Answered requests per second.",
                "reqps",
                Query(requests % "status", "{{status}}"),
                stacked=True,
                colours=STATUS_COLOURS,
            ),
            lines(
                "Errors by route",
                "Share of requests answered with 5xx.",
                "percentunit",
                Query(
                    f'sum by (route) (rate(edge_http_requests_total{{{EDGE},status=~"5.."}}[$__rate_interval]))'
                    f" / sum by (route) (rate(edge_http_requests_total{{{EDGE}}}[$__rate_interval]))"
                    f" or 0 * ({requests % 'route'})",
                    "{{route}}",
                ),
                limits=((None, "transparent"), (objectives.availability.budget, WARN)),
            ),
        ),
    )
    duration = Row(
        "Duration",
        (
            lines(
                "Quantiles",
                "Over all chosen routes, from a request's first byte to its answer's last.",
                "s",
                *quantiles("edge_http_request_duration_seconds", EDGE),
            ),
            lines(
                "p95 by route",
                f"95 % of the route's requests were answered faster; the line is the objective's {seconds:g} s,"
                " for routes that it counts.",
                "s",
                Query(
                    "histogram_quantile(0.95, sum by (le, route)"
                    f" (rate(edge_http_request_duration_seconds_bucket{{{EDGE}}}[$__rate_interval])))",
                    "{{route}}",
                ),
                limits=((None, "transparent"), (seconds, BAD)),
            ),
            density(
                "Distribution",
                "Requests per second by bucket of duration.",
                "s",
                f"sum by (le) (rate(edge_http_request_duration_seconds_bucket{{{EDGE}}}[$__rate_interval]))",
                w=8,
            ),
        ),
    )
    beside = Row(
        "Beside the application",
        (
            lines(
                "Errors the application did not give",
                "5xx at the edge without those of the application, per second: the way there is broken.",
                "reqps",
                Query(f"clamp_min({failed} - on (route) ({failed_inside} or 0 * {failed}), 0)", "{{route}}"),
                w=12,
            ),
            lines(
                "Time at the edge and in the application",
                "95 % took less; between them lie the client's line and the way to the application.",
                "s",
                *(
                    Query(
                        f"histogram_quantile(0.95, sum by (le) (rate({histogram}_bucket{{{of}}}[$__rate_interval])))",
                        says,
                    )
                    for says, histogram, of in (
                        ("edge", "edge_http_request_duration_seconds", EDGE),
                        ("application", "http_request_duration_seconds", API),
                    )
                ),
                colours={"edge": CALM, "application": "purple"},
                w=12,
            ),
        ),
    )
    protection = Row(
        "Limits, cache, connections",
        (
            lines(
                "Over the rate limit",
                "Share of the requests that were answered with 429.",
                "percentunit",
                Query(
                    f'sum(rate(edge_http_requests_total{{{EDGE},status="429"}}[$__rate_interval]))'
                    f" / sum(rate(edge_http_requests_total{{{EDGE}}}[$__rate_interval]))"
                    f" or 0 * sum(rate(edge_http_requests_total{{{EDGE}}}[$__rate_interval]))",
                    "429",
                ),
                colours=STATUS_COLOURS,
                w=8,
            ),
            lines(
                "Gateway errors",
                "Per second: the API refused, was not there or took too long.",
                "reqps",
                *(
                    Query(
                        f'sum(rate(edge_http_requests_total{{{EDGE},status="{status}"}}[$__rate_interval]))'
                        f" or 0 * sum(rate(edge_http_requests_total{{{EDGE}}}[$__rate_interval]))",
                        status,
                    )
                    for status in ("502", "503", "504")
                ),
                colours=STATUS_COLOURS,
                w=8,
            ),
            lines(
                "Answers the API did not give",
                "Per second, by what came of a request's last attempt; docs/http.md explains each reason.",
                "reqps",
                Query(f"sum by (reason) (rate(edge_upstream_failures_total{{{JOB}}}[$__rate_interval]))", "{{reason}}"),
                stacked=True,
                colours={"/./": BAD},
                w=8,
            ),
            lines(
                "Response cache",
                "Answers by what the cache did, per second.",
                "reqps",
                Query(f"sum by (cache) (rate(edge_cache_requests_total{{{JOB}}}[$__rate_interval]))", "{{cache}}"),
                stacked=True,
                colours={"hit": GOOD, "revalidated": GOOD, "miss": CALM, "/stale|updating|expired/": WARN},
                w=8,
            ),
            lines(
                "Connections",
                "Client connections by what they do.",
                "short",
                Query(f"sum by (state) (edge_connections{{{JOB}}})", "{{state}}"),
                w=8,
            ),
            lines(
                "Connections in use",
                "Share of what there may be, two for each request on its way to the application.",
                "percentunit",
                Query(
                    f'sum(edge_connections{{{JOB},state="active"}}) / sum(sightglass_edge_connections_limit{{{JOB}}})',
                    "clients'",
                ),
                limits=((None, "transparent"), (0.5, WARN)),
                w=8,
            ),
        ),
    )
    outside = Row(
        "From outside",
        (
            number(
                "Certificate valid for",
                "Time until the first certificate of the chain expires.",
                "suffix: days",
                CERTIFICATE_DAYS,
                steps=((None, BAD), (CERTIFICATE_PAGE / 86400, WARN), (CERTIFICATE_TICKET / 86400, GOOD)),
                decimals=0,
                w=8,
            ),
            number(
                "Attempts at a certificate failed in a row",
                "Where the edge gets its certificate by ACME; tried again by itself.",
                "locale",
                f"max(acme_failed_attempts{{{JOB}}})",
                steps=((None, GOOD), (1, WARN), (CERTIFICATE_ATTEMPTS, BAD)),
                empty="Not by ACME",
                w=8,
            ),
            number(
                "Configuration reloads",
                "Since the edge started, a renewed certificate's included.",
                "locale",
                f"sum(edge_reloads_total{{{JOB}}})",
                steps=((None, CALM),),
                w=8,
            ),
            lines(
                "Probe by phase",
                "Where the time of a probe of /ready goes.",
                "s",
                Query('avg by (phase) (probe_http_duration_seconds{job="probe"})', "{{phase}}"),
                stacked=True,
                w=12,
            ),
            rows(
                "Requests and errors in this time range",
                "By route; a request the edge rejected counts too.",
                Query(f"round(sum by (route) (increase(edge_http_requests_total{{{EDGE}}}[$__range])))", "Requests"),
                Query(
                    f'round(sum by (route) (increase(edge_http_requests_total{{{EDGE},status=~"5.."}}[$__range])))'
                    f" or 0 * sum by (route) (increase(edge_http_requests_total{{{EDGE}}}[$__range]))",
                    "5xx",
                ),
                columns={"route": "Route"},
                widths={"Route": 250},
                links={"": route_links("__data.fields.Route", "api")},
                sort="Requests",
                w=12,
            ),
        ),
    )
    return board(
        "edge",
        "Edge",
        "What NGINX sees: every request, its own errors and rejections included.",
        (traffic, duration, beside, protection, outside),
        (choice("route", "Route", 'label_values(edge_http_requests_total{job="nginx"}, route)'),),
    )
