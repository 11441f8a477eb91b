"""The container's command, ``python -m api.serve``: gunicorn, once the settings are known to be right.

gunicorn reads some variables (``WEB_CONCURRENCY``) while it is imported, with a traceback where one is wrong; so they
are checked before it is.
"""

import os
import sys

from api.settings import load_settings_or_exit


def main() -> None:
    """Check the settings and become gunicorn's arbiter; more arguments are passed on to it."""
    load_settings_or_exit()
    if os.environ.get("WEB_CONCURRENCY") == "":  # unset to us, no number to gunicorn
        del os.environ["WEB_CONCURRENCY"]
    from gunicorn.app.wsgiapp import run

    sys.argv = ["gunicorn", "--config", "python:api.gunicorn_conf", *sys.argv[1:], "api.asgi:app"]
    run()


if __name__ == "__main__":
    main()
