"""Metric families as plain data: what a worker ships and keeps, before it becomes text.

Plain tuples, because `marshal` moves them between processes about ten times faster than JSON and takes nothing else.
A series is known by its exposition text, ``name{label="value"}``: the one key under which values are added up, kept
for a successor and written out.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.metrics import Counter, Histogram, Summary
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import CollectorRegistry
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

try:
    from prometheus_client.openmetrics.exposition import UNDERSCORES, escape_label_name, escape_metric_name
except ImportError:  # before 0.23, with one escaping or none
    UNDERSCORES = "underscores"

    def escape_label_name(s: str, escaping: str = UNDERSCORES) -> str:  # noqa: ARG001
        """Return the name in the classic character set."""
        return re.sub(r"^(?=[0-9])|[^a-zA-Z0-9_]", "_", s)

    def escape_metric_name(s: str, escaping: str = UNDERSCORES) -> str:  # noqa: ARG001
        """Return the name in the classic character set."""
        return re.sub(r"^(?=[0-9])|[^a-zA-Z0-9_:]", "_", s)


logger = logging.getLogger(__name__)

_BOUND = re.compile(r'[{,]le="([^"]*)"').search  # in a label's value each quote has a backslash before it

Sample = tuple[str, float, str]
"""Series, value, and its OpenMetrics exemplar as text or ''."""

Family = tuple[str, str, str, str, list[Sample]]
"""Name (without `_total` or `_info`), OpenMetrics type, help, unit or '', samples in their order."""

Totals = dict[str, tuple[str, str, str, dict[str, float]]]
"""Type, help, unit and the value of each series, by family: what must never go backwards."""


def series(name: str, labels: Iterable[tuple[str, str]], worker: str) -> str:
    """Return the text that identifies a series.

    An app's own label `worker` becomes `exported_worker`, with one more `exported_` for each that is taken, as
    Prometheus does it with `instance` and `job`.
    """
    pairs = list(labels)
    names = [label for label, _ in pairs]
    if "worker" in names:
        free = "exported_worker"
        while free in names:
            free = f"exported_{free}"
        pairs[names.index("worker")] = (free, pairs[names.index("worker")][1])
    pairs.append(("worker", worker))
    text = ",".join(f'{label}="{_escape(value)}"' for label, value in pairs)
    return f"{name}{{{text}}}"


def exemplar_text(trace_id: str, value: float, timestamp: float) -> str:
    """Return an exemplar as OpenMetrics writes it; the timestamp is in seconds since the epoch."""
    return f' # {{trace_id="{trace_id}"}} {number(value)} {timestamp:.3f}'


def number(value: float) -> str:
    """Return a sample's value, or a bucket's bound, as both text formats write it."""
    return str(value) if type(value) is int else str(floatToGoString(value))  # type: ignore[no-untyped-call]


def from_registry(registry: CollectorRegistry, worker: str) -> Iterator[tuple[Family, bool]]:
    """Yield each family of an ordinary registry, and whether its values are totals that this process has counted.

    A custom collector's counters are not: they may come from anywhere, a database say, and are already complete.
    One that raises, or reports what no text can say, is left out, said in the log, and spares the others.
    """
    for collector in list(registry._collector_to_names):
        counted = isinstance(collector, Counter | Histogram | Summary)
        try:
            families = [_family(metric, worker) for metric in collector.collect()]
        except Exception as error:
            logger.warning("collector %s failed: %s", type(collector).__name__, type(error).__name__)
            continue
        for family in families:
            yield family, counted


def are_families(data: Any) -> bool:
    """Whether what another process sent, perhaps one of another version of this code, can be written out."""
    try:
        return all(
            type(name) is type(kind) is type(documentation) is type(unit) is str
            and all(type(key) is type(exemplar) is str and is_number(value) for key, value, exemplar in samples)
            for name, kind, documentation, unit, samples in data
        )
    except (TypeError, ValueError):
        return False


def is_number(value: object) -> bool:
    """Whether a value is of the two types that `marshal` hands on as they are."""
    return type(value) is float or type(value) is int


def continued(families: Iterable[Family], inherited: Totals) -> tuple[list[Family], Totals]:
    """Return the families with a predecessor's totals added, and the totals to hand on.

    A family whose type, or whose buckets, are others than the predecessor's starts anew.
    """
    result: list[Family] = []
    totals: Totals = dict(inherited)
    for name, kind, documentation, unit, samples in families:
        old_kind, *_, old = inherited.get(name, (kind, "", "", {}))
        if old_kind != kind or (kind == "histogram" and samples and _bounds(old) != _bounds(s[0] for s in samples)):
            old = {}
        before = old.get
        # The same work without a predecessor: the time of a scrape does not depend on how many there were.
        samples = [(key, value + before(key, 0), exemplar) for key, value, exemplar in samples]
        values = {key: value for key, value, _ in samples}
        if old.keys() - values.keys():
            left = {key: value for key, value in old.items() if key not in values}
            samples += [(key, value, "") for key, value in left.items()]
            values.update(left)
        result.append((name, kind, documentation, unit, samples))
        totals[name] = (kind, documentation, unit, values)
    counted = {family[0] for family in result}
    result += as_families({name: total for name, total in inherited.items() if name not in counted})
    return result, totals


def _bounds(keys: Iterable[str]) -> list[str]:
    """Return the bounds of a family's first histogram, which are those of all."""
    bounds: list[str] = []
    for key in keys:
        if (found := _BOUND(key)) is None:
            break
        bounds.append(found[1])
    return bounds


def as_families(totals: Totals) -> list[Family]:
    """Return kept totals as families again."""
    return [
        (name, kind, documentation, unit, [(key, value, "") for key, value in values.items()])
        for name, (kind, documentation, unit, values) in totals.items()
    ]


def _family(metric: Metric, worker: str) -> Family:
    # Plain types: what only behaves like a text or a number may not be one any more in another process.
    name = str(escape_metric_name(metric.name, UNDERSCORES))
    return name, str(metric.type), str(metric.documentation), str(metric.unit), list(_samples(metric, worker))


def _samples(metric: Metric, worker: str) -> Iterator[Sample]:
    created = metric.name + "_created"
    for sample in metric.samples:
        # Text formats cannot carry native histograms, and a creation time is not kept across workers.
        if sample.name == created or getattr(sample, "native_histogram", None) is not None:
            continue
        labels = [(escape_label_name(label, UNDERSCORES), value) for label, value in sample.labels.items()]
        key = series(escape_metric_name(sample.name, UNDERSCORES), labels, worker)
        value = sample.value if is_number(sample.value) else float(sample.value)
        yield key, value, _exemplar(sample.exemplar) if sample.exemplar else ""


def _exemplar(exemplar: Exemplar) -> str:
    labels = ",".join(f'{name}="{_escape(value)}"' for name, value in exemplar.labels.items())
    timestamp = "" if exemplar.timestamp is None else f" {exemplar.timestamp}"
    return f" # {{{labels}}} {number(exemplar.value)}{timestamp}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
