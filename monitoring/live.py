"""Asks a Prometheus what Grafana would ask it for the panels and variables of a dashboard."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from monitoring.rules import SCRAPE_INTERVAL

Dashboard = dict[str, Any]
"""A dashboard as its JSON file holds it."""


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and (time, value) pairs in seconds since the epoch, oldest first."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Window:
    """The time range looked at, in seconds since the epoch, and the resolution."""

    start: float
    end: float
    step: int = SCRAPE_INTERVAL


class Prometheus:
    """The query API of one Prometheus.

    Raises:
        httpx.HTTPStatusError: it refused a query; the message holds its reason.

    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def instant(self, expr: str, time: float | None = None) -> list[Series]:
        """Return the series of ``expr`` at ``time``, now if not given."""
        found = self._ask("query", {"query": expr} | ({} if time is None else {"time": time}))
        if found["resultType"] == "scalar":
            return [Series({}, (_point(found["result"]),))]
        return [Series(one["metric"], (_point(one["value"]),)) for one in found["result"]]

    def range(self, expr: str, window: Window) -> list[Series]:
        """Return the series of ``expr`` over ``window``."""
        asked = {"query": expr, "start": window.start, "end": window.end, "step": window.step}
        found = self._ask("query_range", asked)
        return [Series(one["metric"], tuple(map(_point, one["values"]))) for one in found["result"]]

    def label_values(self, selector: str, label: str) -> list[str]:
        """Return the values of ``label`` among the series of ``selector``."""
        values: list[str] = self._ask(f"label/{label}/values", {"match[]": selector})
        return values

    def rule_groups(self) -> list[dict[str, Any]]:
        """Return the groups of rules with their last evaluations, as the API describes them."""
        groups: list[dict[str, Any]] = self._ask("rules", {})["groups"]
        return groups

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now; the series ALERTS outlives a restart of Prometheus."""
        rules = [rule for group in self.rule_groups() for rule in group["rules"]]
        return {rule["name"] for rule in rules if rule.get("state") == "firing"}

    def _ask(self, what: str, parameters: dict[str, Any]) -> Any:
        answer = self._http.get(f"/api/v1/{what}", params=parameters)
        if answer.is_error:
            raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)
        return answer.json()["data"]


def interpolate(expr: str, window: Window, variables: dict[str, str]) -> str:
    """Return ``expr`` as Grafana sends it; ``variables`` are those of the dashboard, as regular expressions."""
    values = variables | {
        "__interval": f"{window.step}s",
        # Grafana: at least four scrapes, so that a rate survives a missed one.
        "__rate_interval": f"{max(window.step + SCRAPE_INTERVAL, 4 * SCRAPE_INTERVAL)}s",
        "__range": f"{int(window.end - window.start)}s",
        "__range_s": f"{int(window.end - window.start)}",
    }
    return re.sub(r"\$([a-z_]\w*)", lambda name: values[name[1]], expr)


def variables(prometheus: Prometheus, dashboard: Dashboard, window: Window) -> dict[str, str]:
    """Return what the dashboard's query variables stand for when "All" is chosen, in the order they are defined."""
    chosen: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            offered = choices(prometheus, variable, window, chosen)
            chosen[variable["name"]] = variable.get("allValue") or "|".join(map(re.escape, offered))
    return chosen


def panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    """Yield every panel that asks something: no row's heading, no text."""
    for panel in dashboard["panels"]:
        if panel["type"] not in {"row", "text"}:
            yield panel
        yield from panel.get("panels") or ()


def ask(prometheus: Prometheus, target: dict[str, Any], window: Window, variables: dict[str, str]) -> list[Series]:
    """Return what a panel's ``target`` returns at the window's end if it is an instant query, else over the window."""
    expr = interpolate(target["expr"], window, variables)
    return prometheus.instant(expr, window.end) if target.get("instant") else prometheus.range(expr, window)


def choices(prometheus: Prometheus, variable: dict[str, Any], window: Window, chosen: dict[str, str]) -> list[str]:
    """Return the values a query variable offers, given those ``chosen`` of the variables before it.

    Raises:
        ValueError: its query is not ``label_values(selector, label)``.

    """
    parts = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
    if parts is None:
        raise ValueError(f"{variable['name']}: {variable['definition']} is not label_values(selector, label)")
    return prometheus.label_values(interpolate(parts[1], window, chosen), parts[2])


def _point(pair: list[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
