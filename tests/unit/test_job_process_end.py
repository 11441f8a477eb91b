"""The end of a job process: what it has counted last can be scraped before it is gone."""

import time
from typing import Any

import pytest

from api.privacy.jobs import process
from api.settings import Settings
from sightglass.metrics import exporter
from tests.support.sleeping import sleep_here


@pytest.mark.parametrize("seconds", [0, 7, 20])
def test_metrics_are_told_for_a_while_after_the_work_has_ended(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    done: list[Any] = []

    class Supervisor:
        def __init__(self, _: Any) -> None:
            pass

        def supervise(self) -> None:
            done.append("worked")

    monkeypatch.setattr(process, "load_settings_or_exit", lambda: Settings(jobs_last_scrape=seconds))
    monkeypatch.setattr(process, "Supervisor", Supervisor)
    monkeypatch.setattr(process, "configure_logging", lambda _: None)
    monkeypatch.setattr(exporter, "start", lambda *_, **__: done.append("told"))
    monkeypatch.setattr(exporter, "stop", lambda: done.append("silent"))
    monkeypatch.setattr(time, "sleep", sleep_here(done.append))
    process.main()
    assert done == ["told", "worked", seconds, "silent"]
