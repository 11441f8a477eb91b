"""One module a dashboard, each with a function ``build`` of the objectives."""

import json
from collections.abc import Callable

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards import api, edge, jobs, model, monitoring, overview, runbook, telemetry, workers
from monitoring.groups import GROUPS, PANELS
from monitoring.slo import Objectives


def _overview(objectives: Objectives) -> Dashboard:
    """Return the Overview, which knows where the panels of the others are."""
    dashboards = {alert.name: alert.dashboard for group in GROUPS.values() for alert in group}
    ids = {name: _ids(build(objectives)) for name, build in BUILDERS.items() if name != "overview"}
    ids["overview"] = _ids(overview.build(objectives, {}, {}))

    def at(board: str, title: str) -> str:
        return f"{board}?viewPanel=panel-{ids[board][title]}"

    shown = {alert: at(dashboards.get(alert, "overview"), title) for alert, title in PANELS.items()}
    return overview.build(objectives, shown, {alert: at("runbook", alert) for alert in PANELS})


def _ids(dashboard: Dashboard) -> dict[str, int]:
    """Return the panels' ids by title."""
    built = json.loads(json.dumps(dashboard.build(), cls=JSONEncoder))
    rows = [panel for row in built["panels"] for panel in (row, *(row.get("panels") or ()))]
    return {panel["title"]: panel["id"] for panel in rows if panel["type"] != "row"}


BUILDERS: dict[str, Callable[[Objectives], Dashboard]] = {
    "overview": _overview,
    "edge": edge.build,
    "api": api.build,
    "workers": workers.build,
    "model": model.build,
    "jobs": jobs.build,
    "monitoring": monitoring.build,
    "runbook": runbook.build,
    "telemetry": telemetry.build,
}
"""By file name, which is also the end of the dashboard's uid."""

OF_THE_SERVICE = ("model", "jobs")
"""What only the shipped service has."""
