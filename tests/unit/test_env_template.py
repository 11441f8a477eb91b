"""`.env.template`, the Compose files and the settings tell one story."""

import re
from pathlib import Path

from api.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATE = dict(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=(.*)$", (ROOT / ".env.template").read_text(), re.MULTILINE))
COMPOSE = "".join((ROOT / name).read_text() for name in ("docker-compose.prod.yml", "docker-compose.dev.yml"))
DEFAULTS: dict[str, set[str]] = {}
for name, default in re.findall(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}", COMPOSE):
    DEFAULTS.setdefault(name, set()).add(default)

FOR_COMPOSE_ITSELF = {"COMPOSE_FILE"}
# Built from or named by the Dockerfile, so that the template does not repeat a version.
NO_DEFAULT_SHOWN = {"PYTHON_IMAGE", *(name for name in DEFAULTS if name.endswith("_IMAGE") and name != "API_IMAGE")}
BY_THE_IMAGE = {"APP_VERSION", "APP_REVISION", "PORT", "METRICS_PORT", "FORWARDED_ALLOW_IPS"}


def test_the_template_names_what_the_compose_files_read() -> None:
    build_arguments = {"PYTHON_IMAGE"}
    assert set(TEMPLATE) - FOR_COMPOSE_ITSELF == set(DEFAULTS) | build_arguments


def test_the_template_shows_the_real_defaults() -> None:
    settings = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    for name, shown in TEMPLATE.items():
        if name in FOR_COMPOSE_ITSELF | NO_DEFAULT_SHOWN:
            continue
        effective = {default for default in DEFAULTS[name] if default}
        if not effective and settings.get(name) is not None:
            value = settings[name]
            effective = {str(value).lower() if isinstance(value, bool) else str(value)}
        if name in ("APP_DIR", "MODELS_DIR", "TLS_CERT", "TLS_KEY", "PIP_CONFIG_FILE", "LOG_FORMAT"):
            continue  # a volume's name or an empty file stands for "not given"; text while developing
        assert {shown} - {""} == effective, name


def test_the_api_is_told_every_setting() -> None:
    told = set(re.findall(r"^      ([A-Z][A-Z0-9_]*):", COMPOSE, re.MULTILINE))
    assert {name.upper() for name in Settings.model_fields} - BY_THE_IMAGE <= told
