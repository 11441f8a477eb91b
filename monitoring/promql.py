"""PromQL that several rules and panels share."""

SECONDS = {"15m": "900", "30m": "1800", "$__range": "$__range_s"}
"""What a window is where PromQL takes a number."""


def grown(counter: str, window: str) -> str:
    """Return by how much the series of ``counter`` grew within ``window``, one of `SECONDS`.

    ``increase()`` counts from a series' second sample on. A series younger than the window, of a process that is, began
    at 0, seen or not: what a process counted before its first scrape is in its first sample. To a Prometheus that was
    away, or is new, every series is young.
    """
    started = f"max by (job, instance) (max_over_time(sightglass_process_start_time_seconds[{window}]))"
    return (
        f"(max_over_time({counter}[{window}]) unless max_over_time({counter}[{window}] offset {window})"
        f" and on (job, instance) ({started} > time() - {SECONDS[window]}))"
        f" or increase({counter}[{window}])"
    )
