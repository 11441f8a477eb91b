"""The attack suite: hostile inputs by class, each sent while another client asks, whose every request must be answered.

A part runs in `make test`, everything at length in `make attack`.
"""

import os

AT_LENGTH = os.environ.get("ATTACK") == "at-length"
"""Whether every input is tried and floods are long: `make attack`."""


def share(inputs: list[str], every: int) -> list[str]:
    """Return all of them at length, else one of so many."""
    return inputs if AT_LENGTH else inputs[::every]
