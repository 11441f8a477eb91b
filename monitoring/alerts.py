"""Alerts on causes, few, each with something to do.

Every alert says what is wrong with its values, and links to its section of docs/runbook.md and to the dashboard that
shows it.
"""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from monitoring.promql import SECONDS, grown

EXPECTED_JOBS = ("alertmanager", "blackbox", "nginx", "node", "probe", "prometheus")
"""Always scraped. The API and the jobs have alerts of their own."""
OPTIONAL_JOBS = ("database", "grafana")
"""Found by DNS where they are started; nothing tells whether they should be."""

# Thresholds that dashboards draw too.
STARTS = 4
"""Of one process, within 15 minutes: three may be deploys."""
QUALITY_TOLERANCE = 0.02
"""By how much a model's f1 may be lower; api/privacy/quality/evaluation.py has the same."""
EVENT_LOOP_LAG = 0.25
"""Seconds."""
DATABASE_CONNECTIONS = 0.8
"""Share of those that PostgreSQL takes."""
JOB_AGE = 600
"""Seconds a job may wait."""
CERTIFICATE_ATTEMPTS = 5
"""Attempts at a certificate's renewal that may fail in a row: they take about four hours (docker/acme)."""
BACKUP_ATTEMPTS = 2
"""Backups that may fail in a row: the second is an hour after the first (docker/backup)."""
BACKUP_INTERVALS = 2
"""How old a backup or its check may be, of the time between two."""
CERTIFICATE_TICKET, CERTIFICATE_PAGE = 14 * 86400, 2 * 86400
"""Seconds a certificate is still valid."""
DISK_FREE = 0.1
"""Share of a file system."""

LOGS = {"type": "victoriametrics-logs-datasource", "uid": "victorialogs"}
"""Grafana's source of log lines."""

DISK_FREE_RATIO = (
    'node_filesystem_avail_bytes{job="node",fstype!~"tmpfs|ramfs|squashfs"}'
    ' / node_filesystem_size_bytes{job="node",fstype!~"tmpfs|ramfs|squashfs"}'
)
DATABASE_CONNECTIONS_USED = (
    'sum(pg_stat_database_numbackends{job="database"}) / max(pg_settings_max_connections{job="database"})'
)
CERTIFICATE_DAYS = '(min(probe_ssl_earliest_cert_expiry{job="probe"}) - time()) / 86400'
JOBS_DEAD = 'jobs_total{job="jobs",status="dead"}'
NOTIFIED = 'alertmanager_notifications_total{job="alertmanager",receiver_name!="heartbeat"}'
"""A series for each receiver and kind of integration there is, notified yet or not; the heartbeat wakes nobody."""
OURS = 'job=~"api|jobs"'
"""What the services `api` and `jobs` have in common: processes, the model, the log."""
CONTAINERS = 'job=~"api|jobs|nginx"'
"""What tells what its container uses and may use."""

MISSING = "stack:replicas:expected - on (job) (count by (job) (up == 1) or 0 * stack:replicas:expected)"
"""Replicas of each service that there must be and that do not answer, as docker/prometheus/expect.sh was told."""
_OPTIONAL = f'up{{job=~"{"|".join(OPTIONAL_JOBS)}"}}'
GONE = (
    *(f'absent(up{{job="{job}"}})' for job in EXPECTED_JOBS),
    f"group by (job) (last_over_time({_OPTIONAL}[1h])) unless on (job) {_OPTIONAL}",
)
"""What tells each job without a target. What may be left out is taken for that an hour later."""
TARGETS_GONE = f"count(({' or '.join(GONE)}) and on () group(stack:replicas:expected))"
"""None in a cluster, where nothing tells how many replicas there must be and what runs beside has other names."""
NONE = "0 * sum(up)"
"""0, and nothing where Prometheus stores no sample any more: what it then does not find is no good news."""
TARGETS_DOWN = (
    f"(count(up == 0) or {NONE}) + ({TARGETS_GONE} or vector(0))"
    # Those that DNS does not name any more; what it names and does not answer is counted above.
    " + (sum(clamp_min(stack:replicas:expected - on (job) (count by (job) (up) or 0 * stack:replicas:expected), 0))"
    " or vector(0))"
)
"""How many targets do not answer, those included that are gone from where they are found."""


