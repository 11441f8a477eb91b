"""Whether what watches can be trusted: targets, rules, notifications, storage."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.alerts import (
    BACKUP_ATTEMPTS,
    BACKUP_INTERVALS,
    DISK_FREE,
    DISK_FREE_RATIO,
    NOTIFIED,
    TARGETS_DOWN,
)
from monitoring.panels import BAD, CALM, GOOD, WARN, Query, Row, board, choice, lines, number, rows, states
from monitoring.slo import Objectives
from monitoring.telemetry import CPU, MEMORY
from monitoring.telemetry import JOBS as TELEMETRY

JOB = 'job=~"$scraped"'
OWN = f"alertmanager|blackbox|grafana|node|prometheus|{TELEMETRY}"
"""The jobs of what watches."""
NODE = 'job="node"'
NO_BACKUPS = "None"
LATE = ((None, GOOD), (1, WARN), (BACKUP_INTERVALS, BAD))
"""How old a backup or its check may be, of the time between two."""
NO_RECEIVERS = '0 * sum(up{job="alertmanager"})'
"""Alertmanager has no series of notifications until a receiver is configured."""


def build(_objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    now = Row(
        "Now",
        (
            number(
                "Watchdog",
                "The alert that always fires: rules are evaluated.",
                "short",
                'count(ALERTS{alertname="Watchdog",alertstate="firing"}) or vector(0)',
                steps=((None, BAD), (1, GOOD)),
                mappings={"0": "Silent", "1": "Firing"},
                w=4,
            ),
            number(
                "Receivers",
                "Whom Alertmanager notifies, the heartbeat aside; none means alerts are shown here and sent to nobody.",
                "short",
                f"count({NOTIFIED}) or {NO_RECEIVERS}",
                steps=((None, WARN), (1, GOOD)),
                mappings={"0": "Nobody is notified"},
                w=4,
            ),
            number(
                "Targets down",
                "Targets Prometheus cannot scrape, and those that must be there and are not.",
                "locale",
                TARGETS_DOWN,
                steps=((None, GOOD), (1, BAD)),
                w=4,
            ),
            number(
                "Series",
                "Time series in memory.",
                "locale",
                'prometheus_tsdb_head_series{job="prometheus"}',
                steps=((None, CALM),),
                w=4,
            ),
            number(
                "Storage used",
                "Blocks on disk.",
                "bytes",
                'prometheus_tsdb_storage_blocks_bytes{job="prometheus"}'
                ' + on (instance) prometheus_tsdb_wal_storage_size_bytes{job="prometheus"}',
                steps=((None, CALM),),
                w=4,
            ),
            number(
                "Oldest sample",
                "How far back queries reach.",
                "s",
                'time() - prometheus_tsdb_lowest_timestamp_seconds{job="prometheus"}',
                steps=((None, CALM),),
                w=4,
            ),
        ),
    )
    targets = Row(
        "Targets",
        (
            states(
                "Up",
                "Whether Prometheus could scrape each target.",
                Query(f"up{{{JOB}}}", "{{job}} {{instance}}"),
                names={"0": "down", "1": "up"},
                w=8,
            ),
            lines(
                "Scrape duration",
                "The slowest of each job; a scrape is given up after 5 s.",
                "s",
                Query(f"max by (job) (scrape_duration_seconds{{{JOB}}})", "{{job}}"),
            ),
            rows(
                "Samples a scrape",
                "What each target costs: series times retention is storage.",
                Query(f"scrape_samples_post_metric_relabeling{{{JOB}}}", "Samples"),
                columns={"job": "Job", "instance": "Instance"},
                widths={"Job": 120, "Samples": 90},
                sort="Samples",
                w=8,
            ),
        ),
    )
    rules = Row(
        "Rules, notifications, and what is lost",
        (
            lines(
                "Rule evaluation",
                "Duration of the last evaluation of each group.",
                "s",
                Query(
                    "max by (group) (label_replace("
                    'prometheus_rule_group_last_duration_seconds{job="prometheus"},'
                    ' "group", "$1", "rule_group", ".*;(.*)"))',
                    "{{group}}",
                ),
                w=8,
            ),
            lines(
                "Rule evaluations failed",
                "Within 5 minutes, by group.",
                "short",
                Query(
                    "sum by (group) (label_replace("
                    'increase(prometheus_rule_evaluation_failures_total{job="prometheus"}[5m]),'
                    ' "group", "$1", "rule_group", ".*;(.*)"))',
                    "{{group}}",
                ),
                w=8,
            ),
            lines(
                "Notifications",
                "Alertmanager's notifications per minute, tried and failed.",
                "short",
                Query(
                    'sum(rate(alertmanager_notifications_total{job="alertmanager"}[$__rate_interval])) * 60'
                    f" or {NO_RECEIVERS}",
                    "tried",
                ),
                Query(
                    'sum(rate(alertmanager_notifications_failed_total{job="alertmanager"}[$__rate_interval])) * 60'
                    f" or {NO_RECEIVERS}",
                    "failed",
                ),
                colours={"tried": CALM, "failed": BAD},
                w=8,
            ),
            lines(
                "Alerts in Alertmanager",
                "Active ones by state; suppressed ones are silenced or inhibited.",
                "short",
                Query('sum by (state) (alertmanager_alerts{job="alertmanager"})', "{{state}}"),
                w=12,
            ),
            lines(
                "Lost",
                "Per second: requests the edge could not count, log lines and spans that nobody took, spans of requests"
                " under way that there was no room for.",
                "short",
                Query('sum(rate(edge_metrics_dropped_total{job="nginx"}[$__rate_interval]))', "requests not counted"),
                Query(
                    "sum(rate(sightglass_log_lines_dropped_total[$__rate_interval]))"
                    ' + sum(rate(edge_log_lines_dropped_total{job="nginx"}[$__rate_interval]))',
                    "log lines",
                ),
                Query("sum(rate(tracing_spans_failed_total[$__rate_interval]))", "spans not taken"),
                Query("sum(rate(tracing_spans_not_held_total[$__rate_interval]))", "spans not held"),
                w=12,
            ),
        ),
    )
    backups = Row(
        "Backups",
        (
            number(
                "Last backup",
                "Time since the last one was complete, of that between two.",
                "suffix: times BACKUP_HOURS",
                f"(time() - backup_last_success_timestamp_seconds{{{NODE}}})"
                f" / on (job, instance) backup_interval_seconds{{{NODE}}}",
                steps=LATE,
                decimals=1,
                empty=NO_BACKUPS,
                w=6,
            ),
            number(
                "Size of the last backup",
                "What it restores to.",
                "bytes",
                f"backup_size_bytes{{{NODE}}}",
                steps=((None, CALM),),
                empty=NO_BACKUPS,
                w=6,
            ),
            number(
                "Backups failed in a row",
                "Tried again after an hour.",
                "locale",
                f"backup_failed_attempts{{{NODE}}}",
                steps=((None, GOOD), (1, WARN), (BACKUP_ATTEMPTS, BAD)),
                empty=NO_BACKUPS,
                w=6,
            ),
            number(
                "Last check of a backup",
                "Time since a part of it was read, and the newest restored for trial, of that between two.",
                "suffix: times BACKUP_CHECK_DAYS",
                f"(time() - backup_last_check_timestamp_seconds{{{NODE}}})"
                f" / on (job, instance) backup_check_interval_seconds{{{NODE}}}",
                steps=LATE,
                decimals=1,
                empty=NO_BACKUPS,
                w=6,
            ),
        ),
    )
    cost = Row(
        "Cost",
        (
            lines(
                "Samples taken in",
                "Per second.",
                "short",
                Query(
                    'sum(rate(prometheus_tsdb_head_samples_appended_total{job="prometheus"}[$__rate_interval]))',
                    "samples",
                ),
                w=6,
            ),
            lines(
                "Memory of the monitoring",
                "Resident memory, by process.",
                "bytes",
                Query(f'{{{MEMORY},job=~"{OWN}"}}', "{{job}}"),
                w=6,
            ),
            lines(
                "CPU of the monitoring",
                "CPU seconds per second; 1 is one core.",
                "short",
                Query(f'rate({{{CPU},job=~"{OWN}"}}[$__rate_interval])', "{{job}}"),
                w=6,
            ),
            lines(
                "Disk free",
                "Share of each file system that is free; the line is the alert's threshold.",
                "percentunit",
                Query(
                    f"min by (device) ({DISK_FREE_RATIO})",
                    "{{device}}",
                ),
                limits=((None, BAD), (DISK_FREE, "transparent")),
                top=1,
                w=6,
            ),
        ),
        closed=True,
    )
    return board(
        "monitoring",
        "Monitoring",
        "Whether what watches can be trusted: targets, rules, notifications, storage.",
        (now, targets, rules, backups, cost),
        (choice("scraped", "Job", "label_values(up, job)"),),
    )
