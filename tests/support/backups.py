"""What tests of backups ask of a stack."""

import re
from datetime import UTC, datetime, timedelta

import httpx

from tests.stack import Stack


def password(stack: Stack) -> str:
    """Return the backups' password, as `make credentials` shows it."""
    shown = stack.run("make", "credentials")
    match = re.search(r"^Backups: (\w+) ", shown.stdout, re.MULTILINE)
    assert match is not None, shown.stdout + shown.stderr
    return match[1]


def silence(stack: Stack, alert: str) -> None:
    """Silence an alert for a day."""
    now = datetime.now(UTC)
    matcher = {"name": "alertname", "value": alert, "isRegex": False, "isEqual": True}
    wanted = {
        "matchers": [matcher], "startsAt": now.isoformat(), "endsAt": (now + timedelta(days=1)).isoformat(),
        "createdBy": "tests", "comment": "tests",
    }  # fmt: skip
    httpx.post(f"{stack.alertmanager_url}/api/v2/silences", json=wanted).raise_for_status()


def silences(stack: Stack) -> set[str]:
    """Return which alerts are silenced now."""
    found = httpx.get(f"{stack.alertmanager_url}/api/v2/silences").raise_for_status().json()
    return {one["matchers"][0]["value"] for one in found if one["status"]["state"] == "active"}
