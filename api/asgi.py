"""The ASGI app the server runs: whatever ``APP`` names, instrumented."""

import logging

from api.app_loader import EXIT_STATUS, AppLoadError, load_app
from api.halt import halt
from api.observability import instrument
from api.observability.logging import configure_logging
from api.settings import load_settings_or_exit

_settings = load_settings_or_exit()
configure_logging(_settings)
try:
    _served = load_app(_settings.app)
except AppLoadError as error:
    logging.getLogger(__name__).debug("loading the app failed", exc_info=error.__cause__)
    halt(EXIT_STATUS, str(error))

app = instrument(_served, settings=_settings)
