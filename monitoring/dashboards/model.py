"""The model of the privacy service and what it finds."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.alerts import QUALITY_TOLERANCE
from monitoring.panels import (
    BAD,
    GOOD,
    NEUTRAL,
    SOON,
    WARN,
    Query,
    Row,
    board,
    choice,
    lines,
    named,
    number,
    quantiles,
    rows,
    states,
)
from monitoring.slo import Objectives

OURS = 'job=~"$job",instance=~"$instance"'


def build(_objectives: Objectives) -> Dashboard:
    """Return the dashboard."""
    model = Row(
        "Model",
        (
            states(
                "Ready",
                "Whether each process's model is loaded and warmed up.",
                Query(f"max by (container, worker) ({named(f'model_ready{{{OURS}}}')})", "{{container}} {{worker}}"),
                names={"0": "not ready", "1": "ready"},
                w=8,
            ),
            lines(
                "Texts",
                "Texts and documents the model finished, failed on, or had no room for, per second.",
                "short",
                Query(f"sum(rate(model_predictions_total{{{OURS}}}[$__rate_interval]))", "finished"),
                Query(f"sum(rate(model_errors_total{{{OURS}}}[$__rate_interval]))", "failed"),
                Query(f"sum(rate(model_rejections_total{{{OURS}}}[$__rate_interval]))", "no room"),
                colours={"finished": GOOD, "failed": BAD, "no room": WARN},
            ),
            lines(
                "Inference duration",
                "Time in the model for one text of /api/v1/predict, without waiting for it; documents are not in it.",
                "s",
                *quantiles("model_inference_duration_seconds", OURS),
                interval="5m",
                empty=SOON,
            ),
        ),
    )
    load = Row(
        "Load",
        (
            *(
                lines(
                    f"{kind.title()} in the model",
                    f"The fullest process's share of {setting}; above 1 several clients share it, and at 2 it is full.",
                    "percentunit",
                    Query(
                        f"max by (container) ({named(f'{taken} / {places}')})",
                        "{{container}}",
                    ),
                    limits=((None, "transparent"), (1, WARN), (2, BAD)),
                    w=12,
                )
                for kind, setting in (("texts", "INFERENCE_CONCURRENCY"), ("documents", "DOCUMENT_CONCURRENCY"))
                for taken, places in [
                    tuple(f'sightglass_model_{name}{{{OURS},kind="{kind}"}}' for name in ("places_taken", "places"))
                ]
            ),
        ),
    )
    privacy = Row(
        "Privacy",
        (
            number(
                "Findings in this time range",
                "Personal data found, of all types.",
                "locale",
                f"sum(increase(pii_detected_total{{{OURS}}}[$__range]))",
                steps=((None, GOOD),),
                decimals=0,
                empty="None yet",
                w=4,
                h=9,
            ),
            lines(
                "Findings by type",
                "Per second.",
                "short",
                Query(
                    f"sum by (entity_type) (rate(pii_detected_total{{{OURS}}}[$__rate_interval]))", "{{entity_type}}"
                ),
                stacked=True,
                w=12,
            ),
            rows(
                "Findings by type in this time range",
                "Most found first.",
                Query(f"round(sum by (entity_type) (increase(pii_detected_total{{{OURS}}}[$__range])))", "Findings"),
                columns={"entity_type": "Type"},
                sort="Findings",
                empty="None yet",
                w=8,
            ),
        ),
    )
    quality = Row(
        "Quality",
        (
            rows(
                "Quality by type",
                "On the labelled texts that `make evaluate` was given last. A finding is right with its type and both"
                " ends; accuracy is the share of texts with nothing missed and nothing else found.",
                *(
                    Query(f'max by (entity_type) (model_quality{{metric="{name}"}})', name, unit="percentunit")
                    for name in ("precision", "recall", "f1", "accuracy")
                ),
                Query(
                    'max by (entity_type) (model_quality{metric="f1"})'
                    ' - max by (entity_type) (model_quality_replaced{metric="f1"})',
                    "f1, beside the model before",
                    unit="percentunit",
                    steps=((None, BAD), (-QUALITY_TOLERANCE, GOOD)),
                ),
                columns={"entity_type": "Type"},
                w=16,
                empty="Not measured yet: make evaluate",
            ),
            number(
                "Measured",
                "Since the last evaluation.",
                "s",
                "time() - max(model_evaluated_timestamp_seconds)",
                steps=((None, NEUTRAL),),
                empty="Never",
                w=4,
                h=9,
            ),
            number(
                "Labelled texts",
                "What the last evaluation was made on.",
                "locale",
                "max(model_data_rows)",
                steps=((None, NEUTRAL),),
                empty="None",
                w=4,
                h=9,
            ),
        ),
    )
    return board(
        "model",
        "Model and privacy",
        "The model of the privacy service and what it finds.",
        (model, load, privacy, quality),
        (
            choice("job", "Job", "label_values(model_ready, job)"),
            choice("instance", "Instance", 'label_values(model_ready{job=~"$job"}, instance)'),
        ),
    )
