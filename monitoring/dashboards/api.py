"""What the application does, by route."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.panels import (
    BAD,
    STATUS_COLOURS,
    WARN,
    Query,
    Row,
    board,
    choice,
    density,
    lines,
    named,
    quantiles,
    route_links,
    rows,
)
from monitoring.slo import Objectives

INSTANCE = 'job="api",instance=~"$instance"'


def build(objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    seconds = objectives.threshold_seconds
    users = f'{INSTANCE},route=~"$route",{objectives.counted}'
    requests = f"sum by (route) (rate(http_requests_total{{{users}}}[$__rate_interval]))"
    failed = f'sum by (route) (rate(http_requests_total{{{users},status=~"5.."}}[$__rate_interval]))'
    traffic = Row(
        "By route",
        (
            lines("Requests", "Finished requests per second.", "reqps", Query(requests, "{{route}}"), stacked=True),
            lines(
                "Errors",
                "Share of requests that ended in 5xx, streams that broke included.",
                "percentunit",
                Query(f"{failed} / {requests} or 0 * {requests}", "{{route}}"),
                limits=((None, "transparent"), (objectives.availability.budget, WARN)),
            ),
            lines(
                "p95",
                "95 % of the route's requests took less, inside the application; the line is the objective's"
                f" {seconds:g} s, for routes that it counts.",
                "s",
                Query(
                    "histogram_quantile(0.95, sum by (le, route)"
                    f" (rate(http_request_duration_seconds_bucket{{{users}}}[$__rate_interval])))",
                    "{{route}}",
                ),
                limits=((None, "transparent"), (seconds, BAD)),
            ),
            rows(
                "Routes in this time range",
                "Most asked first.",
                Query(
                    f"round(sum by (route, method) (increase(http_requests_total{{{users}}}[$__range])))", "Requests"
                ),
                Query(
                    f'round(sum by (route, method) (increase(http_requests_total{{{users},status=~"5.."}}[$__range])))'
                    f" or 0 * sum by (route, method) (increase(http_requests_total{{{users}}}[$__range]))",
                    "5xx",
                ),
                Query(
                    "histogram_quantile(0.95, sum by (le, route, method)"
                    f" (rate(http_request_duration_seconds_bucket{{{users}}}[$__range])))",
                    "p95",
                    unit="s",
                ),
                columns={"route": "Route", "method": "Method"},
                widths={"Route": 250, "Method": 90},
                links={"": route_links("__data.fields.Route", "edge")},
                sort="Requests",
                w=12,
            ),
            lines(
                "Requests by status",
                "Finished requests per second; 499 is a client that left.",
                "reqps",
                Query(f"sum by (status) (rate(http_requests_total{{{users}}}[$__rate_interval]))", "{{status}}"),
                stacked=True,
                colours=STATUS_COLOURS,
                w=12,
            ),
        ),
    )
    duration = Row(
        "Duration",
        (
            lines(
                "Quantiles",
                "Over all chosen routes; a dot is a traced request, follow it to its trace.",
                "s",
                *quantiles("http_request_duration_seconds", users),
                exemplars=True,
            ),
            lines(
                "Time to first byte",
                "Until the answer's head, of streams too.",
                "s",
                *quantiles("http_time_to_first_byte_seconds", users),
            ),
            density(
                "Distribution",
                "Requests per second by bucket of duration.",
                "s",
                f"sum by (le) (rate(http_request_duration_seconds_bucket{{{users}}}[$__rate_interval]))",
                w=8,
            ),
        ),
    )
    load = Row(
        "Load and sizes",
        (
            lines(
                "In progress",
                "Requests being worked on.",
                "short",
                Query(f"sum by (container) ({named(f'http_requests_in_progress{{{INSTANCE}}}')})", "{{container}}"),
            ),
            lines(
                "Request size",
                "Bytes of request bodies read.",
                "bytes",
                *quantiles("http_request_size_bytes", users),
            ),
            lines(
                "Response size",
                "Bytes of response bodies sent.",
                "bytes",
                *quantiles("http_response_size_bytes", users),
            ),
        ),
        closed=True,
    )
    return board(
        "api",
        "API",
        "What the application does, by route.",
        (traffic, duration, load),
        (
            choice("instance", "Instance", 'label_values(http_requests_total{job="api"}, instance)'),
            choice("route", "Route", f'label_values(http_requests_total{{job="api",{objectives.counted}}}, route)'),
        ),
    )
