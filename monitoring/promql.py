"""PromQL that several rules and panels share."""


def grown(counter: str, window: str) -> str:
    """Return by how much the series of ``counter`` grew within ``window``.

    ``increase()`` counts from a series' second sample on. A series younger than the window began at 0, seen or not:
    what a process counted before its first scrape is in its first sample.
    """
    return (
        f"(max_over_time({counter}[{window}]) unless max_over_time({counter}[{window}] offset {window}))"
        f" or increase({counter}[{window}])"
    )
