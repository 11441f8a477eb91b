"""The worker's command, ``python -m api.worker``: the shipped service's worker, or one line where there is none."""

import importlib.util
import sys

from api.settings import load_settings_or_exit


def main() -> None:
    """Become the worker; an image without the shipped service ends with status 2."""
    settings = load_settings_or_exit()
    if importlib.util.find_spec("api.privacy") is None:
        sys.stderr.write(f"WORKER_REPLICAS: there is no worker for APP={settings.app} in this image; expected 0\n")
        sys.exit(2)
    from api.privacy import worker

    worker.main()


if __name__ == "__main__":
    main()
