"""From an alert to the line that says why, and from there to the trace: each link is followed, three clicks at most."""

import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest
import yaml

from tests.stack import ROOT, eventually
from tests.telemetry.stores import Telemetry

pytestmark = pytest.mark.timeout(3600)  # the first to use the stack waits for its images' builds

RULES = [
    rule
    for path in sorted((ROOT / "docker/prometheus/rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


def own_query(rule: dict[str, Any]) -> str:
    """Return what VictoriaLogs is asked by an alert's link to its own page."""
    (found,) = re.findall(r"/select/vmui/#/\?query=([^&]*)&", rule["annotations"]["logs_url"])
    return unquote(found)


QUERIES = sorted({own_query(rule) for rule in RULES})


@pytest.mark.parametrize("rule", [pytest.param(r, id=f"{r['alert']} {r['labels']['severity']}") for r in RULES])
def test_both_links_of_an_alert_ask_the_same(rule: dict[str, Any]) -> None:
    (panes,) = re.findall(r"/explore\?schemaVersion=1&panes=([^{]*)\{\{", rule["annotations"]["logs_url"])
    pane = yaml.safe_load(unquote(panes))["logs"]
    (query,) = pane["queries"]
    assert query["expr"] == own_query(rule)
    (source,) = (
        source
        for source in yaml.safe_load((ROOT / "grafana/telemetry/true/datasources/telemetry.yml").read_text())[
            "datasources"
        ]
        if source["name"] == "VictoriaLogs"
    )
    assert query["datasource"] == {"type": source["type"], "uid": source["uid"]}
    assert pane["datasource"] == source["uid"]


@pytest.mark.parametrize("query", QUERIES)
def test_what_an_alert_asks_for_is_a_query(telemetry: Telemetry, query: str) -> None:
    telemetry.lines(f"{query} | limit 1")


@pytest.fixture(scope="module")
def request_id(telemetry: Telemetry) -> str:
    """A request through the edge."""
    with telemetry.client() as client:
        answer = client.post("/api/v1/predict", json={"text": "Write to ada@example.org"})
    assert answer.status_code == 200
    request: str = answer.headers["X-Request-ID"]
    return request


def test_from_an_alert_to_the_line_and_from_the_line_to_the_trace(telemetry: Telemetry, request_id: str) -> None:
    def alerts() -> list[dict[str, Any]]:
        command = ("wget", "-q", "-O", "-", "http://127.0.0.1:9090/api/v1/alerts")
        found = yaml.safe_load(telemetry.compose("exec", "-T", "prometheus", *command).stdout)["data"]["alerts"]
        return [alert for alert in found if alert["labels"]["alertname"] == "Watchdog"]

    eventually(alerts)
    # First click: the alert's own link.
    link = urlsplit(alerts()[0]["annotations"]["logs_url"])
    assert f"{link.scheme}://{link.netloc}" == telemetry.operators_url("LOGS_PORT")
    user, _, password = telemetry.operator.partition(":")
    assert httpx.get(f"{link.scheme}://{link.netloc}{link.path}", auth=(user, password)).status_code == 200
    assert parse_qs(link.fragment.partition("?")[2])["query"]
    # Second: the request in question, by its id.
    asked = f'request_id:="{request_id}"'
    eventually(lambda: {line["service.name"] for line in telemetry.lines(asked)} >= {"nginx", "api"})
    traces = {line["trace_id"] for line in telemetry.lines(f'{asked} {{service.name="api"}}')}
    (trace,) = traces
    # Third: its trace, as Jaeger's page asks for it.
    address = f"{telemetry.traces_url}/api/traces/{trace}"
    eventually(lambda: httpx.get(address).status_code == 200, lambda: httpx.get(address).text)
    (found,) = httpx.get(address).json()["data"]
    assert found["traceID"] == trace
    assert any("predict" in span["operationName"] for span in found["spans"])
    assert httpx.get(f"{telemetry.traces_url}/trace/{trace}").status_code == 200


def test_from_a_trace_to_its_lines(telemetry: Telemetry, request_id: str) -> None:
    eventually(lambda: telemetry.lines(f'request_id:="{request_id}" {{service.name="api"}}'))
    trace = telemetry.lines(f'request_id:="{request_id}" {{service.name="api"}}')[0]["trace_id"]
    (jaeger,) = (
        source
        for source in yaml.safe_load((ROOT / "grafana/telemetry/true/datasources/telemetry.yml").read_text())[
            "datasources"
        ]
        if source["name"] == "Jaeger"
    )
    query = jaeger["jsonData"]["tracesToLogsV2"]["query"].replace("$${__trace.traceId}", trace)
    assert {line["request_id"] for line in telemetry.lines(query)} == {request_id}
    # Without Grafana: Jaeger's own page.
    read = ("run", "--rm", "--no-deps", "-T", "telemetry-setup", "cat", "/run/telemetry/traces/ui.json")
    told = yaml.safe_load(telemetry.compose(*read).stdout)
    (pattern,) = told["linkPatterns"]
    page, _, fragment = pattern["url"].replace("#{traceID}", trace).partition("#/?")
    assert httpx.get(page.replace("//", f"//{telemetry.operator}@")).status_code == 200
    (asked,) = parse_qs(fragment)["query"]
    assert {line["request_id"] for line in telemetry.lines(asked)} == {request_id}


def test_grafanas_sources_lead_where_the_services_are() -> None:
    compose = yaml.safe_load((ROOT / "docker/telemetry/compose.yml").read_text())["services"]
    sources = yaml.safe_load((ROOT / "grafana/telemetry/true/datasources/telemetry.yml").read_text())["datasources"]
    assert {source["uid"]: source["url"] for source in sources} == {
        "jaeger": "http://jaeger.operations:16686",
        "victorialogs": "http://victoria-logs:9428",
    }
    assert compose["jaeger"]["networks"]["operations"]["aliases"] == ["jaeger.operations"]
    assert "operations" in compose["victoria-logs"]["networks"]
    assert {source["jsonData"].get("tracesToLogsV2", {}).get("datasourceUid") for source in sources} == {
        "victorialogs",
        None,
    }
    by_uid = {source["uid"]: source["jsonData"] for source in sources}
    assert [field["datasourceUid"] for field in by_uid["victorialogs"]["derivedFields"]] == ["jaeger"]
    (prometheus,) = yaml.safe_load((ROOT / "grafana/telemetry/true/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    (without,) = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (to_trace,) = prometheus["jsonData"].pop("exemplarTraceIdDestinations")
    without["jsonData"].pop("exemplarTraceIdDestinations")
    assert to_trace == {"name": "trace_id", "datasourceUid": "jaeger", "urlDisplayLabel": "Trace"}
    assert prometheus == without