def starts(window: str, by: str = "job, container, worker") -> str:
    """Return how often each process was started within a time, under whatever addresses."""
    started = f"sightglass_process_start_time_seconds{{{OURS}}}[{window}]"
    again = f"sum by ({by}) (changes({started}))"
    return f"{again} + (count by ({by}) (min_over_time({started}) > time() - {SECONDS[window]}) or 0 * {again})"


JOB_STATE_ERRORS = f"sightglass_job_state_errors_total{{{OURS}}}"


@dataclass(frozen=True)
class Alert:
    """One alerting rule. ``summary`` and ``description`` are Prometheus templates."""

    name: str
    expr: str
    hold: str
    severity: str
    dashboard: str
    summary: str
    description: str
    keep: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    def rule(self, lines: str) -> dict[str, Any]:
        """Return the rule as Prometheus reads it; `lines` is a query of VictoriaLogs for what tells more."""
        optional = {"keep_firing_for": self.keep} if self.keep else {}
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.hold,
            **optional,
            "labels": {"severity": self.severity, **dict(self.labels)},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                # Absolute where DOCS_URL and GRAFANA_URL are set, else the path inside repository and Grafana.
                "runbook_url": "{{ with $externalLabels.docs_url }}{{ . }}{{ else }}docs{{ end }}"
                f"/runbook.md#{self.name.lower()}",
                "dashboard_url": f"{{{{ $externalLabels.grafana_url }}}}/d/sightglass-{self.dashboard}",
                "logs_url": logs_url(lines),
            },
        }


def logs_url(query: str) -> str:
    """Return where an alert leads for log lines: Grafana's Explore where it can show them, else VictoriaLogs' own page.

    Nothing where there are no logs to be asked for.
    """
    target = {"refId": "A", "datasource": LOGS, "editorMode": "code", "expr": query, "queryType": "instant"}
    pane = {"datasource": LOGS["uid"], "queries": [target], "range": {"from": "now-1h", "to": "now"}}
    panes = quote(json.dumps({"logs": pane}, separators=(",", ":")), safe="")
    own = f"/select/vmui/#/?query={quote(query, safe='')}&g0.relative_time=last_1_hour"
    return (
        f"{{{{ with $externalLabels.explore_url }}}}{{{{ . }}}}/explore?schemaVersion=1&panes={panes}"
        f"{{{{ else }}}}{{{{ with $externalLabels.logs_url }}}}{{{{ . }}}}{own}{{{{ end }}}}{{{{ end }}}}"
    )


