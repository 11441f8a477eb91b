"""Runs a build that takes minutes, and says meanwhile how far it is.

Standard library only: this runs before anything is installed.
"""

import os
import subprocess
import time
from collections.abc import Callable, Sequence

from scripts.commands import ROOT, CommandError

SAY_EVERY_SECONDS = 10.0  # between two lines of progress


def run(command: Sequence[str], say: Callable[[str], None], **variables: str) -> None:
    """Run a build with these variables set; of what it writes, a line is said now and then.

    Raises:
        CommandError: it failed; with the last that it wrote.

    """
    written: list[str] = []
    begun = said = time.monotonic()
    # A session of its own: a terminal's ^C is for the program that runs it to handle.
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", start_new_session=True, env=os.environ | variables,
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            written.append(line)
            if time.monotonic() - said > SAY_EVERY_SECONDS:
                said = time.monotonic()
                say(f"{said - begun:.0f} s, {len(written)} lines of the build: {line.strip()[:100]}")
    if process.returncode != 0:
        raise CommandError(command, "".join(written))
