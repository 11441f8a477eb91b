"""Settings read from environment variables: a dataclass whose fields each say what is allowed.

A field ``log_level`` is the variable ``SIGHTGLASS_LOG_LEVEL``, so that it does not meet one of the application's, and
is told of as ``LOG_LEVEL``, its name in ``.env``; an empty variable counts as unset. The standard library is enough:
this runs in the application's process, whose packages are its own.
"""

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, ip_network
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

PREFIX = "SIGHTGLASS_"
# Names that others have given: OpenTelemetry's and AWS's, and the one by which container platforms say where to listen.
# They count without the prefix, too, where the one with it is unset.
_STANDARD = re.compile(r"otel_.*|aws_.*|port").fullmatch

_TRUTH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class SettingsError(ValueError):
    """One line for each wrong variable: its name, its value and what is allowed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variables:
    """The base of settings classes."""

    def conflicts(self) -> Iterator[str]:
        """Name the fields whose values do not go with those of others."""
        yield from ()


S = TypeVar("S", bound=Variables)
T = TypeVar("T")


def variable(default: Any, read: Callable[[str], Any], expected: str, **metadata: Any) -> Any:
    """Declare a field.

    Args:
        default: its value where the variable is unset.
        read: makes the value of the variable's text, or raises ValueError.
        expected: what is allowed, as it is told to whoever set something else.
        metadata: further facts for those who compare settings: ``least`` and ``most``.

    """
    return dataclasses.field(default=default, metadata={"read": read, "expected": expected, **metadata})


def text(default: str | None, expected: str, pattern: str = r".+", *, secret: bool = False) -> Any:
    """Declare a text that matches a regular expression as a whole; a secret one is never quoted."""

    def read(value: str) -> str:
        return _require(value, re.fullmatch(pattern, value, re.DOTALL) is not None)

    return variable(default, read, expected, secret=secret)


def choice(default: str | None, *allowed: str, expected: str | None = None, fold: Callable[[str], str] = str) -> Any:
    """Declare one of some words; `fold` spells what was given as they are spelled."""

    def read(value: str) -> str:
        return _require(fold(value), fold(value) in allowed)

    words = f"{', '.join(allowed[:-1])} or {allowed[-1]}" if len(allowed) > 1 else allowed[0]
    return variable(default, read, expected or words)


def whole(default: int | None, least: int, most: int | None, expected: str) -> Any:
    """Declare a whole number within bounds."""

    def read(value: str) -> int:
        number = int(_require(value, re.fullmatch(r"[+-]?[0-9]{1,30}", value) is not None))
        return _require(number, number >= least and (most is None or number <= most))

    return variable(default, read, expected, least=least, most=most)


def decimal(default: float | None, allowed: Callable[[float], bool], expected: str) -> Any:
    """Declare a finite number that passes a test."""

    def read(value: str) -> float:
        number = float(value)
        return _require(number, isfinite(number) and allowed(number))

    return variable(default, read, expected)


def truth(default: bool, expected: str = "true or false") -> Any:
    """Declare a switch."""

    def read(value: str) -> bool:
        return _TRUTH[_require(value.lower(), value.lower() in _TRUTH)]

    return variable(default, read, expected)


def path(default: Path | None, expected: str) -> Any:
    """Declare a file or directory; whether it is there is for its user to find out."""
    return variable(default, Path, expected)


def http_url(default: str | None, expected: str = "http://... or https://...") -> Any:
    """Declare an address of the web."""

    def read(value: str) -> str:
        parts = urlsplit(value)
        return _require(value, parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0)

    return variable(default, read, expected)


def networks(default: str, expected: str) -> Any:
    """Declare addresses and networks, separated by commas, or ``*``."""

    def read(value: str) -> str:
        parts = [part.strip() for part in value.split(",")]
        if parts != ["*"]:
            for part in parts:
                ip_network(part)  # raises ValueError
        return ",".join(parts)

    return variable(default, read, expected)


def ipv4(default: str, expected: str) -> Any:
    """Declare an IPv4 address."""

    def read(value: str) -> str:
        return str(IPv4Address(value))

    return variable(default, read, expected)


def hosts(default: tuple[str, ...], expected: str) -> Any:
    """Declare host names, separated by commas."""

    def read(value: str) -> tuple[str, ...]:
        parts = tuple(part.strip() for part in value.split(","))
        for part in parts:
            _require(
                part,
                re.fullmatch(r"(?=.{1,253}\Z)[A-Za-z0-9_]([\w-]*\w)?(\.\w([\w-]*\w)?)*", part, re.ASCII) is not None,
            )
        return parts

    return variable(default, read, expected)


def read_settings(kind: type[S], environment: Mapping[str, str] | None = None) -> S:
    """Read the fields of a settings class from the environment.

    Raises:
        SettingsError: at least one variable has a value that is not allowed.

    """
    given = os.environ if environment is None else environment
    fields = {field.name: field for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    wrong: list[str] = []
    texts = {name: text for name in fields if (text := _text_of(name, given))}
    for name, text in texts.items():
        try:
            values[name] = fields[name].metadata["read"](text)
        except ValueError:
            wrong.append(name)
    settings = kind(**values)
    wrong += [name for name in settings.conflicts() if name in values]
    if wrong:
        raise SettingsError("\n".join(_line(name, texts[name], fields[name]) for name in wrong))
    return settings


def exit_on_error(load: Callable[[], S]) -> S:
    """Load settings at a process's entry point: a wrong value ends it with its line on stderr and status 2."""
    try:
        return load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


def _require(value: T, allowed: bool) -> T:
    if not allowed:
        raise ValueError(value)
    return value


def _text_of(name: str, given: Mapping[str, str]) -> str:
    return given.get(PREFIX + name.upper(), "") or (given.get(name.upper(), "") if _STANDARD(name) else "")


def _line(name: str, value: str, field: "dataclasses.Field[Any]") -> str:
    # A line stays a line whatever the value holds.
    shown = "…" if field.metadata.get("secret") else re.sub(r"[^ -~]", "?", value)[:200]
    return f"{name.upper()}={shown}: not allowed; expected {field.metadata['expected']}"
