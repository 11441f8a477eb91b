"""The processes of the API and of the jobs, their container, and the host below them."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.alerts import EVENT_LOOP_LAG
from monitoring.panels import BAD, WARN, Query, Row, board, choice, lines, states
from monitoring.slo import Objectives

OURS = 'job=~"$job",instance=~"$instance"'
PROCESS = "{{job}} {{instance}} {{worker}}"


def build(_objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    workers = Row(
        "gunicorn workers",
        (
            states(
                "Answering",
                "Whether each gunicorn worker answers the scrape; a hung one does not.",
                Query(f"max by (job, instance, worker) (sightglass_worker_up{{{OURS}}})", PROCESS),
                names={"0": "hung", "1": "up"},
                w=8,
            ),
            lines(
                "Requests by worker",
                "Finished requests per second; uneven lines mean uneven balancing.",
                "reqps",
                Query(
                    f"sum by (job, instance, worker) (rate(http_requests_total{{{OURS}}}[$__rate_interval]))", PROCESS
                ),
            ),
            lines(
                "Processes younger than 15 minutes",
                "By when they were started: a replica that comes back has a new address.",
                "short",
                Query(f"sum by (job) (time() - process_start_time_seconds{{{OURS}}} < bool 900)", "{{job}}"),
                decimals=0,
            ),
        ),
    )
    runtime = Row(
        "Runtime",
        (
            lines(
                "CPU",
                "CPU seconds per second; 1 is one core, the most a Python process can use as a rule.",
                "short",
                Query(
                    f"sum by (job, instance, worker) (rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval]))",
                    PROCESS,
                ),
            ),
            lines(
                "Resident memory",
                "Of each process.",
                "bytes",
                Query(f"max by (job, instance, worker) (process_resident_memory_bytes{{{OURS}}})", PROCESS),
            ),
            lines(
                "Event loop lag",
                "How late callbacks run; the line is the alert's threshold.",
                "s",
                Query(f"max by (job, instance, worker) (event_loop_lag_seconds{{{OURS}}})", PROCESS),
                limits=((None, "transparent"), (EVENT_LOOP_LAG, WARN)),
            ),
            lines(
                "Garbage collections",
                "Per second, by generation, over all processes.",
                "ops",
                Query(
                    f"sum by (generation) (rate(python_gc_collections_total{{{OURS}}}[$__rate_interval]))",
                    "generation {{generation}}",
                ),
            ),
            lines(
                "Open file descriptors",
                "Share of the process's limit.",
                "percentunit",
                Query(
                    f"max by (job, instance, worker) (process_open_fds{{{OURS}}} / process_max_fds{{{OURS}}})", PROCESS
                ),
                limits=((None, "transparent"), (0.8, WARN)),
            ),
            lines(
                "Log lines dropped",
                "Per second, because standard output took no more.",
                "short",
                Query(
                    f"sum by (job, instance) (rate(sightglass_log_lines_dropped_total{{{OURS}}}[$__rate_interval]))",
                    "{{job}} {{instance}}",
                ),
            ),
        ),
    )
    container = Row(
        "Container and host",
        (
            lines(
                "Container memory",
                "Working set against the container's limit; at the limit the kernel kills a process.",
                "bytes",
                Query(
                    f"max by (job, instance) (sightglass_container_memory_working_set_bytes{{{OURS}}})",
                    "{{instance}} used",
                ),
                Query(
                    f"max by (job, instance) (sightglass_container_spec_memory_limit_bytes{{{OURS}}})",
                    "{{instance}} limit",
                ),
                empty="No limit, or no cgroup v2",
                w=6,
            ),
            lines(
                "Host CPU",
                "Share of all cores, by what they do.",
                "percentunit",
                Query(
                    'sum by (mode) (rate(node_cpu_seconds_total{job="node",mode!="idle"}[$__rate_interval]))'
                    ' / scalar(count(count by (cpu) (node_cpu_seconds_total{job="node"})))',
                    "{{mode}}",
                ),
                stacked=True,
                top=1,
                w=6,
            ),
            lines(
                "Host memory",
                "Used, and what there is.",
                "bytes",
                Query(
                    'node_memory_MemTotal_bytes{job="node"} - node_memory_MemAvailable_bytes{job="node"}',
                    "used",
                ),
                Query('node_memory_MemTotal_bytes{job="node"}', "total"),
                w=6,
            ),
            lines(
                "Host load",
                "Processes running or waiting to, averaged over 1 and 15 minutes; the line is the number of cores.",
                "short",
                Query('node_load1{job="node"}', "1 minute"),
                Query('node_load15{job="node"}', "15 minutes"),
                Query('count(count by (cpu) (node_cpu_seconds_total{job="node"}))', "cores"),
                colours={"cores": BAD},
                w=6,
            ),
        ),
    )
    return board(
        "workers",
        "Processes and host",
        "The processes of the API and of the jobs, their container, and the host below them.",
        (workers, runtime, container),
        (
            choice("job", "Job", "label_values(python_gc_collections_total, job)"),
            choice("instance", "Instance", 'label_values(python_gc_collections_total{job=~"$job"}, instance)'),
        ),
    )
