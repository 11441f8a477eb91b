"""Who hears of which alert, for the Prometheus operator: docker/alertmanager.yml, as far as its alerts are here."""

import re
from typing import Any

import yaml

from deploy import observed
from deploy.composed import ROOT
from deploy.leaves import Value
from deploy.workloads import API, NAME, Object

FILE = ROOT / "docker/alertmanager.yml"
_MATCHER = re.compile(r'(\w+) (=|!=|=~|!~) (?:"(.*)"|(.*))')
_TIMES = {"group_wait": "groupWait", "group_interval": "groupInterval", "repeat_interval": "repeatInterval"}
_WEBHOOKS = [{"urlSecret": {"name": "alertmanager", "key": "webhook"}, "sendResolved": True}]


def alertmanager_config() -> Object:
    """Give the routes, what silences what, and who is told.

    Raises:
        ValueError: the file has a matcher that cannot be read.

    """
    written = yaml.safe_load(FILE.read_text())
    heard = written["route"]
    receiver = heard["receiver"]
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": observed.metadata(NAME),
        "spec": {
            "route": {
                "receiver": receiver,
                # With alertmanagerConfigMatcherStrategy None the whole cluster's alerts come here.
                "matchers": [{"name": "alertname", "matchType": "=~", "value": "|".join(sorted(alerts()))}],
                "groupBy": heard["group_by"],
                **_times(heard),
                "routes": [
                    {"receiver": receiver, "matchers": _matchers(one["matchers"]), **_times(one)}
                    for one in heard["routes"]
                    if one["receiver"] == receiver  # the other one is for the Watchdog, the cluster's own
                ],
            },
            "inhibitRules": [
                {
                    "sourceMatch": _matchers(one["source_matchers"]),
                    "targetMatch": _matchers(one["target_matchers"]),
                    **({"equal": one["equal"]} if "equal" in one else {}),
                }
                for one in written["inhibit_rules"]
                if _is_here(one["source_matchers"])
            ],
            "receivers": [
                {
                    "name": receiver,
                    "webhookConfigs": Value("monitoring.alertmanager.webhooks", _WEBHOOKS),
                    "slackConfigs": Value("monitoring.alertmanager.slack", []),
                    "emailConfigs": Value("monitoring.alertmanager.emails", []),
                }
            ],
        },
    }


def _is_here(source: list[str]) -> bool:
    """Tell whether an alert that silences others is here, and about what is scraped here."""
    said = {one["name"]: one["value"] for one in _matchers(source)}
    return said["alertname"] in alerts() and said.get("job", API) in observed.SCRAPED


def alerts() -> set[str]:
    """Name the alerts that there are here."""
    groups = [group for name in observed.RULES for group in observed.groups(name)]
    return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}


def _times(route: Object) -> dict[str, str]:
    return {ours: route[theirs] for theirs, ours in _TIMES.items() if theirs in route}


def _matchers(written: list[str]) -> list[Any]:
    found = [_MATCHER.fullmatch(one) for one in written]
    if None in found:
        raise ValueError(f"{FILE.name}: {written}: expected NAME OPERATOR VALUE")
    return [{"name": one[1], "matchType": one[2], "value": one[3] or one[4]} for one in found if one]
