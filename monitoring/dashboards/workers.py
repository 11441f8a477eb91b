"""The processes of the API and of the jobs, their container, and the host below them."""

from collections.abc import Callable

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.alerts import EVENT_LOOP_LAG, STARTS, starts
from monitoring.panels import BAD, FULL, WARN, Query, Row, board, choice, lines, named, named_even_silent, states
from monitoring.slo import Objectives

OURS = 'job=~"$job",instance=~"$instance"'
PROCESS = "{{container}} {{worker}}"
OTHERS = 'job=~"alertmanager|blackbox|grafana|node|prometheus"'


def by_process(expr: str, how: str = "max", naming: Callable[[str], str] = named) -> Query:
    """Return a query of ``expr``, of the API or the jobs, a series for each of their processes."""
    return Query(f"{how} by (container, worker) ({naming(expr)})", PROCESS)


def by_container(expr: str, others: str = "") -> Query:
    """Return a query of ``expr`` (with the mark %s for its labels), a series for each container.

    Those of the API, the jobs and NGINX tell what their cgroup says; ``others`` is what the rest knows of its process.
    """
    nginx = expr.replace("%s", 'job="nginx"')
    found = [
        f"max by (container) ({named(expr.replace('%s', OURS))})",
        f'max by (container) (label_replace({nginx}, "container", "nginx", "", ""))',
    ]
    if others:
        found.append(f'max by (container) (label_replace({others}, "container", "$1", "job", "(.*)"))')
    return Query(" or ".join(found), "{{container}}")


def build(_objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    workers = Row(
        "gunicorn workers",
        (
            states(
                "Answering",
                "Whether each gunicorn worker answers the scrape; a hung one does not.",
                by_process(f"sightglass_worker_up{{{OURS}}}", naming=named_even_silent),
                names={"0": "hung", "1": "up"},
                w=6,
            ),
            lines(
                "Requests by worker",
                "Finished requests per second; uneven lines mean uneven balancing.",
                "reqps",
                by_process(f"rate(http_requests_total{{{OURS}}}[$__rate_interval])", "sum"),
                w=6,
            ),
            lines(
                "Starts within 15 minutes",
                "Of each container's most often started process, whatever its address; the line is the alert's.",
                "short",
                Query(f"max by (container) ({starts('15m')})", "{{container}}"),
                limits=((None, "transparent"), (STARTS, WARN)),
                decimals=0,
                w=6,
            ),
            lines(
                "Event loop lag",
                "How late callbacks run; the line is the alert's threshold.",
                "s",
                by_process(f"event_loop_lag_seconds{{{OURS}}}"),
                limits=((None, "transparent"), (EVENT_LOOP_LAG, WARN)),
                w=6,
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
                by_process(f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])"),
            ),
            lines(
                "Resident memory",
                "Of each process.",
                "bytes",
                by_process(f"process_resident_memory_bytes{{{OURS}}}"),
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
                by_process(f"process_open_fds{{{OURS}}} / process_max_fds{{{OURS}}}"),
                limits=((None, "transparent"), (0.8, WARN)),
            ),
            lines(
                "Log lines dropped",
                "Per second, because standard output took no more.",
                "short",
                Query(
                    "sum by (container)"
                    f" ({named(f'rate(sightglass_log_lines_dropped_total{{{OURS}}}[$__rate_interval])')})",
                    "{{container}}",
                ),
            ),
        ),
        closed=True,
    )
    used = "sightglass_container_cpu_usage_seconds_total{%s}[$__rate_interval]"
    memory = "sightglass_container_memory_working_set_bytes{%s}"
    containers = Row(
        "Containers",
        (
            lines(
                "Processor, of what it may use",
                "Share of the container's limit; those of the API, the jobs and NGINX tell theirs.",
                "percentunit",
                by_container(f"rate({used}) / sightglass_container_spec_cpu_cores{{%s}}"),
                limits=((None, "transparent"), FULL[-1]),
                empty="No limit",
            ),
            lines(
                "Throttled",
                "Seconds a second that processes waited because the limit was used up.",
                "s",
                by_container("rate(sightglass_container_cpu_cfs_throttled_seconds_total{%s}[$__rate_interval])"),
                empty="No limit",
            ),
            lines(
                "Memory, of what it may use",
                "Share of the container's limit, at which the kernel kills a process.",
                "percentunit",
                by_container(f"{memory} / sightglass_container_spec_memory_limit_bytes{{%s}}"),
                limits=((None, "transparent"), FULL[-1]),
                empty="No limit",
            ),
            lines(
                "Processor of every container",
                "CPU seconds per second; 1 is one core. Of the monitoring's it is that of the main process.",
                "short",
                by_container(f"rate({used})", f"rate(process_cpu_seconds_total{{{OTHERS}}}[$__rate_interval])"),
            ),
            lines(
                "Memory of every container",
                "Working set; of the monitoring's it is the resident memory of the main process.",
                "bytes",
                by_container(memory, f"process_resident_memory_bytes{{{OTHERS}}}"),
            ),
            lines(
                "Starts of every container within 15 minutes",
                "Of its main process, or of the worker process that was started most often.",
                "short",
                Query(
                    f"max by (container) ({starts('15m')})"
                    ' or max by (container) (label_replace(changes(process_start_time_seconds{job!~"api|jobs"}[15m]),'
                    ' "container", "$1", "job", "(.*)"))',
                    "{{container}}",
                ),
                decimals=0,
            ),
        ),
    )
    host = Row(
        "Host",
        (
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
                w=8,
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
                w=8,
            ),
            lines(
                "Host load",
                "Processes running or waiting to, averaged over 1 and 15 minutes; the line is the number of cores.",
                "short",
                Query('node_load1{job="node"}', "1 minute"),
                Query('node_load15{job="node"}', "15 minutes"),
                Query('count(count by (cpu) (node_cpu_seconds_total{job="node"}))', "cores"),
                colours={"cores": BAD},
                w=8,
            ),
        ),
    )
    return board(
        "workers",
        "Processes and host",
        "The processes of the API and of the jobs, their container, and the host below them.",
        (workers, containers, host, runtime),
        (
            choice("job", "Job", "label_values(python_gc_collections_total, job)"),
            choice("instance", "Instance", 'label_values(python_gc_collections_total{job=~"$job"}, instance)'),
        ),
    )
