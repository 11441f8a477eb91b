"""The command of an application's own image: the server, with what is ours at the end of the import path.

The application's packages come first, whatever their versions; ours fill in what it has not.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Become the server; with ``--check`` only see whether it can be imported, with a line on stderr where not."""
    sys.path[0:1] = ["/srv/app", os.getcwd()]  # noqa: PTH109 - as an application's own server would write it
    sys.path += [str(HERE), str(HERE / "site")]
    if sys.argv[1:] == ["--check"]:
        check()
        return
    from sightglass.server.__main__ import main as serve

    serve()


def check() -> None:
    """Import what the server is made of, beside the application's packages.

    Raises:
        SystemExit: something of theirs and of ours do not go together.

    """
    try:
        import a2wsgi  # noqa: F401
        import gunicorn.app.wsgiapp  # noqa: F401

        import sightglass
        import sightglass.server.worker_class  # noqa: F401
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        sys.exit(f"API_IMAGE: not allowed; expected packages that Sightglass's server can be imported with ({said})")


if __name__ == "__main__":
    main()
