"""A story as text: bars for a terminal, plain lines for a pipe, and nothing that a terminal would obey."""

from collections.abc import Iterator, Sequence
from typing import Any

from scripts.story.entries import IDS, Entry, clock

_BAR = 30  # characters
_FRAMES = 8  # of a stack, the innermost ones
_SAID = frozenset(
    {"timestamp", "level", "logger", "message", "duration", "exception", "stack", "stack_info", "name", *IDS}
)
_RED, _YELLOW, _DIM = "31", "33", "2"


def printable(value: object) -> str:
    """Return text that is safe to print: control characters, escapes and what turns text around are spelled out."""
    text = value if isinstance(value, str) else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def story(entries: Sequence[Entry], width: int | None) -> Iterator[str]:
    """Render entries, sorted by time.

    Args:
        entries: at least one.
        width: of the terminal in characters; None for plain text of any length.

    """
    begin = min(one.start for one in entries)
    length = max(max(one.start + (one.duration or 0) for one in entries) - begin, 1e-6)
    for name in IDS[:2] + IDS[3:]:
        values = list(dict.fromkeys(one.ids[name] for one in entries if name in one.ids))
        if values:
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            yield f"{name.removesuffix('_id'):<8}{printable(' '.join(values[:5]))}{more}"
    yield f"{'from':<8}{clock(begin)}, {_time(length)}"
    yield ""
    services = min(20, max(len(printable(one.service)) for one in entries))
    for one in entries:
        parts = [
            f"{one.start - begin:+10.3f} s",
            f"{_time(one.duration):>9}",
            f"{printable(one.service)[:20]:<{services}}",
        ]
        if width is not None:
            parts.insert(1, _bar(one.start - begin, one.duration, length))
        text = "  ".join([*parts, _text(one)])
        if width is None:
            yield text
        else:
            yield _coloured(text if len(text) <= width else text[: max(width - 1, 1)] + "…", one)
        indent = " " * (14 if width is None else 16)
        for frame in _stack(one.fields):
            text = indent + printable(frame)
            yield text if width is None or len(text) <= width else text[: max(width - 1, 1)] + "…"


def table(entries: Sequence[Entry], width: int | None) -> Iterator[str]:
    """Render requests, a line each, with the id to go on with."""
    for one in entries:
        fields = one.fields
        parts = [
            clock(one.start),
            f"{fields.get('status', '-')!s:>3}",
            f"{_time(one.duration):>9}",
            f"{fields.get('request_id', '')!s:<32}",
            f"{fields.get('method', '')} {fields.get('path') or fields.get('route', '')}",
        ]
        text = printable("  ".join(parts))
        if width is None:
            yield text
        else:
            yield _coloured(text if len(text) <= width else text[: max(width - 1, 1)] + "…", one)


def _text(entry: Entry) -> str:
    fields = entry.fields
    if entry.span:
        head = f"span {fields.get('name', '')}"
    else:
        head = " ".join(str(fields[name]) for name in ("level", "logger", "message") if fields.get(name))
    rest = " ".join(
        f"{key}={_value(value)}" for key, value in fields.items() if key not in _SAID and value not in ("", None)
    )
    return printable(f"{head}  {rest}".rstrip())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{item}" for key, item in value.items()) or "none"
    return str(value)


def _stack(fields: dict[str, Any]) -> Iterator[str]:
    exception, depth = fields.get("exception"), 0
    while isinstance(exception, dict) and depth < 5:
        message = f": {exception['message']}" if "message" in exception else ""
        yield f"{'caused by ' if depth else ''}{exception.get('type', 'exception')}{message}"
        yield from _innermost(exception.get("stack"))
        exception, depth = exception.get("cause"), depth + 1
    yield from _innermost(fields.get("stack"))


def _innermost(frames: Any) -> Iterator[str]:
    if isinstance(frames, list):
        if len(frames) > _FRAMES:
            yield f"  … {len(frames) - _FRAMES} frames"
        yield from (f"  {frame}" for frame in frames[-_FRAMES:])


def _bar(offset: float, duration: float | None, length: float) -> str:
    """Draw where a duration lies within a length, all in one unit."""
    at = min(_BAR - 1, max(0, int(offset / length * _BAR)))
    if not duration:
        return f"{' ' * at}·{' ' * (_BAR - at - 1)}"
    long = max(1, min(_BAR - at, round(duration / length * _BAR)))
    return f"{' ' * at}{'█' * long}{' ' * (_BAR - at - long)}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _coloured(text: str, entry: Entry) -> str:
    level = str(entry.fields.get("level", ""))
    colour = {"WARNING": _YELLOW, "ERROR": _RED, "CRITICAL": _RED}.get(level, _DIM if entry.span else "")
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text
