"""All alerts on causes, those of the profile telemetry included, and where each is shown."""

from monitoring import telemetry
from monitoring.alerts import CAUSES, SHOWN_ON, Alert

GROUPS: dict[str, tuple[Alert, ...]] = CAUSES | {"telemetry": telemetry.TELEMETRY}
"""By group of rules."""

PANELS = SHOWN_ON | telemetry.SHOWN_ON
"""The panel that shows what an alert is about, on the alert's dashboard."""
