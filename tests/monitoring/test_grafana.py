"""What the other tests ask of Prometheus, asked of Grafana, where its image can be had."""

from collections.abc import Iterator

import httpx
import pytest

from monitoring.live import Prometheus, interpolate, panels, variables
from tests.monitoring.test_queries import DASHBOARDS, EMPTY_WHEN_HEALTHY, window
from tests.stack import Stack


@pytest.fixture(scope="module")
def grafana(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the stack's Grafana, as its administrator."""
    if not stack.compose("ps", "--quiet", "grafana", check=False).stdout.strip():
        pytest.skip("Grafana's image can be neither pulled nor built here")
    password = stack.compose("exec", "-T", "grafana", "cat", "/run/credentials/grafana_admin_password").stdout.strip()
    with httpx.Client(
        base_url=stack.operators_url("GRAFANA_PORT"), auth=("admin", password), timeout=30, trust_env=False
    ) as client:
        yield client


def test_the_data_source_is_healthy(grafana: httpx.Client) -> None:
    assert grafana.get("/api/datasources/uid/prometheus/health").json()["status"] == "OK"


def test_the_dashboards_are_there(grafana: httpx.Client) -> None:
    found = grafana.get("/api/search", params={"tag": "sightglass", "type": "dash-db"}).json()
    assert {board["uid"] for board in found} == {board["uid"] for board in DASHBOARDS.values()}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_is_answered(grafana: httpx.Client, prometheus: Prometheus, name: str) -> None:
    chosen = variables(prometheus, DASHBOARDS[name], window())
    for panel in panels(DASHBOARDS[name]):
        for target in panel["targets"]:
            expr = interpolate(target["expr"], window(), chosen)
            query = {
                "refId": "A",
                "datasource": {"uid": "prometheus"},
                "expr": expr,
                "range": True,
                "intervalMs": 10000,
            }
            answer = grafana.post("/api/ds/query", json={"queries": [query], "from": "now-10m", "to": "now"}).json()
            assert answer["results"]["A"]["status"] == 200, panel["title"]
            if (name, panel["title"], target["refId"]) not in EMPTY_WHEN_HEALTHY:
                assert answer["results"]["A"]["frames"], panel["title"]
