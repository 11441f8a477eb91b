"""`.env.template`, the Compose files and what reads the variables tell one story."""

import re
from dataclasses import fields
from pathlib import Path

import yaml

from api.settings import Settings
from scripts import judging
from sightglass.environment import PREFIX
from sightglass.server.settings import ServerSettings
from tests.support.compose import included

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATE = dict(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=(.*)$", (ROOT / ".env.template").read_text(), re.MULTILINE))
PRODUCTION = (ROOT / "docker-compose.prod.yml").read_text()
INCLUDED = included()
FORMER = ROOT / "docker/upgrade.yml"  # reads names that are no longer ours
COMPOSE_FILES = [PRODUCTION, *(path.read_text() for path in INCLUDED if path != FORMER)]
DEVELOPMENT = (ROOT / "docker-compose.dev.yml").read_text()
SERVICES = {name: s for text in COMPOSE_FILES for name, s in yaml.safe_load(text).get("services", {}).items()}

# Where each default is defined: in the Compose file, in the settings, or in NGINX's start script.
INTERPOLATED: dict[str, set[str]] = {}
for name, default in re.findall(
    # One may stand in the default of another, which then has none of its own.
    r"\$\{([A-Z][A-Z0-9_]*)(?::-([^${}]*)(?=\}|.?.?\$\{)|:\+[^}]*\}|\})",
    "".join(COMPOSE_FILES) + DEVELOPMENT,
):
    INTERPOLATED.setdefault(name, set()).add(default)
PASSED_ON = {n for s in SERVICES.values() for n, value in s.get("environment", {}).items() if value is None}
FIELDS = {field.name.upper(): field for kind in (ServerSettings, Settings) for field in fields(kind)}
SETTINGS = {
    name: str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    for name, field in FIELDS.items()
    if field.default is not None
}
START = (ROOT / "docker/nginx/start.sh").read_text()
EDGE = dict(re.findall(r"^([A-Z_]+)=\$\{\1:-(.*)\}$", START, re.MULTILINE))

FOR_COMPOSE_ITSELF = {"COMPOSE_FILE", "COMPOSE_PROFILES"}
OF_COMPOSE_ITSELF = {"COMPOSE_PROJECT_NAME"}
FOR_DEPLOYS = {"DEPLOY_BEFORE", "DEPLOY_AFTER", "EVALUATE_DATA", "MLFLOW_TRACKING_URI", "DEPLOY_JUDGE_SECONDS"}
BUILD_ARGUMENTS = {"PYTHON_IMAGE", "API_PYTHON"}  # the others are set by make up, or the shell's own
SET_BY_THE_IMAGE = {
    "APP_FALLBACK_DIR",
    "APP_VERSION",
    "APP_REVISION",
    "HOST",  # for a server without a container
    "PORT",
    "METRICS_TOKEN",  # for an image alone: nobody gets to /metrics through the edge
    "SCRATCH_DIR",
    "METRICS_PORT",
    "FORWARDED_ALLOW_IPS",
    "FORWARDED_ALLOW_NAMES",
}
# The Compose file has an empty file or directory for "not given", a version that only it should name, or another
# default while developing.
SHOWN_EMPTY = {
    "ALERT_SECRETS_DIR",
    "API_CONTEXT",
    "BACKUP_SSH_DIR",
    "API_KEYS_FILE",
    "APP_DIR",
    "APP_ENV_FILE",
    "DATA_DIR",
    "GRAFANA_PASSWORD_FILE",
    "GRAFANA_PLUGINS_DIR",
    "MODELS_DIR",
    "LOG_FORMAT",
    "MLFLOW_DB_PASSWORD_FILE",
    "STATE_SECRETS_DIR",
    "TLS_CERT",
    "TLS_KEY",
} | {n for n in TEMPLATE if n.endswith("_IMAGE")}


def test_the_template_names_what_the_compose_file_reads() -> None:
    ours = set(TEMPLATE) - FOR_COMPOSE_ITSELF - FOR_DEPLOYS - BUILD_ARGUMENTS
    assert ours == (set(INTERPOLATED) | PASSED_ON) - OF_COMPOSE_ITSELF


def test_what_most_people_set_is_on_the_first_screen() -> None:
    screen = (ROOT / ".env.template").read_text().splitlines()[:50]
    assert sum(line.startswith("# ──") for line in screen) >= 2, "that section, and where the next begins"
    shown = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", "\n".join(screen), re.MULTILINE))
    assert {"APP", "APP_DIR", "API_IMAGE", "SERVER_NAME", "ACME_EMAIL", "TLS_CERT", "RATE_LIMIT", "TELEMETRY"} <= shown


def test_no_variable_is_explained_twice() -> None:
    names = re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.template").read_text(), re.MULTILINE)
    assert len(names) == len(set(names))


def test_the_template_shows_the_real_defaults() -> None:
    others = {"DEPLOY_JUDGE_SECONDS": str(judging.DEFAULT_SECONDS)}
    for name in set(TEMPLATE) - FOR_COMPOSE_ITSELF - SHOWN_EMPTY | {"API_IMAGE"}:
        told = (SETTINGS.get(name), EDGE.get(name), others.get(name))
        defaults = INTERPOLATED.get(name, set()) | {d for d in told if d is not None}
        assert {TEMPLATE[name]} - {""} == defaults - {""}, name


def test_the_edge_and_the_api_take_the_same_values() -> None:
    ranges = re.findall(r'^number ([A-Z_]+) "\$\1" (\d+) (\d+)$', START, re.MULTILINE)
    both = {name: {"ge": int(least), "le": int(most)} for name, least, most in ranges if name in SETTINGS}
    assert set(both) == set(SETTINGS) & set(EDGE)
    for name, limits in both.items():
        metadata = FIELDS[name].metadata
        assert {"ge": metadata["least"], "le": metadata["most"]} == limits


def test_containers_hold_the_processes_and_threads_that_may_be_asked_for() -> None:
    limits = {name: service["deploy"]["resources"]["limits"]["pids"] for name, service in SERVICES.items()}
    workers = FIELDS["WEB_CONCURRENCY"].metadata["most"]
    # anyio runs plain functions of the application in up to 40 threads; a few more are ours and the libraries'.
    assert limits["api"] >= workers * (40 + 15)
    most = re.search(r'^number NGINX_WORKERS "\$NGINX_WORKERS" 1 (\d+)$', START, re.MULTILINE)
    assert most is not None
    assert limits["nginx"] >= 4 * int(most[1])  # those of earlier reloads may still be finishing


def test_every_setting_reaches_the_api_and_the_edge() -> None:
    assert set(FIELDS) - SET_BY_THE_IMAGE <= {name.removeprefix(PREFIX) for name in SERVICES["api"]["environment"]}
    assert set(EDGE) <= set(SERVICES["nginx"]["environment"])


def test_the_compose_files_stay_readable() -> None:
    for text in (PRODUCTION, DEVELOPMENT):
        assert len(text.splitlines()) < 330
    profiles = {p for s in yaml.safe_load(PRODUCTION)["services"].values() for p in s.get("profiles", [])}
    assert profiles == {"monitoring", "${GRAFANA_PROFILE:-monitoring}"}  # any other is a file of its own


def test_every_service_of_every_file_is_hardened() -> None:
    files = [ROOT / "docker-compose.prod.yml", *(path for path in INCLUDED if path != FORMER), FORMER]
    for path in files:
        directory = INCLUDED.get(path, path.parent)
        for name, service in yaml.safe_load(path.read_text()).get("services", {}).items():
            extends = service["extends"]
            assert (directory / extends["file"]).resolve() == ROOT / "docker" / "hardened.yml", name
            unprobed = name in ("collector", "victoria-logs", "jaeger")  # their official images have no shell
            assert extends["service"] == ("unprobed" if unprobed else "hardened"), name
