"""Import the app that ``APP`` names, or say in one line why that does not work."""

import importlib
import inspect
import os
import sys
import sysconfig
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from starlette.types import ASGIApp

from sightglass.environment import SettingsError

# gunicorn's Arbiter.APP_LOAD_ERROR: it stops then instead of starting the worker again and again.
EXIT_STATUS = 4


class AppLoadError(Exception):
    """One line: ``APP=value: what is wrong``."""


def load_app(path: str, fallback: Path | None = None) -> ASGIApp:
    """Return the app at ``module:attribute``, dots allowed in both, as an ASGI app.

    A WSGI app is wrapped. What can be called without arguments is a factory, with or without a ``()`` behind its name.

    Args:
        path: what ``APP`` says.
        fallback: a directory that is on the import path only if what `path` names is nowhere else on it. At the path's
            end it would hide a directory of the same name without an ``__init__.py`` (a namespace package, PEP 420).

    Raises:
        AppLoadError: the module cannot be imported, or the attribute is missing or no such app.

    """
    module_name, _, attribute = path.partition(":")
    if fallback is not None and find_spec(module_name.partition(".")[0]) is None:
        sys.path.append(str(fallback))
    try:
        found: Any = importlib.import_module(module_name)
    except SettingsError as error:  # the shipped service's own; its lines say all
        raise AppLoadError(str(error)) from error
    except (Exception, SystemExit) as error:
        raise AppLoadError(f"APP={path}: {_reason(error, module_name)}") from error
    attribute, called, _ = attribute.partition("()")
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise AppLoadError(f"APP={path}: module {module_name} has no attribute {attribute}") from error
    kind = _kind(found)
    if kind == "factory" or (called and callable(found)):
        found = _made(found, path, attribute, module_name)
        kind, attribute = _kind(found), f"what {attribute} returned"
    if kind == "WSGI":
        from sightglass.server.wsgi import ServedWSGI

        return ServedWSGI(found)
    if kind == "ASGI":
        return cast("ASGIApp", found)
    if not callable(found):
        raise AppLoadError(f"APP={path}: {attribute} is no ASGI or WSGI app but a {type(found).__qualname__}")
    raise AppLoadError(
        f"APP={path}: {attribute} takes neither scope, receive and send nor environ and start_response, "
        "so it is no ASGI or WSGI app; nor can it be called without arguments for one"
    )


def _kind(found: object) -> Literal["ASGI", "WSGI", "factory"] | None:
    """Tell by its signature what a callable is."""
    if not callable(found):
        return None
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # the latter where there is no signature to look at
        return None
    anything = any(one.kind is one.VAR_POSITIONAL for one in signature.parameters.values())
    if _takes(signature, 0) and not anything:  # an app has no defaults for what it is called with
        return "factory"
    if _takes(signature, 3):
        return "ASGI"
    return "WSGI" if _takes(signature, 2) and not inspect.iscoroutinefunction(found) else None


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _made(factory: Any, path: str, attribute: str, module_name: str) -> object:
    try:
        made = factory()
    except SettingsError as error:
        raise AppLoadError(str(error)) from error
    except (Exception, SystemExit) as error:
        raise AppLoadError(f"APP={path}: {_reason(error, module_name, f'calling {attribute}')}") from error
    if inspect.iscoroutine(made):
        made.close()
        raise AppLoadError(f"APP={path}: {attribute} is a coroutine function; expected a function that returns the app")
    return made


def _reason(error: BaseException, module_name: str, doing: str = "importing it") -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
        if (closed := _unreadable(module_name)) is not None:
            return f"user {os.getuid()} may not read {closed}"
        places = ", ".join(path or "." for path in sys.path if not path.startswith((sys.prefix, sys.base_prefix)))
        return f"there is no module {error.name} in {places} or the installed packages"
    message = "".join(c if c.isprintable() else " " for c in str(error)[:300]).strip()
    return f"{doing} raised {type(error).__qualname__}: {message} ({_place(error)})"


def _unreadable(module_name: str) -> Path | None:
    """Find what on the way to a module is there, but not for this user; import takes it for absent."""
    for entry in map(Path, sys.path):
        for part in ("", *module_name.split(".")):
            entry = entry / part
            if entry.is_dir() and not os.access(entry, os.R_OK | os.X_OK):
                return entry
    return None


def _place(error: BaseException) -> str:
    """Name the innermost line that is not a library's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    libraries = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), "<frozen")
    own = [frame for frame in frames if not frame.filename.startswith(libraries)]
    frame = (own or frames)[-1]
    return f"{frame.filename}:{frame.lineno}"
