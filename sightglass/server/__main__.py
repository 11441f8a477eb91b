"""The container's command, ``python -m sightglass.server``: gunicorn, once the settings are known to be right.

gunicorn reads some variables (``WEB_CONCURRENCY``) while it is imported, with a traceback where one is wrong; so they
are checked before it is.
"""

import os
import sys

from sightglass.server.settings import load_settings_or_exit

CONFIGURATION = "python:sightglass.server.gunicorn_conf"
APPLICATION = "sightglass.server.application:app"


def main() -> None:
    """Check the settings and become gunicorn's arbiter; more arguments are passed on to it."""
    load_settings_or_exit()
    if os.environ.get("WEB_CONCURRENCY") == "":  # unset to us, no number to gunicorn
        del os.environ["WEB_CONCURRENCY"]
    from gunicorn.app.wsgiapp import run

    sys.argv = ["gunicorn", "--config", CONFIGURATION, *sys.argv[1:], APPLICATION]
    run()


if __name__ == "__main__":
    main()