API = (
    Alert(
        "APIDown",
        'absent(up{job="api"} == 1)',
        "30s",
        "page",
        "overview",
        "No instance of the API answers",
        "Prometheus reaches the metrics listener of no API instance: users get 502 or 503.",
    ),
    Alert(
        "ReplicaMissing",
        f"{MISSING} > 0",
        "45s",
        "ticket",
        "workers",
        "Replicas of {{ $labels.job }} are missing",
        "Fewer than expected answer Prometheus, by {{ $value }}.",
    ),
    Alert(
        "ProcessRestarting",
        f"max by (job, container) ({starts('15m')}) >= {STARTS}",
        "0s",
        "ticket",
        "workers",
        "Processes of {{ $labels.container }} keep restarting",
        "One process was started {{ $value }} times within 15 minutes.",
        keep="5m",
    ),
    Alert(
        "WorkerHung",
        'sightglass_worker_up{job="api"} == 0',
        "30s",
        "ticket",
        "workers",
        "Worker {{ $labels.worker }} of {{ $labels.instance }} hangs",
        "The process exists and does not answer; its last counters are still shown.",
    ),
    Alert(
        "ModelNotReady",
        f"min by (job, instance, worker) (model_ready{{{OURS}}}) == 0",
        "2m",
        "ticket",
        "model",
        "The model of {{ $labels.job }} {{ $labels.instance }}{{ with $labels.worker }} #{{ . }}{{ end }} is not ready",
        "It is neither loaded nor warmed up after 2 minutes; the log of {{ $labels.job }} says why.",
    ),
    Alert(
        "ModelErrors",
        f"sum by (job, instance) (increase(model_errors_total{{{OURS}}}[10m])) > 5",
        "0s",
        "ticket",
        "model",
        "The model of {{ $labels.job }} {{ $labels.instance }} fails on texts",
        "It failed on about {{ $value | humanize }} texts within 10 minutes.",
        keep="5m",
    ),
    Alert(
        "ModelWorse",
        'max by (entity_type) (model_quality_replaced{metric="f1"})'
        f' - max by (entity_type) (model_quality{{metric="f1"}}) > {QUALITY_TOLERANCE}',
        "0s",
        "ticket",
        "model",
        "The model is worse at {{ $labels.entity_type }} than the one before",
        'On the same labelled texts its f1 is lower by {{ $value | printf "%.3f" }}.',
    ),
    Alert(
        "EventLoopLag",
        f'min_over_time(event_loop_lag_seconds{{job="api"}}[2m]) > {EVENT_LOOP_LAG}',
        "1m",
        "ticket",
        "workers",
        "The event loop of worker {{ $labels.worker }} of {{ $labels.instance }} is blocked",
        "Callbacks ran at least {{ $value | humanizeDuration }} late for minutes: it is blocked or overloaded.",
    ),
    Alert(
        "MemoryNearLimit",
        f"max by (job, instance) (sightglass_container_memory_working_set_bytes{{{CONTAINERS}}})"
        f" / max by (job, instance) (sightglass_container_spec_memory_limit_bytes{{{CONTAINERS}}}) > 0.9",
        "5m",
        "ticket",
        "workers",
        "{{ $labels.job }} {{ $labels.instance }} is near its memory limit",
        "{{ $value | humanizePercentage }} of the container's limit is used; at 100 % the kernel kills a process.",
    ),
    Alert(
        "OutOfMemoryKills",
        # Each worker tells the whole container's.
        f"max by (job, instance) (increase(sightglass_container_oom_events_total{{{CONTAINERS}}}[10m])) > 0",
        "0s",
        "ticket",
        "workers",
        "The kernel kills processes of {{ $labels.job }} {{ $labels.instance }} for memory",
        "About {{ $value | humanize }} were killed within 10 minutes, at the container's limit.",
    ),
    Alert(
        "LogLinesDropped",
        f"sum by (job, instance) (increase(sightglass_log_lines_dropped_total{{{OURS}}}[5m])) > 0\n"
        'or sum by (job, instance) (increase(edge_log_lines_dropped_total{job="nginx"}[5m])) > 0\n',
        "0s",
        "ticket",
        "monitoring",
        "{{ $labels.job }} {{ $labels.instance }} drops log lines",
        "About {{ $value | humanize }} lines were dropped within 5 minutes because standard output took no more.",
        keep="5m",
    ),
)

JOBS = (
    Alert(
        "JobsNotWorkedOn",
        # The API tells what waits. None of it and no process is no fault: an autoscaler may have ended the last one.
        'max(job_queue_depth{job="api"}) > 0 unless on () model_ready{job="jobs"} == 1',
        "2m",
        "ticket",
        "jobs",
        "Jobs wait and nobody works on them",
        "{{ $value | humanize }} jobs wait, and no job process answers with its model ready.",
    ),
    Alert(
        "JobQueueOld",
        f"max(job_queue_age_seconds{{{OURS}}}) > {JOB_AGE}",
        "2m",
        "ticket",
        "jobs",
        "Jobs wait too long",
        "The oldest waiting job has waited for {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "JobsGivenUp",
        f"sum({grown(JOBS_DEAD, '30m')}) > 0",
        "0s",
        "ticket",
        "jobs",
        "Jobs are given up",
        "About {{ $value | humanize }} jobs were given up within 30 minutes, after all their attempts or too many "
        "interruptions.",
    ),
    Alert(
        "DatabaseDown",
        'pg_up{job="database"} == 0',
        "1m",
        "page",
        "jobs",
        "The jobs' database does not answer",
        "No job is accepted, looked at or worked on; those that were accepted are in it.",
    ),
    Alert(
        "JobStateFailing",
        # Of the stack's own database its exporter tells more: DatabaseDown.
        f"(sum by (store) (increase({JOB_STATE_ERRORS}[2m])) > 0)"
        ' unless on (store) label_replace(pg_up{job="database"} == 0, "store", "database", "", "")',
        "3m",
        "page",
        "jobs",
        "The jobs' {{ $labels.store }} does not answer",
        "About {{ $value | humanize }} operations failed within 2 minutes: jobs are not accepted, looked at or done.",
    ),
    Alert(
        "DatabaseConnectionsShort",
        f"{DATABASE_CONNECTIONS_USED} > {DATABASE_CONNECTIONS}",
        "5m",
        "ticket",
        "jobs",
        "The jobs' database has few connections left",
        "{{ $value | humanizePercentage }} of its connections are in use; beyond, requests about jobs are 503.",
    ),
)

