"""The ASGI app the server runs: whatever ``APP`` names, instrumented."""

import logging

from sightglass import instrument
from sightglass.environment import SettingsError
from sightglass.logs.setup import configure_logging, protect_stack
from sightglass.server.halt import halt
from sightglass.server.loading import EXIT_STATUS, AppLoadError, load_app
from sightglass.server.settings import load_settings_or_exit
from sightglass.tracing import conventions

_logger = logging.getLogger(__name__)
_settings = load_settings_or_exit()
configure_logging(_settings)
if _settings.tracing_enabled:
    conventions.choose_stable()  # before an app that instruments itself is loaded
try:
    _served = load_app(_settings.app, _settings.app_fallback_dir)
except AppLoadError as error:
    _logger.debug("loading the app failed", exc_info=error.__cause__)
    halt(EXIT_STATUS, str(error))

try:
    app = instrument(_served, settings=_settings)
except SettingsError as error:
    halt(EXIT_STATUS, str(error))
protect_stack(_settings)  # once more: of what was imported since
