"""What was measured last, for Prometheus: every process tells the same, read at each scrape."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.privacy.quality import record


class Quality(Collector):
    """The kept evaluation; nothing at all where there is none."""

    def __init__(self) -> None:
        self.runs_dir: Path | None = None

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names only: registering reads nothing."""
        labels = ("metric", "entity_type")
        yield GaugeMetricFamily("model_quality", "Precision, recall, f1 and accuracy, by entity type.", labels=labels)
        text = "The same of the model before, on the same labelled texts."
        yield GaugeMetricFamily("model_quality_replaced", text, labels=labels)
        yield GaugeMetricFamily("model_evaluated_timestamp_seconds", "When the model was evaluated, since the epoch.")
        yield GaugeMetricFamily("model_data_rows", "Labelled texts it was evaluated on.")
        yield GaugeMetricFamily("model_data_new_rows", "Those of them that the evaluation before had not.")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read what is kept."""
        kept = record.read(self.runs_dir) if self.runs_dir else None
        if kept is None:
            return
        quality, replaced, at, rows, new = self.describe()
        for family, evaluation in ((quality, kept.current), (replaced, kept.replaced)):
            for kind, figures in evaluation.figures.items() if evaluation else ():
                for name, value in figures.items():
                    family.add_metric([name, kind], value)
        at.add_metric([], kept.current.at)
        rows.add_metric([], len(kept.current.rows))
        new.add_metric([], kept.current.new_rows)
        yield from (family for family in (quality, replaced, at, rows, new) if family.samples)


_QUALITY = Quality()
REGISTRY.register(_QUALITY)


def tell_quality(runs_dir: Path) -> None:
    """Have the metrics tell what is kept there."""
    _QUALITY.runs_dir = runs_dir
