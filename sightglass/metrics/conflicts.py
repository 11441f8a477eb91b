"""Every family of an application is told, whatever its name meets: one of the stack's, or another of its own.

A family has one type and a series one value. Adding an application's values to ours would make both untrue, so what
meets something comes under a name with a prefix, is said in the log and counted.
"""

import logging
from collections.abc import Iterable

from sightglass.metrics.families import Family, Sample, series
from sightglass.metrics.gather import UP
from sightglass.metrics.requests import FAMILIES

PREFIX = "app_"

_COUNTER = "sightglass_metric_conflicts"
_PROMETHEUS = ("up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling",
               "scrape_series_added", "scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes",
               "ALERTS", "ALERTS_FOR_STATE")  # fmt: skip
"""What it writes of each target, and of alerts, itself: TargetDown would take an application's `up 0` for its own."""
_OURS = FAMILIES | {UP: "gauge", _COUNTER: "counter"} | dict.fromkeys(_PROMETHEUS, "gauge")
# OpenMetrics 1.0, "Suffixes": the names a family occupies beside its own.
_SUFFIXES = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_count", "_sum", "_created"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
    "summary": ("_count", "_sum", "_created"),
    "info": ("_info",),
}

logger = logging.getLogger(__name__)

_Told = tuple[Family, bool]


class Conflicts:
    """What was found so far; one thread at a time may use it."""

    def __init__(self) -> None:
        self._found: dict[str, set[str]] = {}

    def settle(self, families: Iterable[_Told]) -> list[_Told]:
        """Return an application's families, each with a companion that is handed through, under names that are free."""
        names = _Names()
        told: list[_Told] = []
        waiting: list[_Told] = []
        for family, companion in families:
            (told if names.take(family) else waiting).append((family, companion))
        for family, companion in waiting:
            renamed = _prefixed(family)
            while not names.take(renamed):
                renamed = _prefixed(renamed)
            self._say(family[0], renamed[0])
            told.append((renamed, companion))
        return told

    def families(self, worker: str) -> list[Family]:
        """Return the counter of what was found, of no family where nothing was."""
        samples: list[Sample] = [
            (series(f"{_COUNTER}_total", [("family", name)], worker), len(told_as), "")
            for name, told_as in self._found.items()
        ]
        help_text = "Metric families of the application that met another and are told with a prefix."
        return [(_COUNTER, "counter", help_text, "", samples)] if samples else []

    def _say(self, name: str, told_as: str) -> None:
        found = self._found.setdefault(name, set())
        if told_as not in found:
            found.add(told_as)
            logger.warning("the application's metric %s meets another of that name and is told as %s", name, told_as)


class _Names:
    """Who has which name in one exposition."""

    def __init__(self) -> None:
        ours = ("", "")  # no family is called so
        self._owners = {name: ours for family, kind in _OURS.items() for name in _occupied(family, kind)}
        self._series: dict[tuple[str, str], set[str]] = {}

    def take(self, family: Family) -> bool:
        """Take the family's names and series, unless another has one of them; collectors may share a family."""
        owner = (family[0], family[1])
        names = _occupied(*owner)
        if any(self._owners.get(name, owner) != owner for name in names):
            return False
        keys = {key for key, _, _ in family[4]}
        if not keys.isdisjoint(self._series.get(owner, ())):
            return False
        self._owners.update(dict.fromkeys(names, owner))
        self._series.setdefault(owner, keys).update(keys)
        return True


def _occupied(name: str, kind: str) -> list[str]:
    return [name, *(name + suffix for suffix in _SUFFIXES.get(kind, ()))]


def _prefixed(family: Family) -> Family:
    name, kind, documentation, unit, samples = family
    return PREFIX + name, kind, documentation, unit, [(PREFIX + key, value, text) for key, value, text in samples]