EDGE = (
    Alert(
        "EdgeDown",
        'absent(up{job="nginx"} == 1)',
        "1m",
        "page",
        "monitoring",
        "No edge answers",
        "Prometheus reaches the metrics of no NGINX: users get no connection.",
    ),
    Alert(
        "EdgeProbeFailing",
        'probe_success{job="probe"} == 0',
        "1m",
        "page",
        "edge",
        "{{ $labels.instance }} does not answer as ready",
        "TLS, the edge or every replica behind it fails the probe.",
    ),
    Alert(
        "EdgeGatewayErrors",
        'sum(rate(edge_http_requests_total{job="nginx",status=~"502|504"}[5m]))'
        ' / sum(rate(edge_http_requests_total{job="nginx"}[5m])) > 0.05\n'
        'and sum(increase(edge_http_requests_total{job="nginx",status=~"502|504"}[5m])) > 10\n',
        "1m",
        "ticket",
        "edge",
        "The edge cannot get answers from the API",
        "{{ $value | humanizePercentage }} of all requests of the last 5 minutes ended in 502 or 504.",
    ),
    Alert(
        "RateLimiterRejecting",
        # A dry run counts what is over a limit, and rejects none of it.
        'sum(rate(rate_limit_exceeded_total{job="nginx"}[10m]))'
        ' / sum(rate(edge_http_requests_total{job="nginx"}[10m])) > 0.2\n'
        'and sum(rate(edge_http_requests_total{job="nginx",status="429"}[10m])) > 1\n',
        "10m",
        "ticket",
        "edge",
        "The rate limiter rejects many requests",
        "{{ $value | humanizePercentage }} of all requests of the last 10 minutes were over the limit.",
    ),
    Alert(
        "CertificateExpiring",
        f'probe_ssl_earliest_cert_expiry{{job="probe"}} - time() < {CERTIFICATE_TICKET}',
        "10m",
        "ticket",
        "edge",
        "The certificate of {{ $labels.instance }} expires soon",
        "It is valid for another {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "CertificateExpiring",
        f'probe_ssl_earliest_cert_expiry{{job="probe"}} - time() < {CERTIFICATE_PAGE}',
        "10m",
        "page",
        "edge",
        "The certificate of {{ $labels.instance }} expires now",
        "It is valid for another {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "CertificateNotIssued",
        # The first may fail for a name that is known a little later.
        'acme_certificate_issued{job="nginx"} == 0 and on (instance) acme_failed_attempts{job="nginx"} > 1',
        "0s",
        "ticket",
        "edge",
        "The CA has issued no certificate for SERVER_NAME",
        "Browsers see what was there before, at first a self-signed certificate; lego's log says why.",
    ),
    Alert(
        "CertificateRenewalFailing",
        f'acme_failed_attempts{{job="nginx"}} >= {CERTIFICATE_ATTEMPTS}'
        ' and on (instance) acme_certificate_issued{job="nginx"} == 1',
        "0s",
        "ticket",
        "edge",
        "The certificate's renewal fails",
        "{{ $value }} attempts in a row failed; lego's log says why.",
    ),
    Alert(
        "CertificateUnattended",
        'time() - acme_next_attempt_timestamp_seconds{job="nginx"} > 3600',
        "0s",
        "ticket",
        "edge",
        "Nobody sees to the certificate's renewal",
        "lego should have asked the CA {{ $value | humanizeDuration }} ago.",
    ),
    Alert(
        "EdgeMetricsDropped",
        'increase(edge_metrics_dropped_total{job="nginx"}[10m]) > 0',
        "0s",
        "ticket",
        "monitoring",
        "The edge could not count requests",
        "About {{ $value | humanize }} requests are missing in its metrics: its shared memory zone is full.",
        keep="5m",
    ),
)

