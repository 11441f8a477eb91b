"""A wrong value is one line that names the variable, the value and what is allowed."""

import logging
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightglass.environment import PREFIX, SettingsError, read_settings
from sightglass.server.settings import ServerSettings as Settings
from sightglass.server.settings import load_settings
from sightglass.settings import built_revision

WRONG = {
    "APP": "no-colon",
    "APP_NAME": "no spaces",
    "ENVIRONMENT": "prod",
    "LOG_LEVEL": "LOUD",
    "LOG_FORMAT": "xml",
    "WEB_CONCURRENCY": "0",
    "GUNICORN_TIMEOUT": "1",
    "HOST": "localhost",
    "PORT": "65536",
    "METRICS_PORT": "x",
    "FORWARDED_ALLOW_IPS": "nginx",
    "FORWARDED_ALLOW_NAMES": "nginx:8080",
    "TRACING_ENABLED": "perhaps",
}


@pytest.fixture(autouse=True)
def fresh() -> None:
    load_settings.cache_clear()


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_a_wrong_value_is_named_with_what_is_allowed(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    expected = next(field.metadata["expected"] for field in fields(Settings) if field.name == name.lower())
    assert str(error.value) == f"{name}={value}: not allowed; expected {expected}"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).filter(lambda s: s.strip() != ""))
def test_a_refusal_is_one_line_whatever_the_value(value: str) -> None:
    load_settings.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PREFIX + "LOG_FORMAT", value + "\n{}")
        with pytest.raises(SettingsError) as error:
            load_settings()
    assert len(str(error.value).splitlines()) == 1


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WRONG:
        monkeypatch.setenv(PREFIX + name, "")
    assert load_settings() == Settings()


def test_the_entry_point_exits_with_the_line_and_status_2() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from sightglass.server.settings import load_settings_or_exit as load; load()"],
        env=os.environ | {PREFIX + "WEB_CONCURRENCY": "many", PREFIX + "LOG_FORMAT": "xml"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert sorted(line.split("=")[0] for line in result.stderr.splitlines()) == ["LOG_FORMAT", "WEB_CONCURRENCY"]


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(("noted", "expected"), [(f"{COMMIT}\n", COMMIT), ("\n", ""), ("", ""), (None, "")])
def test_the_commit_of_the_build_is_read_where_it_is_noted(tmp_path: Path, noted: str | None, expected: str) -> None:
    if noted is not None:
        (tmp_path / "REVISION").write_text(noted)
    assert built_revision(tmp_path / "REVISION") == expected


def test_outside_an_image_the_version_is_unknown() -> None:
    assert (Settings().app_version, Settings().app_revision) == ("0.0.0+unknown", "unknown")


@pytest.mark.parametrize(
    ("environment", "level", "expected"),
    [
        ("development", "", "DEBUG"),
        ("development", "WARNING", "WARNING"),
        ("development", "info", "INFO"),
        ("staging", "", "INFO"),
        ("production", "", "INFO"),
        ("production", "DEBUG", "DEBUG"),
        ("", "", "INFO"),
    ],
)
def test_development_is_told_everything(environment: str, level: str, expected: str) -> None:
    given = {"SIGHTGLASS_ENVIRONMENT": environment, "SIGHTGLASS_LOG_LEVEL": level}
    assert logging.getLevelName(read_settings(Settings, given).log_threshold) == expected
