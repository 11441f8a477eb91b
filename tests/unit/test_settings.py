"""A wrong value is one line that names the variable, the value and what is allowed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.settings import Settings, SettingsError, load_settings

WRONG = {
    "APP": "no-colon",
    "APP_NAME": "no spaces",
    "ENVIRONMENT": "prod",
    "LOG_LEVEL": "LOUD",
    "LOG_FORMAT": "xml",
    "WEB_CONCURRENCY": "0",
    "GUNICORN_TIMEOUT": "1",
    "PORT": "65536",
    "METRICS_PORT": "x",
    "MAX_REQUEST_SIZE_BYTES": "300MB",
    "TRACING_ENABLED": "perhaps",
}


@pytest.fixture(autouse=True)
def fresh() -> None:
    load_settings.cache_clear()


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_a_wrong_value_is_named_with_what_is_allowed(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    expected = Settings.model_fields[name.lower()].description
    assert str(error.value) == f"{name}={value}: not allowed; expected {expected}"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).filter(lambda s: s.strip() != ""))
def test_a_refusal_is_one_line_whatever_the_value(value: str) -> None:
    load_settings.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOG_FORMAT", value + "\n{}")
        with pytest.raises(SettingsError) as error:
            load_settings()
    assert len(str(error.value).splitlines()) == 1


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WRONG:
        monkeypatch.setenv(name, "")
    assert load_settings() == Settings()


def test_the_entry_point_exits_with_the_line_and_status_2() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from api.settings import load_settings_or_exit as load; load()"],
        env=os.environ | {"WEB_CONCURRENCY": "many", "LOG_FORMAT": "xml"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert sorted(line.split("=")[0] for line in result.stderr.splitlines()) == ["LOG_FORMAT", "WEB_CONCURRENCY"]


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("noted", "told", "expected"),
    [
        (f"{COMMIT}\n", {}, ("0123456", COMMIT)),
        (f"{COMMIT}\n", {"APP_VERSION": "", "APP_REVISION": ""}, ("0123456", COMMIT)),
        (f"{COMMIT}\n", {"APP_VERSION": "v1.2", "APP_REVISION": "abc"}, ("v1.2", "abc")),
        (f"{COMMIT}\n", {"APP_VERSION": "v1.2"}, ("v1.2", COMMIT)),
        ("\n", {}, ("0.0.0+unknown", "unknown")),
        (None, {}, ("0.0.0+unknown", "unknown")),
    ],
)
def test_the_version_is_the_one_told_else_the_commit_of_the_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, noted: str | None, told: dict[str, str], expected: tuple[str, str]
) -> None:
    monkeypatch.setattr("api.settings.REVISION", tmp_path / "REVISION")
    if noted is not None:
        (tmp_path / "REVISION").write_text(noted)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.app_version, settings.app_revision) == expected
