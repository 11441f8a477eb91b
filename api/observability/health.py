"""Liveness and readiness from named checks."""

from collections.abc import Awaitable, Callable

Outcome = bool | str | None
Check = Callable[[], Outcome | Awaitable[Outcome]]


class Health:
    """Named checks an app adds to; a check gives None or True when fine, or the reason it is not."""

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}

    def add_check(self, name: str, check: Check) -> None:
        """Add a check or replace the one of that name."""
        self.checks[name] = check


health = Health()
