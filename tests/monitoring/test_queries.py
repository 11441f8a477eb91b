"""Every query of every panel, variable and page of the docs returns data from the running stack.

"No data" is what users of such dashboards complain of most.
"""

import json
import math
import re
import time
from typing import Any

import pytest

from monitoring.live import Prometheus, Window, ask, choices, interpolate, panels, variables
from tests.stack import ROOT, Stack, eventually
from tests.support.drawing import PICTURES, draw

DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "grafana").glob("*/*.json"))}
EMPTY_WHEN_HEALTHY = {
    ("overview", "Firing alerts", "A"),  # and seen full in test_waking.py
    *(  # with the profile backup, and seen full in tests/long/test_backup.py
        ("monitoring", title, "A")
        for title in ("Last backup", "Size of the last backup", "Backups failed in a row", "Last check of a backup")
    ),
    ("edge", "Attempts at a certificate failed in a row", "A"),  # with the profile acme
    *(("model", "Quality by type", target) for target in "ABCDE"),  # until `make evaluate`: tests/e2e/test_quality.py
    *(("model", title, "A") for title in ("Measured", "Labelled texts")),
    *(("jobs", title, "A") for title in ("Connections", "Size", "Operations failed")),  # with the profile postgres
    *(("jobs", "Transactions", target) for target in "AB"),
    ("monitoring", "Lost", "C"),  # spans, with TRACING_ENABLED
    ("monitoring", "Lost", "D"),
}
EMPTY_WHEN_HEALTHY_ANNOTATIONS = {"Alerts", "Verdicts"}  # no deploy was judged

# Series of an API instance with two workers after the traffic below, of the edge, a job process: what a scrape costs.
SERIES = {"api": 1000, "nginx": 300, "jobs": 150}


def drive(stack: Stack) -> None:
    """Make the kinds of request the dashboards tell of."""
    with stack.client() as client:
        for _ in range(4):
            assert client.post("/api/v1/predict", json={"text": "Write to anna@example.org"}).status_code in {200, 429}
        client.post("/api/v1/predict", json={"text": 7})
        client.post("/api/v1/jobs", content="Write to anna@example.org", headers={"content-type": "text/plain"})
        client.get("/openapi.json")
        client.get("/no-such-page")


def window() -> Window:
    now = time.time()
    return Window(now - 600, now)


def has_data(prometheus: Prometheus, expr: dict[str, Any], chosen: dict[str, str]) -> bool:
    series = ask(prometheus, expr, window(), chosen)
    return any(not math.isnan(value) for one in series for _, value in one.points)


def empty_queries(prometheus: Prometheus) -> set[tuple[str, str, str]]:
    empty = set()
    for name, board in DASHBOARDS.items():
        chosen = variables(prometheus, board, window())
        for panel in panels(board):
            for target in panel["targets"]:
                if not has_data(prometheus, target, chosen):
                    empty.add((name, panel["title"], target["refId"]))
    return empty


def test_every_panel_has_data(prometheus: Prometheus) -> None:
    assert empty_queries(prometheus) <= EMPTY_WHEN_HEALTHY


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_offers_values(prometheus: Prometheus, name: str) -> None:
    chosen = variables(prometheus, DASHBOARDS[name], window())
    for variable in DASHBOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            assert choices(prometheus, variable, window(), chosen), variable["name"]


def test_the_deploy_of_this_stack_is_annotated(prometheus: Prometheus) -> None:
    for board in DASHBOARDS.values():
        for annotation in board["annotations"]["list"]:
            events = prometheus.range(interpolate(annotation["target"]["expr"], window(), {}), long_window())
            assert events or annotation["name"] in EMPTY_WHEN_HEALTHY_ANNOTATIONS


def long_window() -> Window:
    now = time.time()
    return Window(now - 3600, now)


def test_no_dashboard_of_the_running_stack_has_a_fault(prometheus: Prometheus, stack: Stack) -> None:
    lived = prometheus.instant("time() - prometheus_tsdb_lowest_timestamp_seconds")[0].points[-1][1]
    paths = sorted((ROOT / "grafana").glob("*/*.json"))
    drawn = draw(
        stack.prometheus_url, *paths, to=time.time(), minutes=min(lived / 60, 15), out=PICTURES / "stack",
    )  # fmt: skip
    assert drawn.faults == []


PAGE = (ROOT / "docs/promql.md").read_text()
QUERIES = re.findall(r"^```promql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_docs_has_an_answer(prometheus: Prometheus, stack: Stack, query: str) -> None:
    def answered() -> bool:
        return any(not math.isnan(value) for one in prometheus.instant(query) for _, value in one.points)

    if not answered():
        drive(stack)  # some ask for the last minutes, and the tests before this one may have taken longer
    eventually(answered, lambda: f"no answer: {query}")


def test_no_rule_fails(prometheus: Prometheus) -> None:
    groups = prometheus.rule_groups()
    assert {group["name"] for group in groups} == {
        *("slo", "slo-budget", "api", "jobs", "edge", "host", "backup", "monitoring", "telemetry", "expected"),
    }
    assert [rule["lastError"] for group in groups for rule in group["rules"] if rule["health"] == "err"] == []


@pytest.mark.parametrize("job", SERIES)
def test_what_an_instance_costs_is_bounded(prometheus: Prometheus, job: str) -> None:
    scraped = prometheus.instant(f'max(scrape_samples_post_metric_relabeling{{job="{job}"}})')
    assert 0 < scraped[0].points[-1][1] <= SERIES[job]
