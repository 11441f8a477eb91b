"""One module a dashboard, each with a function ``build`` of the objectives."""

from collections.abc import Callable

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards import api, edge, jobs, model, monitoring, overview, workers
from monitoring.slo import Objectives

BUILDERS: dict[str, Callable[[Objectives], Dashboard]] = {
    "overview": overview.build,
    "edge": edge.build,
    "api": api.build,
    "workers": workers.build,
    "model": model.build,
    "jobs": jobs.build,
    "monitoring": monitoring.build,
}
"""By file name, which is also the end of the dashboard's uid."""

OF_THE_SERVICE = ("model", "jobs")
"""What only the shipped service has."""