HOST = (
    Alert(
        "HostMemoryLow",
        'node_memory_MemAvailable_bytes{job="node"} / node_memory_MemTotal_bytes{job="node"} < 0.05',
        "5m",
        "ticket",
        "workers",
        "The host runs out of memory",
        "{{ $value | humanizePercentage }} of its memory is available.",
    ),
    Alert(
        "DiskFilling",
        # One device may be mounted in many places.
        f"min by (instance, device) ({DISK_FREE_RATIO}) < {DISK_FREE}",
        "5m",
        "ticket",
        "monitoring",
        "The disk {{ $labels.device }} fills up",
        "{{ $value | humanizePercentage }} of it is free; Prometheus and uploads need some.",
    ),
)

BACKUP = (
    # Where the profile is on, or was: elsewhere there are none of these series.
    Alert(
        "BackupTooOld",
        # Before the first one there is only when it was told last what there is: at the start, and after each attempt.
        'time() - (backup_last_success_timestamp_seconds{job="node"} or on (job, instance)'
        ' max by (job, instance) (node_textfile_mtime_seconds{job="node",file=~".*/backup.prom"}))'
        f' > on (job, instance) {BACKUP_INTERVALS} * backup_interval_seconds{{job="node"}}',
        "0s",
        "ticket",
        "monitoring",
        "The last backup is {{ $value | humanizeDuration }} old",
        "What came since would be lost with this machine.",
    ),
    Alert(
        "BackupFailing",
        f'backup_failed_attempts{{job="node"}} >= {BACKUP_ATTEMPTS}',
        "0s",
        "ticket",
        "monitoring",
        "Backups fail",
        "{{ $value }} in a row failed; restic's log says why.",
    ),
    Alert(
        "BackupUnchecked",
        'backup_check_failed_attempts{job="node"} > 0\n'
        'or time() - backup_last_check_timestamp_seconds{job="node"}'
        f' > on (job, instance) {BACKUP_INTERVALS} * backup_check_interval_seconds{{job="node"}}',
        "0s",
        "ticket",
        "monitoring",
        "Nobody knows whether the backup can be restored",
        "Its last check failed, or is long ago; restic's log says why.",
    ),
)

MONITORING = (
    Alert(
        "Watchdog",
        "vector(1)",
        "0s",
        "none",
        "monitoring",
        "Alerting works",
        "Always firing: what receives it should raise an alarm when it stops.",
    ),
    Alert(
        "PrometheusBlind",
        # It scrapes itself: without this sample it stores none. The first evaluation after a start comes before it.
        'absent(up{job="prometheus"})',
        "20s",
        "page",
        "monitoring",
        "Prometheus stores no samples",
        "What it has found nothing of is neither down nor well: until it stores again it tells nothing.",
    ),
    Alert(
        "TargetDown",
        "up == 0",
        "1m",
        "ticket",
        "monitoring",
        "{{ $labels.job }} at {{ $labels.instance }} cannot be scraped",
        "Nothing is known of it, so alerts that need its metrics are blind.",
    ),
    Alert(
        "TargetMissing",
        "\nor ".join(GONE),
        "5m",
        "ticket",
        "monitoring",
        "{{ $labels.job }} is not scraped at all",
        "The scrape configuration or service discovery yields no target for this job.",
    ),
    Alert(
        "RuleEvaluationFailing",
        'sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total{job="prometheus"}[5m])) > 0',
        "0s",
        "ticket",
        "monitoring",
        "Rules of {{ $labels.rule_group }} cannot be evaluated",
        "About {{ $value | humanize }} evaluations failed within 5 minutes.",
        keep="5m",
    ),
    Alert(
        "ConfigReloadFailed",
        'prometheus_config_last_reload_successful{job="prometheus"} == 0\n'
        'or alertmanager_config_last_reload_successful{job="alertmanager"} == 0\n',
        "1m",
        "ticket",
        "monitoring",
        "{{ $labels.job }} runs on an old configuration",
        "Its last reload failed.",
    ),
    Alert(
        "AlertsNotDelivered",
        'sum by (alertmanager) (increase(prometheus_notifications_errors_total{job="prometheus"}[5m])) > 0',
        "1m",
        "ticket",
        "monitoring",
        "Prometheus cannot hand its alerts to {{ $labels.alertmanager }}",
        "About {{ $value | humanize }} alerts were not taken within 5 minutes.",
        keep="5m",
    ),
    Alert(
        "NotificationsFailing",
        "sum by (receiver_name, integration)"
        ' (increase(alertmanager_notifications_failed_total{job="alertmanager"}[5m])) > 0',
        "1m",
        "ticket",
        "monitoring",
        "Notifications of {{ $labels.receiver_name }} by {{ $labels.integration }} fail",
        "About {{ $value | humanize }} notifications failed within 5 minutes.",
        keep="5m",
    ),
    Alert(
        "NobodyNotified",
        f'sum(up{{job="alertmanager"}}) > 0 unless on () {NOTIFIED}',
        "0s",
        "none",
        "monitoring",
        "No receiver is configured",
        "Alerts are shown here and sent to nobody; set one of the ALERT_* variables.",
    ),
)

