"""gunicorn's configuration and what it is computed from."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config

from sightglass.environment import PREFIX, SettingsError
from sightglass.server import cpu_quota
from sightglass.server.settings import load_settings
from sightglass.server.worker_class import seconds_to_finish

pytestmark = pytest.mark.usefixtures("loggers")  # the configuration configures them


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def configuration(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    for name, value in environment.items():
        monkeypatch.setenv(PREFIX + name, value)
    load_settings.cache_clear()
    return runpy.run_module("sightglass.server.gunicorn_conf")


def test_gunicorn_takes_every_value(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config()
    for name, value in configuration(monkeypatch).items():
        if name in config.settings:
            config.set(name, value)
    assert config.worker_class_str == "sightglass.server.worker_class.UvicornWorker"
    assert config.address == [("0.0.0.0", 8000)]
    assert config.forwarded_allow_ips == ["127.0.0.1", "::1"]
    assert config.keepalive == 75
    assert config.preload_app is False
    assert config.control_socket_disable is True
    assert config.accesslog is None


@pytest.mark.parametrize("timeout", ["5", "6", "30", "60", "3600"])
def test_drain_fits_into_the_grace_and_the_grace_into_the_timeout(
    monkeypatch: pytest.MonkeyPatch, timeout: str
) -> None:
    found = configuration(monkeypatch, GUNICORN_TIMEOUT=timeout, API_STOP_GRACE="7200")
    assert found["graceful_timeout"] < found["timeout"] == int(timeout)
    for delay in (0, int(timeout) // 3):
        assert 0 < delay + seconds_to_finish(found["graceful_timeout"], delay) < found["graceful_timeout"]


@pytest.mark.parametrize(
    ("timeout", "grace"), [("3600", "90"), ("300", "30"), ("60", "7200"), ("60", "29"), ("60", "10"), ("60", "5")]
)
def test_drain_ends_before_docker_kills(monkeypatch: pytest.MonkeyPatch, timeout: str, grace: str) -> None:
    found = configuration(monkeypatch, GUNICORN_TIMEOUT=timeout, API_STOP_GRACE=grace)
    assert found["graceful_timeout"] < min(int(timeout), int(grace))
    # Requests under way have at least two fifths of the grace, or of the timeout where that is shorter.
    assert seconds_to_finish(found["graceful_timeout"], 0) >= min(int(timeout), int(grace)) * 2 // 5


def test_workers_follow_web_concurrency_else_the_environment_else_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightglass.server.cpu_quota.usable_cpus", lambda: 5)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    assert configuration(monkeypatch)["workers"] == 5
    assert configuration(monkeypatch, ENVIRONMENT="development")["workers"] == 1
    assert configuration(monkeypatch, WEB_CONCURRENCY="3")["workers"] == 3


def test_reload_is_for_development_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configuration(monkeypatch, ENVIRONMENT="development")["reload"] is True
    assert configuration(monkeypatch, ENVIRONMENT="staging")["reload"] is False


def test_recycling_is_off_unless_asked_for_and_then_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configuration(monkeypatch)["max_requests"] == 0
    found = configuration(monkeypatch, GUNICORN_MAX_REQUESTS="1000")
    assert (found["max_requests"], found["max_requests_jitter"]) == (1000, 100)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHUTDOWN_DELAY", "21"),
        ("SHUTDOWN_DELAY", "-1"),
        ("FORWARDED_ALLOW_IPS", "proxy"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1/8"),
        ("FORWARDED_ALLOW_IPS", "*,10.0.0.1"),
        ("FORWARDED_ALLOW_NAMES", "nginx app"),
        ("FORWARDED_ALLOW_NAMES", "nginx,"),
        ("FORWARDED_ALLOW_NAMES", "*"),
        ("FORWARDED_ALLOW_NAMES", "http://nginx"),
        ("FORWARDED_ALLOW_NAMES", "10.0.0.0/8"),
        ("GUNICORN_MAX_REQUESTS", "many"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://collector:4317"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "abc"),
        ("OTEL_BSP_SCHEDULE_DELAY", "10000000000000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10000000000000000000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "-1"),
    ],
)
def test_wrong_value_is_refused_with_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name}={value}: not allowed; expected ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["*", "10.0.0.0/8", "10.0.0.1, fd00::/8"])
def test_proxies_may_be_addresses_networks_or_all(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(PREFIX + "FORWARDED_ALLOW_IPS", value)
    assert load_settings().forwarded_allow_ips == value.replace(" ", "")


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2.0),
        ("0::/host/only\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("0::/../x\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("0::/\n", {}, None),
        ("", {}, None),
    ],
)
def test_quota_is_the_lowest_up_to_the_root(
    tmp_path: Path, membership: str, files: dict[str, str], quota: float | None
) -> None:
    _write(tmp_path, {f"cgroup/{name}": text for name, text in files.items()} | {"membership": membership})
    assert cpu_quota.cpu_quota(tmp_path / "cgroup", tmp_path / "membership") == quota


@pytest.mark.parametrize(
    ("text", "cpus"), [("max 100000", 4), ("50000 100000", 1), ("150000 100000", 2), ("1600000 100000", 4)]
)
def test_cpus_are_the_quota_rounded_up_within_the_affinity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cpus: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    _write(tmp_path, {"cgroup/cpu.max": text, "membership": "0::/\n"})
    assert cpu_quota.usable_cpus(tmp_path / "cgroup", tmp_path / "membership") == cpus
