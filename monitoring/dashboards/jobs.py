"""Work in the background: how much waits, how long it takes, how it ends."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.alerts import DATABASE_CONNECTIONS, DATABASE_CONNECTIONS_USED, JOB_AGE, JOB_STATE_ERRORS
from monitoring.panels import (
    BAD,
    CALM,
    GOOD,
    SOON,
    WARN,
    Query,
    Row,
    board,
    choice,
    lines,
    named,
    number,
    quantiles,
    rows,
)
from monitoring.promql import grown
from monitoring.slo import Objectives

JOBS = 'job="jobs",instance=~"$process"'
QUEUE = 'job=~"api|jobs"'
"""Who tells what waits: the API, too, which is there when no job process is."""
NOBODY = "None there"
NO_DATABASE = "SQLite, or elsewhere"
DATABASE = 'job="database",datname="sightglass"'
NONE_WHERE_EXPECTED = '0 * sum(stack:replicas:expected{job="jobs"} > 0)'
"""0 where there must be some, else nothing."""
ENDS = {
    "accepted": CALM,
    "succeeded": GOOD,
    "retried": WARN,
    "failed": "semi-dark-red",
    "dead": BAD,
    "cancelled": "purple",
}
DEAD = f'jobs_total{{{JOBS},status="dead"}}'


def build(_objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    now = Row(
        "Now",
        (
            number(
                "Waiting",
                "Jobs that wait for a job process.",
                "short",
                f"max(job_queue_depth{{{QUEUE}}})",
                steps=((None, CALM),),
                empty=NOBODY,
                w=6,
            ),
            number(
                "Oldest",
                "How long the oldest waiting job has waited.",
                "s",
                f"max(job_queue_age_seconds{{{QUEUE}}})",
                steps=((None, GOOD), (JOB_AGE / 2, WARN), (JOB_AGE, BAD)),
                empty=NOBODY,
                w=6,
            ),
            number(
                "Processes",
                "Job processes that answer.",
                "short",
                # Gone from DNS they have no series: that is bad where there must be some.
                f'sum(up{{job="jobs"}}) or {NONE_WHERE_EXPECTED}',
                steps=((None, BAD), (1, GOOD)),
                empty=NOBODY,
                w=6,
            ),
            number(
                "Given up in this time range",
                "Jobs given up after all their attempts.",
                "locale",
                f"sum({grown(DEAD, '$__range')}) or {NONE_WHERE_EXPECTED}",
                steps=((None, GOOD), (1, BAD)),
                empty=NOBODY,
                decimals=0,
                w=6,
            ),
        ),
    )
    work = Row(
        "Work",
        (
            lines(
                "Jobs by what became of them",
                "Changes of status per minute, accepted by the API and ended by job processes.",
                "short",
                Query("sum by (status) (rate(jobs_total[$__rate_interval])) * 60", "{{status}}"),
                colours=ENDS,
                interval="5m",
                empty=SOON,
            ),
            lines(
                "Duration",
                "From the start of an attempt at a job to its end.",
                "s",
                *quantiles("job_duration_seconds", JOBS),
                interval="5m",
                empty=SOON,
            ),
            lines(
                "Queue",
                "Jobs that wait for a job process.",
                "short",
                Query(f"max(job_queue_depth{{{QUEUE}}})", "waiting"),
                empty=NOBODY,
            ),
            lines(
                "Age of the oldest",
                "How long the oldest waiting job has waited; the line is the alert's threshold.",
                "s",
                Query(f"max(job_queue_age_seconds{{{QUEUE}}})", "oldest"),
                limits=((None, "transparent"), (JOB_AGE, BAD)),
                empty=NOBODY,
            ),
            rows(
                "Jobs in this time range",
                "By what became of them.",
                Query("round(sum by (status) (increase(jobs_total[$__range])))", "Jobs"),
                columns={"status": "Status"},
                sort="Jobs",
                w=16,
            ),
            lines(
                "CPU by process",
                "CPU seconds per second; a process works on one core, whatever number of jobs it has in hand.",
                "short",
                Query(
                    f"sum by (container) ({named(f'rate(process_cpu_seconds_total{{{JOBS}}}[$__rate_interval])')})",
                    "{{container}}",
                ),
                empty=NOBODY,
                w=12,
            ),
            lines(
                "Memory by process",
                "Resident memory.",
                "bytes",
                Query(f"max by (container) ({named(f'process_resident_memory_bytes{{{JOBS}}}')})", "{{container}}"),
                empty=NOBODY,
                w=12,
            ),
        ),
    )
    database = Row(
        "Database",
        (
            lines(
                "Operations failed",
                "A minute, as the database or the bucket did not answer, or refused; counted by who asked.",
                "short",
                Query(
                    f"sum by (store, operation) (rate({JOB_STATE_ERRORS}[$__rate_interval])) * 60",
                    "{{store}}: {{operation}}",
                ),
                empty="In RUNS_DIR",
            ),
            lines(
                "Connections",
                "Share of those that PostgreSQL takes (profile postgres); the line is the alert's threshold.",
                "percentunit",
                Query(DATABASE_CONNECTIONS_USED, "in use"),
                limits=((None, "transparent"), (DATABASE_CONNECTIONS, BAD)),
                empty=NO_DATABASE,
            ),
            lines(
                "Transactions",
                "Of the jobs' database, by how they ended.",
                "ops",
                Query(f"sum(rate(pg_stat_database_xact_commit{{{DATABASE}}}[$__rate_interval]))", "committed"),
                Query(f"sum(rate(pg_stat_database_xact_rollback{{{DATABASE}}}[$__rate_interval]))", "rolled back"),
                empty=NO_DATABASE,
            ),
            lines(
                "Size",
                "Of the jobs' database on disk; documents are elsewhere.",
                "bytes",
                Query(f"max(pg_database_size_bytes{{{DATABASE}}})", "on disk"),
                empty=NO_DATABASE,
            ),
        ),
    )
    return board(
        "jobs",
        "Jobs",
        "Work in the background: how much waits, how long it takes, how it ends.",
        (now, work, database),
        (choice("process", "Process", 'label_values(job_queue_depth{job="jobs"}, instance)'),),
    )
