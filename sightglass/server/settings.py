"""What the server is told by its environment, on top of the library's settings."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sightglass.environment import exit_on_error, hosts, networks, path, read_settings, text, whole
from sightglass.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ServerSettings(Settings):
    """Which application gunicorn serves, and how."""

    app: str = text(
        "api.main:app",
        "module:attribute of an ASGI or WSGI application, or of a function without arguments that makes one",
        r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(\))?",
    )
    app_fallback_dir: Path | None = path(None, "a directory")
    scratch_dir: Path | None = path(None, "a directory, emptied at the start")
    port: int = whole(8000, 1, 65535, "a port number from 1 to 65535")
    web_concurrency: int | None = whole(None, 1, 64, "a whole number from 1 to 64; unset, what the CPU quota allows")
    gunicorn_timeout: int = whole(60, 5, 3600, "whole seconds from 5 to 3600")
    gunicorn_max_requests: int = whole(
        0, 0, 10**9, "requests after which a worker is replaced, 0 (never) to 1000000000"
    )
    api_stop_grace: int = whole(90, 5, 7200, "whole seconds from 5 to 7200")
    shutdown_delay: int = whole(
        0,
        0,
        300,
        "whole seconds from 0 to 300, in which /ready already fails; at most a third of GUNICORN_TIMEOUT "
        "and of API_STOP_GRACE",
    )
    forwarded_allow_ips: str = networks(
        "127.0.0.1,::1", "addresses and networks of the proxies, separated by commas, or *"
    )
    forwarded_allow_names: tuple[str, ...] = hosts((), "host names of the proxies, separated by commas")

    def conflicts(self) -> Iterator[str]:
        """Name the fields whose values do not go with those of others."""
        yield from super().conflicts()
        if self.shutdown_delay * 3 > min(self.gunicorn_timeout, self.api_stop_grace):
            yield "shutdown_delay"  # what is under way needs time to finish


@cache
def load_settings() -> ServerSettings:
    """Read the environment once.

    Raises:
        SettingsError: at least one variable has a value that is not allowed.

    """
    return read_settings(ServerSettings)


def load_settings_or_exit() -> ServerSettings:
    """`load_settings` for the server's entry points: a wrong value ends them with its line and status 2."""
    return exit_on_error(load_settings)
