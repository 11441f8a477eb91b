"""The container's command, ``python -m sightglass.server``: gunicorn, once the settings are known to be right."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from sightglass.server.settings import load_settings_or_exit

CONFIGURATION = "python:sightglass.server.gunicorn_conf"
APPLICATION = "sightglass.server.application:app"
_READ_BY_GUNICORN = ("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS")


def main() -> None:
    """Check the settings and become gunicorn's arbiter; more arguments are passed on to it."""
    settings = load_settings_or_exit()
    if settings.scratch_dir is not None:
        empty(settings.scratch_dir)
    # The application's own: gunicorn makes defaults of them while it is imported, and stumbles over some values.
    theirs = {name: os.environ.pop(name) for name in _READ_BY_GUNICORN if name in os.environ}
    from gunicorn.app.wsgiapp import run

    os.environ.update(theirs)
    sys.argv = ["gunicorn", "--config", CONFIGURATION, *sys.argv[1:], APPLICATION]
    run()


def empty(directory: Path) -> None:
    """Remove what an earlier run left: uploads that nobody asks for any more. What may not be removed stays."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


if __name__ == "__main__":
    main()
