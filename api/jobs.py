"""`python -m api.jobs`: works on the shipped service's jobs; one line where it is not in the image."""

import importlib.util
import sys

from api.settings import load_settings_or_exit


def main() -> None:
    """Become a job process; an image without the shipped service ends with status 2."""
    settings = load_settings_or_exit()
    if importlib.util.find_spec("api.privacy") is None:
        sys.stderr.write(f"JOBS_REPLICAS: nothing in this image works on jobs for APP={settings.app}; expected 0\n")
        sys.exit(2)
    from api.privacy.jobs import process

    process.main()


if __name__ == "__main__":
    main()
