"""Which of Compose's profiles `make up` starts: the monitoring, and those that the settings ask for.

What the profiles acme, backup and mlflow have comes with the monitoring by itself, where their variables are set.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

NAMED_BY = {"QUEUE_URL": "valkey", "DATABASE_URL": "postgres"}
"""Variables that hold an address, and the profile whose one server has the profile's name."""
VARIABLES = ("COMPOSE_PROFILES", "TELEMETRY", *NAMED_BY)
"""What is looked at."""


def chosen(given: Mapping[str, str]) -> tuple[str, ...]:
    """Return the profiles, each once; Compose by itself would take COMPOSE_PROFILES alone, and no other beside.

    Args:
        given: those of VARIABLES that are set.

    """
    profiles = ["monitoring"]
    if given.get("TELEMETRY") == "true":
        profiles.append("telemetry")
    profiles += [profile for name, profile in NAMED_BY.items() if host(given.get(name, "")) == profile]
    profiles += [name for part in given.get("COMPOSE_PROFILES", "").split(",") if (name := part.strip())]
    return tuple(dict.fromkeys(profiles))


def host(address: str) -> str | None:
    """Return the host of an address; none where it is no address, which its reader refuses."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
