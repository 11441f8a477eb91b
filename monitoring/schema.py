"""Dashboards as the Grafana that is run here reads them, where the SDK writes something else."""

import json
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder


def written(dashboard: Dashboard) -> dict[str, Any]:
    """Return the dashboard as JSON, by Grafana's schema."""
    board: dict[str, Any] = json.loads(json.dumps(dashboard.build(), cls=JSONEncoder))
    for variable in board["templating"]["list"]:
        for unknown in ("auto", "auto_min", "auto_count"):  # an interval variable's
            variable.pop(unknown, None)
    for shown in (*board["links"], *board["annotations"]["list"]):
        shown.pop("placement", None)  # anywhere but above the panels, and links go there unseen
    for annotation in board["annotations"]["list"]:
        annotation["target"] = {
            "refId": "Anno",
            "datasource": annotation["datasource"],
            "expr": annotation.pop("expr"),
            "range": True,
        }
        annotation.pop("step", None)
    for row in board["panels"]:
        for panel in (row, *(row.get("panels") or ())):
            if panel["type"] == "table":
                panel["options"].pop("footer", None)  # a field's setting by now
    return board