SHOWN_ON = {
    "APIDown": "Replicas missing",
    "ErrorBudgetBurn": "Burn rate",
    "ReplicaMissing": "Answering",
    "ProcessRestarting": "Starts within 15 minutes",
    "WorkerHung": "Answering",
    "ModelNotReady": "Ready",
    "ModelErrors": "Texts",
    "ModelWorse": "Quality by type",
    "EventLoopLag": "Event loop lag",
    "MemoryNearLimit": "Memory, of what it may use",
    "OutOfMemoryKills": "Memory, of what it may use",
    "LogLinesDropped": "Lost",
    "JobsNotWorkedOn": "Processes",
    "JobQueueOld": "Age of the oldest",
    "JobsGivenUp": "Given up in this time range",
    "DatabaseDown": "Connections",
    "JobStateFailing": "Operations failed",
    "DatabaseConnectionsShort": "Connections",
    "EdgeDown": "Up",
    "EdgeProbeFailing": "Probe by phase",
    "EdgeGatewayErrors": "Gateway errors",
    "RateLimiterRejecting": "Over the rate limit",
    "CertificateExpiring": "Certificate valid for",
    "CertificateNotIssued": "Attempts at a certificate failed in a row",
    "CertificateRenewalFailing": "Attempts at a certificate failed in a row",
    "CertificateUnattended": "Attempts at a certificate failed in a row",
    "EdgeMetricsDropped": "Lost",
    "HostMemoryLow": "Host memory",
    "DiskFilling": "Disk free",
    "BackupTooOld": "Last backup",
    "BackupFailing": "Backups failed in a row",
    "BackupUnchecked": "Last check of a backup",
    "Watchdog": "Watchdog",
    "PrometheusBlind": "Samples taken in",
    "TargetDown": "Up",
    "TargetMissing": "Targets down",
    "RuleEvaluationFailing": "Rule evaluations failed",
    "ConfigReloadFailed": "Rule evaluation",
    "AlertsNotDelivered": "Notifications",
    "NotificationsFailing": "Notifications",
    "NobodyNotified": "Receivers",
}
"""The panel that shows what an alert is about, on the alert's dashboard."""

CAUSES = {"api": API, "jobs": JOBS, "edge": EDGE, "host": HOST, "backup": BACKUP, "monitoring": MONITORING}
"""By group of rules."""

LINES = {
    "slo": '{service.name=~"nginx|api"} and (status:>=500 or level:in(ERROR,CRITICAL))',
    "api": '{service.name=~"api|jobs"}',
    "jobs": '{service.name=~"jobs|api|postgres"}',
    "edge": '{service.name=~"nginx|api|lego|blackbox-exporter"}',
    "host": "*",
    "backup": '{service.name=~"restic|backup-copies"}',
    "monitoring": '{service.name=~"prometheus|alertmanager|grafana|operators|.*-exporter"}',
    "telemetry": '{service.name=~"collector|victoria-logs|jaeger|telemetry-.*"}',
}
"""By group of rules, the log lines that tell more, as VictoriaLogs is asked."""
