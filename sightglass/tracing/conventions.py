"""The names of HTTP attributes on spans."""

import os


def choose_stable() -> None:
    """Have contrib's instrumentations keep to the stable HTTP conventions, unless the environment says otherwise.

    They read it once in a process: call this before anything is instrumented.
    """
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
