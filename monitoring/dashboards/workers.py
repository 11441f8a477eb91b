"""The processes of the API and the host below them."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.panels import BAD, WARN, Query, Row, board, choice, lines, states
from monitoring.slo import Objectives

API = 'job=~"$job",instance=~"$instance"'
WORKER = "{{instance}} #{{worker}}"


def build(_objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    workers = Row(
        "Workers",
        (
            states(
                "Answering",
                "Whether each worker process answers the metrics gatherer; a hung one does not.",
                Query(f"max by (instance, worker) (worker_up{{{API}}})", WORKER),
                names={"0": "hung", "1": "up"},
                w=8,
            ),
            lines(
                "Requests by worker",
                "Finished requests per second; uneven lines mean uneven balancing.",
                "reqps",
                Query(f"sum by (instance, worker) (rate(http_requests_total{{{API}}}[$__rate_interval]))", WORKER),
            ),
            lines(
                "Starts within 15 minutes",
                "How often each worker slot got a new process.",
                "short",
                Query(f"max by (instance, worker) (changes(process_start_time_seconds{{{API}}}[15m]))", WORKER),
                limits=((None, "transparent"), (3, BAD)),
            ),
        ),
    )
    runtime = Row(
        "Runtime",
        (
            lines(
                "CPU",
                "CPU seconds per second; 1 is one core, the most a Python worker's event loop can use.",
                "short",
                Query(
                    f"sum by (instance, worker) (rate(process_cpu_seconds_total{{{API}}}[$__rate_interval]))", WORKER
                ),
            ),
            lines(
                "Resident memory",
                "Of each worker process.",
                "bytes",
                Query(f"max by (instance, worker) (process_resident_memory_bytes{{{API}}})", WORKER),
            ),
            lines(
                "Event loop lag",
                "How late callbacks run; the line is the alert's threshold.",
                "s",
                Query(f"max by (instance, worker) (event_loop_lag_seconds{{{API}}})", WORKER),
                limits=((None, "transparent"), (0.25, WARN)),
            ),
            lines(
                "Garbage collections",
                "Per second, by generation, over all workers.",
                "ops",
                Query(
                    f"sum by (generation) (rate(python_gc_collections_total{{{API}}}[$__rate_interval]))",
                    "generation {{generation}}",
                ),
            ),
            lines(
                "Open file descriptors",
                "Share of the process's limit.",
                "percentunit",
                Query(f"max by (instance, worker) (process_open_fds{{{API}}} / process_max_fds{{{API}}})", WORKER),
                limits=((None, "transparent"), (0.8, WARN)),
            ),
            lines(
                "Log lines dropped",
                "Per second, because standard output took no more.",
                "short",
                Query(f"sum by (instance) (rate(log_lines_dropped_total{{{API}}}[$__rate_interval]))", "{{instance}}"),
            ),
        ),
    )
    container = Row(
        "Container and host",
        (
            lines(
                "Container memory",
                "Working set against the container's limit; at the limit the kernel kills a worker.",
                "bytes",
                Query(f"max by (instance) (container_memory_working_set_bytes{{{API}}})", "{{instance}} used"),
                Query(f"max by (instance) (container_spec_memory_limit_bytes{{{API}}})", "{{instance}} limit"),
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
                colours={"cores": "red"},
                w=6,
            ),
        ),
    )
    return board(
        "workers",
        "Workers and runtime",
        "The processes of the API and the host below them.",
        (workers, runtime, container),
        (
            choice("job", "Job", "label_values(worker_up, job)"),
            choice("instance", "Instance", 'label_values(worker_up{job=~"$job"}, instance)'),
        ),
    )
