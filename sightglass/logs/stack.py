"""The loggers of the stack itself, out of an application's reach.

Loggers are the process's, so an application that configures logging reaches the servers' and this package's too: it
disables, filters, replaces or silences them, most often without knowing (`logging.config.dictConfig` disables what it
does not name). What they say is the operator's to choose, by ``LOG_LEVEL`` alone.
"""

import logging
from typing import Any, ClassVar

from sightglass.settings import LOG_LEVELS

# asyncio's tells of exceptions in tasks that nobody waits for.
_SERVERS = ("gunicorn.error", "uvicorn.error", "asyncio")
_OWN = "sightglass"
_LEVEL_NAMES = {getattr(logging, name): name for name in LOG_LEVELS}  # whatever an application calls them


class _Fixed:
    """An attribute of `StackLogger` that keeps the class's value, whatever is assigned to it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, logger: Any, owner: Any = None) -> Any:
        value = StackLogger.fixed[self._name]
        return list(value) if isinstance(value, tuple) else value  # a copy: what is done to it is lost

    def __set__(self, logger: Any, value: Any) -> None:
        pass


class StackLogger(logging.Logger):
    """A logger with one output and one level.

    An application's own handlers are not among its own or inherited ones: its lines quote clients, and the output's
    filters are what keeps that in. Who patches `logging.Logger.callHandlers` (Sentry's SDK does) still sees them.
    """

    fixed: ClassVar[dict[str, Any]] = {}
    output: ClassVar[logging.Handler]

    disabled = _Fixed("disabled")
    filters = _Fixed("filters")
    handlers = _Fixed("handlers")
    level = _Fixed("level")
    propagate = _Fixed("propagate")

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the standard library's name
        """Whether ``LOG_LEVEL`` lets the level pass; `logging.disable` is not asked."""
        return bool(level >= self.level)

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Write the record."""
        record.levelname = _LEVEL_NAMES.get(record.levelno, record.levelname)
        self.output.handle(record)
        super().callHandlers(record)


def protect_loggers(output: logging.Handler, level: int) -> None:
    """Make the servers' loggers, and those this package has by now, write to the output from the level on."""
    StackLogger.output = output
    StackLogger.fixed = {
        "disabled": False,
        "filters": (),
        # One that does nothing: without any, the standard library would write to stderr.
        "handlers": (logging.NullHandler(),),
        "level": level,
        "propagate": False,
    }
    known = logging.root.manager.loggerDict
    own = [name for name, logger in known.items() if f"{name}.".startswith(f"{_OWN}.") and _is_logger(logger)]
    for name in (*_SERVERS, *own):
        # The logger stays the object that modules hold.
        logging.getLogger(name).__class__ = StackLogger


def _is_logger(logger: object) -> bool:
    return isinstance(logger, logging.Logger)  # the rest are places for loggers to come
