"""What unit tests share."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def loggers() -> Iterator[None]:
    """What configuring changes is put back, or later tests would write into pytest's own output."""
    before = [(logger, type(logger), vars(logger).copy()) for logger in [logging.getLogger(), *_loggers()]]
    yield
    for logger in _loggers():
        logger.__class__ = logging.Logger
    for logger, kind, attributes in before:
        logger.__class__ = kind
        vars(logger).update(attributes)
    logging.captureWarnings(capture=False)


def _loggers() -> list[logging.Logger]:
    return [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
