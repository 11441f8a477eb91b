"""Prometheus recording and alerting rules, as data.

Names of recorded series follow ``level:metric:operation``.
"""

from typing import Any

from monitoring.alerts import LINES, Alert
from monitoring.groups import GROUPS
from monitoring.slo import BURNS, Burn, Objectives

BASE_INTERVAL = 30
"""Seconds between two samples of slo:requests:rate5m and slo:errors:rate5m; sums of them are weighted by it."""

SCRAPE_INTERVAL = 10
"""Seconds, of every job of docker/prometheus.yml; a test holds both equal."""


def record(name: str, expr: str, **labels: str) -> dict[str, Any]:
    """Return one recording rule."""
    return {"record": name, "expr": expr} | ({"labels": labels} if labels else {})


def slo_rules(objectives: Objectives) -> dict[str, Any]:
    """Return recording rules and burn-rate alerts of the objectives."""
    base = [
        rule
        for slo in objectives.slos
        for rule in (
            record("slo:error_budget:ratio", f"vector({slo.budget})", slo=slo.name),
            record("slo:requests:rate5m", slo.requests, slo=slo.name),
            record("slo:errors:rate5m", slo.errors, slo=slo.name),
        )
    ]
    windows = dict.fromkeys(window for burn in BURNS for window in (burn.short, burn.long))
    ratios = [record(f"slo:sli_error:ratio_rate{window}", _ratio(window)) for window in windows]
    days = f"{objectives.window_days}d"
    budget = [
        record(f"slo:sli_error:ratio_rate{days}", _ratio(days)),
        record(
            "slo:error_budget_remaining:ratio",
            f"1 - slo:sli_error:ratio_rate{days} / on (slo) group_left () slo:error_budget:ratio",
        ),
    ]
    burns = [
        Alert(
            name="ErrorBudgetBurn",
            expr=(
                f"{_over(burn, burn.long)}\n"
                f"and on (slo) {_over(burn, burn.short)}\n"
                f"and on (slo) sum_over_time(slo:errors:rate5m[{burn.long}]) * {BASE_INTERVAL}"
                f" >= {objectives.minimum_errors}\n"
            ),
            hold=burn.hold,
            keep="5m" if burn.severity == "page" else "",
            severity=burn.severity,
            labels=(("window", burn.long),),
            dashboard="overview",
            summary=f"The {{{{ $labels.slo }}}} objective's error budget burns at least {burn.factor:g} times too fast",
            description="{{ $value | humanizePercentage }} of the requests of the last "
            f"{burn.long} were bad for the {{{{ $labels.slo }}}} objective; at this rate the "
            f"{objectives.window_days} day budget is gone in {_exhausted(objectives.window_days, burn.factor)}.",
        ).rule(LINES["slo"])
        for burn in BURNS
    ]
    return {
        "groups": [
            {"name": "slo", "interval": f"{BASE_INTERVAL}s", "rules": [*base, *ratios, *burns]},
            {"name": "slo-budget", "interval": f"{BASE_INTERVAL}s", "rules": budget},
        ]
    }


def cause_rules() -> dict[str, Any]:
    """Alerts on causes, few, each with something to do."""
    return {
        "groups": [
            {"name": name, "rules": [alert.rule(LINES[name]) for alert in group]} for name, group in GROUPS.items()
        ]
    }


def _ratio(window: str) -> str:
    if window == "5m":
        return "slo:errors:rate5m / (slo:requests:rate5m > 0)"
    # Sums of requests, not a mean of ratios: an hour at night weighs what its traffic weighs. No traffic, no ratio.
    return f"sum_over_time(slo:errors:rate5m[{window}]) / (sum_over_time(slo:requests:rate5m[{window}]) > 0)"


def _over(burn: Burn, window: str) -> str:
    return f"slo:sli_error:ratio_rate{window} > on (slo) {burn.factor:g} * slo:error_budget:ratio"


def _exhausted(days: int, factor: float) -> str:
    hours = days * 24 / factor
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"
