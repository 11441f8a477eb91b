"""The attack suite: hostile inputs by class, each sent while another client asks, whose every request must be answered.

A part runs in `make test`, everything at length in `make attack`.
"""

import os
from collections.abc import Iterable

AT_LENGTH = os.environ.get("ATTACK") == "at-length"
"""Whether every input is tried and floods are long: `make attack`."""


def share(inputs: list[str], every: int) -> list[str]:
    """Return all of them at length, else one of so many."""
    return inputs if AT_LENGTH else inputs[::every]


def together(kinds: Iterable[str]) -> list[list[str]]:
    """Return the kinds one by one at length, else all of them as one."""
    listed = list(kinds)
    return [[kind] for kind in listed] if AT_LENGTH else [listed]
