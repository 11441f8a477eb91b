"""Alerts on what brings logs and traces from where they are written to where they are kept (profile telemetry).

Where the profile is off there is no series of it, and none of them can fire.
"""

from monitoring.alerts import Alert

JOBS = "collector|victoria-logs|jaeger"
"""Prometheus' jobs, called as the services."""
MEMORY = '__name__=~"process_resident_memory_bytes|otelcol_process_memory_rss_bytes"'
CPU = '__name__=~"(otelcol_)?process_cpu_seconds_total"'
"""Selectors of what a process takes; those built from the collector's parts have names of their own."""
EXPECTED = "stack:telemetry:expected"
"""Which of those jobs there must be, where TELEMETRY=true; docker/prometheus/expect.sh records it."""
QUEUE_FULL = 0.5
"""Share of a queue on disk."""
TRACES_DISK_FREE = 2 * 2**30
"""Bytes on the disk that Jaeger's files are on; it keeps by time alone."""

QUEUE = 'otelcol_exporter_queue_size{job="collector"} / otelcol_exporter_queue_capacity{job="collector"}'
SENT = (
    "sum by (exporter) (increase("
    '{{__name__=~"otelcol_exporter_sent_(log_records|spans)_total",job="collector"}}[{window}]))'
)
REFUSED = '{__name__=~"otelcol_receiver_refused_(log_records|spans)_total",job=~"collector|jaeger"}'
LOST = (
    "sum by (job, exporter)"
    ' ({__name__=~"otelcol_exporter_(enqueue|send)_failed_(log_records|spans)_total",job=~"collector|jaeger"})'
)
"""In whichever way: summed at once, as a rate of several names with the same labels is none."""
DROPPED = 'vl_rows_dropped_total{job="victoria-logs",reason!="too_small_timestamp"}'
"""By the store; a line older than what it keeps is none of its faults."""
RECEIVED = 'otelcol_receiver_accepted_log_records_total{job="collector"}'
TRACES_FREE = 'jaeger_storage_badger_value_log_bytes_available{job="jaeger"}'

TELEMETRY = (
    Alert(
        "TelemetryMissing",
        # Gone from DNS it has no target that could be down.
        f"{EXPECTED} unless on (job) up",
        "2m",
        "ticket",
        "telemetry",
        "{{ $labels.job }} has gone",
        "TELEMETRY=true, and no container answers by its name.",
    ),
    Alert(
        "TelemetryQueueFilling",
        f"{QUEUE} > {QUEUE_FULL}",
        "1m",
        "ticket",
        "telemetry",
        "The collector's queue {{ $labels.exporter }} fills up",
        "{{ $value | humanizePercentage }} of it is used. Full, that of logs stops reading, and Docker's files are "
        "rotated some day; that of traces drops.",
    ),
    Alert(
        "TelemetryExportFailing",
        f'max by (exporter) (min_over_time(otelcol_exporter_queue_size{{job="collector"}}[2m])) > 0\n'
        f"unless on (exporter) {SENT.format(window='2m')} > 0\n",
        "2m",
        "ticket",
        "telemetry",
        "The collector cannot hand on to {{ $labels.exporter }}",
        "Its queue holds {{ $value | humanize1024 }}B, and nothing has left it for 2 minutes. It tries for ever.",
    ),
    Alert(
        "TelemetryRefused",
        f"sum by (job, receiver) (increase({REFUSED}[5m])) > 0",
        "0s",
        "ticket",
        "telemetry",
        "{{ $labels.job }} refuses what it is handed by {{ $labels.receiver }}",
        "About {{ $value | humanize }} lines or spans were refused within 5 minutes: it is short of memory.",
        keep="5m",
    ),
    Alert(
        "TelemetryDropped",
        f"increase({LOST}[5m:10s]) > 0\nor sum by (job, reason) (increase({DROPPED}[5m])) > 0\n",
        "0s",
        "ticket",
        "telemetry",
        "{{ $labels.job }} drops lines or spans",
        "About {{ $value | humanize }} were lost within 5 minutes ({{ $labels.exporter }}{{ $labels.reason }}).",
        keep="5m",
    ),
    Alert(
        "LogsReadOnly",
        'vl_storage_is_read_only{job="victoria-logs"} == 1',
        "1m",
        "ticket",
        "telemetry",
        "VictoriaLogs takes no more lines",
        "Its disk is full; the collector keeps them meanwhile.",
    ),
    Alert(
        "LogsNotReceived",
        # What asks /ready by way of the edge every 10 s leaves no line; what serves requests does.
        # Before the first line the collector has no such series.
        f'(sum(increase({RECEIVED}[15m])) or 0 * sum(up{{job="collector"}})) == 0\n'
        'and on () sum(increase(edge_http_requests_total{job="nginx"}[15m])) > 0\n',
        "5m",
        "ticket",
        "telemetry",
        "The collector reads no log lines",
        "Requests were served within 15 minutes, and not a line of any container came.",
    ),
    Alert(
        "TracesDiskFilling",
        f"{TRACES_FREE} < {TRACES_DISK_FREE}",
        "5m",
        "ticket",
        "telemetry",
        "The disk of the traces fills up",
        "{{ $value | humanize1024 }}B of it are free; Jaeger keeps by time alone, whatever the size.",
    ),
)

SHOWN_ON = {
    "TelemetryMissing": "Parts up",
    "TelemetryQueueFilling": "Queue",
    "TelemetryExportFailing": "Queue",
    "TelemetryRefused": "Lost",
    "TelemetryDropped": "Lost",
    "LogsReadOnly": "Takes lines",
    "LogsNotReceived": "Log lines",
    "TracesDiskFilling": "Free for traces",
}
"""The panel that shows what an alert is about."""
