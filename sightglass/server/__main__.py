"""The container's command, ``python -m sightglass.server``: gunicorn, once the settings are known to be right."""

import os
import sys

from sightglass.server.settings import load_settings_or_exit

CONFIGURATION = "python:sightglass.server.gunicorn_conf"
APPLICATION = "sightglass.server.application:app"
_READ_BY_GUNICORN = ("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS")


def main() -> None:
    """Check the settings and become gunicorn's arbiter; more arguments are passed on to it."""
    load_settings_or_exit()
    # The application's own: gunicorn makes defaults of them while it is imported, and stumbles over some values.
    theirs = {name: os.environ.pop(name) for name in _READ_BY_GUNICORN if name in os.environ}
    from gunicorn.app.wsgiapp import run

    os.environ.update(theirs)
    sys.argv = ["gunicorn", "--config", CONFIGURATION, *sys.argv[1:], APPLICATION]
    run()


if __name__ == "__main__":
    main()
