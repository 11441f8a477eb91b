"""A real browser, headless."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser(profile: Path, url: str, *options: str, within: Sequence[str] = ()) -> Iterator[None]:
    """Have Chromium load an address, for a `with` block.

    Args:
        profile: a directory for what it remembers.
        url: the address.
        options: more of its own.
        within: the command that runs it, where it is to run elsewhere than here.

    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert program is not None, "no Chromium: scripts/draw.sh installs it"
    command = [
        *within, program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--disable-popup-blocking", "--ignore-certificate-errors", f"--user-data-dir={profile}",
        "--remote-debugging-port=0", *options, url,
    ]  # fmt: skip
    # What it leaves when it is told to end; a short path, as there is a socket in it.
    with (
        TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as temporary,
        subprocess.Popen(
            command,
            env=os.environ | {"TMPDIR": temporary, "HOME": temporary},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
