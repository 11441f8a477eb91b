"""FastAPI's own telemetry counts where somebody has set it up, and costs no request where nobody has."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.telemetry._asgi import NativeTelemetry as Native
from fastapi.testclient import TestClient
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.util._once import Once
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from api.settings import Settings
from sightglass import Health, instrument
from tests.support.waiting import eventually

PATH = "/things/1"


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the global providers that other tests have set, for as long as the test runs."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", None)
    monkeypatch.setattr(metrics._internal, "_METER_PROVIDER", None)
    monkeypatch.setattr(metrics._internal, "_METER_PROVIDER_SET_ONCE", Once())


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Native]:
    """Who was asked whether it is set up."""
    asked: list[Native] = []
    enabled = Native.enabled

    def counted(self: Native) -> bool:
        asked.append(self)
        return enabled(self)

    monkeypatch.setattr(Native, "enabled", counted)
    return asked


def make_app(reader: InMemoryMetricReader | None = None) -> FastAPI:
    app = FastAPI(telemetry={"meter_provider": MeterProvider([reader])} if reader else None)

    @app.get("/things/{thing}")
    async def read(thing: str) -> str:
        return thing

    return app


def served(app: ASGIApp) -> TestClient:
    return TestClient(instrument(app, settings=Settings(tracing_enabled=False), health=Health()))


def counted(reader: InMemoryMetricReader) -> int:
    """Return how many requests FastAPI has measured."""
    data: Any = reader.get_metrics_data()
    return sum(
        point.count
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "http.server.request.duration"
        for point in metric.data.data_points
    )


def by_itself(reader: InMemoryMetricReader) -> ASGIApp:
    return make_app(reader)


def mounted(reader: InMemoryMetricReader) -> ASGIApp:
    app = FastAPI()
    app.mount("/", make_app(reader))
    return app


def mounted_and_wrapped(reader: InMemoryMetricReader) -> ASGIApp:
    within = make_app(reader)

    async def wrapping(scope: Any, receive: Any, send: Any) -> None:
        await within(scope, receive, send)

    app = FastAPI()
    app.mount("/", Starlette(routes=[Mount("/", wrapping)]))
    return app


class _Unreadable:
    """An app whose routes are not to be had; a proxy of a request, which nothing is to be had of outside of one."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError


class _Strange:
    """An app with something else under the name of Starlette's routes."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self.within, self.proxy = make_app(reader), _Unreadable()

    def routes(self) -> None: ...

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.within(scope, receive, send)


def strange(reader: InMemoryMetricReader) -> ASGIApp:
    return _Strange(reader)


def strange_and_mounted(reader: InMemoryMetricReader) -> ASGIApp:
    app = FastAPI()
    app.mount("/", _Strange(reader))
    return app


def behind_a_closure(reader: InMemoryMetricReader) -> ASGIApp:
    within, proxy = make_app(reader), _Unreadable()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert type(proxy) is _Unreadable
        await within(scope, receive, send)

    return app


def mounted_in_a_dictionary(reader: InMemoryMetricReader) -> ASGIApp:
    apps = {"v1": make_app(reader)}

    async def dispatch(scope: Any, receive: Any, send: Any) -> None:
        await apps["v1"](scope, receive, send)

    app = FastAPI()
    app.mount("/", dispatch)
    return app


@pytest.mark.parametrize(
    "make",
    [
        by_itself,
        mounted,
        mounted_and_wrapped,
        strange,
        strange_and_mounted,
        behind_a_closure,
        mounted_in_a_dictionary,
    ],
)
def test_what_is_set_up_counts_each_request(make: Any) -> None:
    reader = InMemoryMetricReader()
    with served(make(reader)) as client:
        for _ in range(5):
            assert client.get(PATH).json() == "1"
    assert counted(reader) == 5


def test_no_request_is_looked_at_where_nothing_is(looks: list[Native]) -> None:
    with served(make_app()) as client:
        looks.clear()
        for _ in range(200):
            assert client.get(PATH).json() == "1"
        assert len(looks) < 100  # one a second


def test_what_is_set_up_later_is_noticed() -> None:
    reader = InMemoryMetricReader()
    with served(make_app()) as client:
        client.get(PATH)
        metrics.set_meter_provider(MeterProvider([reader]))

        def noticed() -> bool:
            client.get(PATH)
            return counted(reader) > 0

        eventually(noticed)
        before = counted(reader)
        for _ in range(5):
            client.get(PATH)
        assert counted(reader) == before + 5


def test_another_name_of_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    app = make_app(reader)
    kept = app._native_telemetry
    monkeypatch.setattr(app, "_native_telemetry", None)
    with served(app) as client:
        monkeypatch.setattr(app, "_native_telemetry", kept)
        client.get(PATH)
    assert counted(reader) == 1


def test_a_look_that_fails_leaves_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    app = make_app(reader)
    enabled = Native.enabled
    monkeypatch.setattr(Native, "enabled", lambda _: 1 / 0)
    with served(app) as client:
        monkeypatch.setattr(Native, "enabled", enabled)
        client.get(PATH)
    assert counted(reader) == 1


def test_what_is_mounted_later_counts() -> None:
    reader, app = InMemoryMetricReader(), FastAPI()
    with served(app) as client:
        app.mount("/", make_app(reader))
        client.get(PATH)
    assert counted(reader) == 1


def test_an_app_that_has_ended_is_as_it_was(looks: list[Native]) -> None:
    app = make_app()
    with served(app) as client:
        client.get(PATH)
    looks.clear()
    TestClient(app).get(PATH)
    assert len(looks) == 1
