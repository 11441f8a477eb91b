"""Says where the services that run are reached: the end of `make up`. Standard library only."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts.commands import CommandError, checked, run
from scripts.running import named

EDGE = ("nginx", "8443")
CERTIFICATE = "certificate: self-signed unless TLS_CERT or ACME_EMAIL is set: curl -k"
SAME = "the same"
DOORS = (
    ("Prometheus", "operators", "9090", "user operator, password: make credentials"),
    ("Alertmanager", "operators", "9093", SAME),
    ("Grafana", "operators", "3000", "user {user}, password: make credentials"),
    ("VictoriaLogs", "telemetry-door", "9428", "user operator, as Prometheus"),
    ("Jaeger", "telemetry-door", "16686", SAME),
    ("MLflow", "mlflow-door", "5000", SAME),
)
"""What operators see: its name, the container that publishes its port, the port inside, and how to log in."""
UNPUBLISHED = "(no port of this machine)"
EVERY = ("0.0.0.0", "::")  # noqa: S104 - what is compared
NO_GRAFANA = "its image can be neither pulled nor built here; dashboards are in grafana/dashboards/"
END = """
    Settings are in .env; credentials are shown by: make credentials
    Logs: make logs    Containers: make ps    Stop, data kept: make down"""


def main() -> None:
    """Print a line for each."""
    published = ports(checked(*named("ps", "--format", "json")))
    services = {service for service, _ in published}
    edge = published.get(EDGE, UNPUBLISHED)
    print(f"\n    {'API':<14}https://{edge}/         ({CERTIFICATE})")
    print(f"    {'':<14}https://{edge}/docs")
    for name, door, port, login in DOORS:
        if name == "Grafana" and "grafana" not in services:
            print(f"    {name:<14}NOT RUNNING: {NO_GRAFANA}")
        elif door in services:
            user = administrator() if name == "Grafana" else ""
            address = published.get((door, port), UNPUBLISHED)
            print(f"    {name:<14}http://{address}/          ({login.format(user=user)})")
    print(END)


def ports(listed: str) -> dict[tuple[str, str], str]:
    """Return where ports are published, as ADDRESS:PORT, by service and port inside; "" for a service without any.

    Args:
        listed: what Compose says of the containers that run: an object a line, or, before 2.21, a list of them.

    """
    found: dict[tuple[str, str], str] = {}
    for line in listed.splitlines():
        told = json.loads(line)
        for container in told if isinstance(told, list) else [told]:
            service = str(container["Service"])
            found[service, ""] = ""
            for one in container.get("Publishers") or []:
                if one["PublishedPort"]:
                    host = one["URL"]
                    host = "localhost" if host in EVERY else f"[{host}]" if ":" in host else host
                    # IPv4's comes first where there are both.
                    found.setdefault((service, str(one["TargetPort"])), f"{host}:{one['PublishedPort']}")
    return found


def administrator() -> str:
    """Return the name of Grafana's administrator."""
    return run(*named("exec", "-T", "grafana", "printenv", "GF_SECURITY_ADMIN_USER")).stdout.strip()


if __name__ == "__main__":
    try:
        main()
    except CommandError as error:
        sys.exit(str(error))
