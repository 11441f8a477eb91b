"""Somebody is paged by ErrorBudgetBurn: from there, each link followed, to the line that failed and to its trace."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.stack import ROOT, eventually, say
from tests.support.drawing import PICTURES
from tests.telemetry.stores import Telemetry

pytestmark = pytest.mark.timeout(3600)  # the first to use the stack waits for its images' builds

Alert = dict[str, Any]
FAILING = "/orders/coffee"
LINE = "return PRICES[item]"
"""What raises, in tests/telemetry/app/orders.py."""


def hurry(telemetry: Telemetry) -> None:
    """Have Prometheus look at the objectives every 2 seconds, and page at once; windows and thresholds stay."""
    rules = telemetry.directory / "docker/prometheus/rules/slo.yml"
    quicker = rules.read_text().replace("interval: 30s", "interval: 2s").replace("for: 1m", "for: 0s")
    rules.write_text(quicker)
    telemetry.compose("kill", "--signal", "HUP", "prometheus")


@pytest.fixture(scope="module")
def page(telemetry: Telemetry) -> Iterator[Alert]:
    """The alert as Alertmanager has it, while a route of the application fails."""
    over = threading.Event()

    def keep_asking() -> None:
        with telemetry.client() as client:
            while not over.wait(0.5):
                assert client.get(FAILING).status_code == 500

    def firing() -> list[Alert]:
        address = "http://127.0.0.1:9093/api/v2/alerts?filter=alertname%3D%22ErrorBudgetBurn%22"
        told = telemetry.compose("exec", "-T", "alertmanager", "wget", "-q", "-O", "-", address).stdout
        return [alert for alert in json.loads(told) if alert["labels"]["window"] == "1h"]

    with telemetry.client() as client:
        eventually(lambda: client.get("/orders/tea").status_code == 200)
    hurry(telemetry)
    asker = threading.Thread(target=keep_asking)
    since = time.monotonic()
    asker.start()
    try:
        eventually(firing, lambda: "ErrorBudgetBurn does not fire", longest_pause=2)
        say(f"ErrorBudgetBurn fires after {time.monotonic() - since:.0f} s of errors")
        yield firing()[0]
    finally:
        over.set()
        asker.join()


def look(telemetry: Telemetry, address: str, picture: str, *texts: str) -> str:
    """Open a page in a browser, as the operator, until it shows the texts; returns what stands on it."""
    path = PICTURES / "page" / f"{picture}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["node", str(ROOT / "tests/support/browse.mjs"), telemetry.operator, address, str(path), *texts]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def lines(telemetry: Telemetry, page: Alert) -> list[dict[str, Any]]:
    """What the alert's link to log lines asks VictoriaLogs for."""
    (query,) = parse_qs(urlsplit(page["annotations"]["logs_url"]).fragment.partition("?")[2])["query"]

    def found() -> list[dict[str, Any]]:
        return [line for line in telemetry.lines(query) if "exception.type" in line]

    eventually(found, lambda: f"no exception by {query}: {telemetry.lines(query)[:3]}")
    return found()


def test_the_page_says_what_where_and_what_to_do(page: Alert) -> None:
    assert (page["labels"]["slo"], page["labels"]["severity"]) == ("availability", "page")
    assert "availability objective's error budget burns" in page["annotations"]["summary"]
    path, _, section = page["annotations"]["runbook_url"].partition("#")
    assert f"## {section}" in (ROOT / path).read_text().lower()
    board = page["annotations"]["dashboard_url"].rpartition("/d/sightglass-")[2]
    assert json.loads((ROOT / f"grafana/dashboards/{board}.json").read_text())["uid"] == f"sightglass-{board}"


def test_first_click_the_lines_of_what_failed(telemetry: Telemetry, page: Alert) -> None:
    link = page["annotations"]["logs_url"]
    assert link.startswith(telemetry.operators_url("LOGS_PORT"))
    look(telemetry, link, "1-lines", "exception in GET /orders/{item}")


def test_second_click_the_line_of_code(lines: list[dict[str, Any]]) -> None:
    source = (ROOT / "tests/telemetry/app/orders.py").read_text().splitlines()
    for line in lines:
        assert line["exception.type"] == "KeyError"
        (number,) = re.findall(r"orders\.py:(\d+) in price", line["exception.stack"])
        assert source[int(number) - 1].strip() == LINE
        assert "coffee" not in json.dumps(line)  # a user's text


def test_third_click_the_trace(telemetry: Telemetry, lines: list[dict[str, Any]]) -> None:
    trace = lines[0]["trace_id"]
    look(telemetry, f"{telemetry.operators_url('TRACES_PORT')}/trace/{trace}", "3-trace")
    address = f"{telemetry.traces_url}/api/traces/{trace}"
    eventually(lambda: httpx.get(address).status_code == 200, lambda: httpx.get(address).text)
    (found,) = httpx.get(address).json()["data"]
    spans = {span["operationName"]: span for span in found["spans"]}
    assert {"GET /orders/{item}", "price"} <= set(spans)
    (parent,) = (one["spanID"] for one in spans["price"]["references"])
    assert parent == spans["GET /orders/{item}"]["spanID"] == lines[0]["span_id"]
    assert {"http.response.status_code", "error"} <= {tag["key"] for tag in spans["GET /orders/{item}"]["tags"]}


def test_the_lines_of_that_trace(telemetry: Telemetry, lines: list[dict[str, Any]], tmp_path: Path) -> None:
    trace, request = lines[0]["trace_id"], lines[0]["request_id"]
    asked = f'trace_id:="{trace}"'
    eventually(lambda: {line["service.name"] for line in telemetry.lines(asked)} == {"nginx", "api"})
    own = [line for line in telemetry.lines(asked) if line.get("logger") == "orders"]
    assert [(line["module"], line["function"], line["request_id"]) for line in own] == [("orders", "order", request)]
    page = f"{telemetry.operators_url('LOGS_PORT')}/select/vmui/#/?query=trace_id%3A%3D%22{trace}%22"
    look(telemetry, f"{page}&g0.relative_time=last_1_hour", "4-lines-of-the-trace", "an order comes in")
