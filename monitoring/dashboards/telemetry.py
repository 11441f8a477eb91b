"""Whether logs and traces arrive, what waits on the way, and what they cost (profile telemetry)."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.panels import BAD, CALM, GOOD, WARN, Query, Row, board, choice, lines, number
from monitoring.slo import Objectives
from monitoring.telemetry import (
    CPU,
    DROPPED,
    EXPECTED,
    JOBS,
    LOST,
    MEMORY,
    QUEUE,
    QUEUE_FULL,
    RECEIVED,
    REFUSED,
    TRACES_DISK_FREE,
    TRACES_FREE,
)

OFF = "Not there"
NONE_WHERE_THERE = '0 * sum(up{job="collector"})'
"""0 where lines are brought at all: what was never lost has no series."""
SPANS = 'otelcol_receiver_accepted_spans_total{job="collector"}'
QUEUED = 'otelcol_exporter_queue_size{job="collector"}'
LOGS_SIZE = 'sum(vl_data_size_bytes{job="victoria-logs"})'


def build(_objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    now = Row(
        "Now",
        (
            number(
                "Parts up",
                "Collector, VictoriaLogs and Jaeger, of three.",
                "short",
                f'sum(up{{job=~"{JOBS}"}}) or 0 * sum({EXPECTED})',
                steps=((None, BAD), (3, GOOD)),
                empty=OFF,
                w=4,
            ),
            number(
                "Waiting",
                "On the collector's disk, for VictoriaLogs and Jaeger to take it.",
                "bytes",
                f"sum({QUEUED})",
                steps=((None, CALM),),
                empty=OFF,
                w=4,
            ),
            number(
                "Queue used",
                "Of the fuller of the two.",
                "percentunit",
                f"max({QUEUE})",
                steps=((None, GOOD), (QUEUE_FULL / 2, WARN), (QUEUE_FULL, BAD)),
                empty=OFF,
                w=4,
            ),
            number(
                "Lost in this time range",
                "Lines and spans dropped or refused.",
                "locale",
                " + ".join(
                    f"(sum(increase({counter})) or {NONE_WHERE_THERE})"
                    for counter in (f"{LOST}[$__range:]", f"{DROPPED}[$__range]", f"{REFUSED}[$__range]")
                ),
                steps=((None, GOOD), (1, BAD)),
                empty=OFF,
                decimals=0,
                w=4,
            ),
            number(
                "Lines kept",
                "In VictoriaLogs.",
                "short",
                'sum(vl_storage_rows{job="victoria-logs"})',
                steps=((None, CALM),),
                empty=OFF,
                w=4,
            ),
            number(
                "Takes lines",
                "VictoriaLogs is read-only when its disk is full.",
                "short",
                'max(vl_storage_is_read_only{job="victoria-logs"})',
                steps=((None, GOOD), (1, BAD)),
                mappings={"0": "Yes", "1": "No: disk full"},
                empty=OFF,
                w=4,
            ),
        ),
    )
    flow = Row(
        "On the way",
        (
            lines(
                "Log lines",
                "Read from Docker's files, and taken by VictoriaLogs.",
                "suffix: lines/s",
                Query(f"sum(rate({RECEIVED}[$__rate_interval]))", "read"),
                Query('sum(rate(vl_rows_ingested_total{job="victoria-logs"}[$__rate_interval]))', "taken"),
                empty=OFF,
            ),
            lines(
                "Spans",
                "Handed to the collector, and on to Jaeger.",
                "suffix: spans/s",
                Query(f"sum(rate({SPANS}[$__rate_interval]))", "handed in"),
                Query(
                    'sum(rate(otelcol_exporter_sent_spans_total{job="collector"}[$__rate_interval]))',
                    "handed on",
                ),
                empty="No span yet",
            ),
            lines(
                "Queue",
                "Share of each queue on disk; the line is the alert's threshold.",
                "percentunit",
                Query(QUEUE, "{{exporter}}"),
                limits=((None, "transparent"), (QUEUE_FULL, BAD)),
                empty=OFF,
            ),
            lines(
                "Lost",
                "Lines and spans: by an exporter, by the store, and refused for want of memory.",
                "suffix:/s",
                Query(f"rate({LOST}[$__rate_interval:10s])", "{{job}} {{exporter}}"),
                Query(f"sum by (job, reason) (rate({DROPPED}[$__rate_interval]))", "{{job}} {{reason}}"),
                Query(f"sum by (job, receiver) (rate({REFUSED}[$__rate_interval]))", "{{job}} {{receiver}}"),
                empty="Nothing",
                w=24,
                h=7,
            ),
        ),
    )
    cost = Row(
        "Cost",
        (
            lines(
                "Memory",
                "Resident memory, by process.",
                "bytes",
                Query(f'{{{MEMORY},job=~"{JOBS}"}}', "{{job}}"),
                empty=OFF,
                w=6,
            ),
            lines(
                "CPU",
                "CPU seconds per second.",
                "suffix: cores",
                Query(f'rate({{{CPU},job=~"{JOBS}"}}[$__rate_interval])', "{{job}}"),
                empty=OFF,
                w=6,
            ),
            lines(
                "Logs on disk",
                "What VictoriaLogs keeps.",
                "bytes",
                Query(LOGS_SIZE, "logs"),
                empty=OFF,
                w=6,
            ),
            lines(
                "Free for traces",
                "On the disk of Jaeger's files; the line is the alert's threshold.",
                "bytes",
                Query(TRACES_FREE, "free"),
                limits=((None, BAD), (TRACES_DISK_FREE, "transparent")),
                empty=OFF,
                w=6,
            ),
        ),
    )
    return board(
        "telemetry",
        "Telemetry",
        "Whether logs and traces arrive, what waits on the way, and what they cost.",
        (now, flow, cost),
        (choice("job", "Job", f'label_values(up{{job=~"{JOBS}"}}, job)', hidden=True),),
    )
