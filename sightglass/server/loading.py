"""Import the app that ``APP`` names, or say in one line why that does not work."""

import importlib
import inspect
import sys
import sysconfig
import traceback
from importlib.util import find_spec
from pathlib import Path

from starlette.types import ASGIApp

from sightglass.environment import SettingsError

# gunicorn's Arbiter.APP_LOAD_ERROR: it stops then instead of starting the worker again and again.
EXIT_STATUS = 4


class AppLoadError(Exception):
    """One line: ``APP=value: what is wrong``."""


def load_app(path: str, fallback: Path | None = None) -> ASGIApp:
    """Return the ASGI app at ``module:attribute``, dots allowed in both.

    Args:
        path: what ``APP`` says.
        fallback: a directory that is on the import path only if what `path` names is nowhere else on it. At the path's
            end it would hide a directory of the same name without an ``__init__.py`` (a namespace package, PEP 420).

    Raises:
        AppLoadError: the module cannot be imported, or the attribute is missing or no ASGI app.

    """
    module_name, _, attribute = path.partition(":")
    if fallback is not None and find_spec(module_name.partition(".")[0]) is None:
        sys.path.append(str(fallback))
    try:
        found = importlib.import_module(module_name)
    except SettingsError as error:  # the shipped service's own; its lines say all
        raise AppLoadError(str(error)) from error
    except (Exception, SystemExit) as error:
        raise AppLoadError(f"APP={path}: {_reason(error, module_name)}") from error
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise AppLoadError(f"APP={path}: module {module_name} has no attribute {attribute}") from error
    if not callable(found):
        raise AppLoadError(f"APP={path}: {attribute} is no ASGI app but a {type(found).__qualname__}")
    try:
        inspect.signature(found).bind(None, None, None)
    except (TypeError, ValueError) as error:  # the latter where there is no signature to look at
        raise AppLoadError(
            f"APP={path}: {attribute} does not take scope, receive and send, so it is no ASGI app"
        ) from error
    return found


def _reason(error: BaseException, module_name: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
        places = ", ".join(path or "." for path in sys.path if not path.startswith((sys.prefix, sys.base_prefix)))
        return f"there is no module {error.name} in {places} or the installed packages"
    message = "".join(c if c.isprintable() else " " for c in str(error)[:300]).strip()
    return f"importing it raised {type(error).__qualname__}: {message} ({_place(error)})"


def _place(error: BaseException) -> str:
    """Name the innermost line that is not a library's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    libraries = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), "<frozen")
    own = [frame for frame in frames if not frame.filename.startswith(libraries)]
    frame = (own or frames)[-1]
    return f"{frame.filename}:{frame.lineno}"
