"""What a person sees in each state of the stack: colours, axes, words and numbers as they are drawn.

Each of these misled somebody once.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.dashboards.conftest import ENDS, MINUTES, dashboards
from tests.dashboards.world import BROKEN, LENGTH, STATES
from tests.stack import ROOT
from tests.support.drawing import Drawing, draw
from tests.support.hue import NEUTRAL, hue

Drawn = Callable[[str], Drawing]
ALL = [(state, name) for state in STATES for name in dashboards(state)]


def shown(drawn: Drawn) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every panel of every state: state, dashboard, what it shows."""
    for state in STATES:
        for name, report in drawn(state).reports.items():
            for panel in report["panels"]:
                yield state, name, panel


def colour(drawing: Drawing, dashboard: str, title: str, series: str = "") -> str:
    """Return the name of the colour of a panel's number, or of one series."""
    panel = drawing.panel(dashboard, title)
    return next(hue(one["color"]) for one in panel["series"] if not series or one["name"] == series)


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_wrong_with_any_dashboard(drawn: Drawn, state: str) -> None:
    # What nothing is stored of is shown as that.
    faults = {fault for fault in drawn(state).faults if state != "blind" or not fault.endswith(": No data")}
    expected = {"jobs: variable process: it offers no value"}
    assert faults == (expected if state == "no-jobs" else set())


MEANINGS = {r"2(\d\d|xx)": {"green"}, r"429": {"orange", "yellow"}, r"4(\d\d|xx)": {"yellow"}, r"5(\d\d|xx)": {"red"}}


def test_a_status_has_the_colour_of_what_it_means_on_every_panel(drawn: Drawn) -> None:
    seen = set()
    for state, name, panel in shown(drawn):
        for series in panel["series"]:
            meaning = next((says for status, says in MEANINGS.items() if re.fullmatch(status, series["name"])), None)
            if meaning:
                seen.add((name, panel["title"], series["name"]))
                assert hue(series["color"]) in meaning, (state, name, panel["title"], series)
    assert {
        ("edge", "Requests by status", "502"),
        ("edge", "Gateway errors", "502"),
        ("api", "Requests by status", "500"),
    } <= seen
    assert {("overview", "Requests by status class", "5xx"), ("edge", "Requests by status", "429")} <= seen


@pytest.mark.parametrize(
    ("end", "says"),
    {"succeeded": "green", "accepted": "blue", "retried": "orange", "failed": "red", "dead": "red"}.items(),
)
def test_what_became_of_jobs_has_the_colour_of_what_it_means(drawn: Drawn, end: str, says: str) -> None:
    assert colour(drawn("load"), "jobs", "Jobs by what became of them", end) == says


def test_an_axis_fits_what_it_shows(drawn: Drawn) -> None:
    soft = {"percentunit": 0.01, "s": 0.01, "bytes": 1024}
    units = {
        (path.stem, panel["title"]): panel["fieldConfig"]["defaults"]["unit"]
        for path in (ROOT / "grafana").rglob("*.json")
        for row in json.loads(path.read_text())["panels"]
        for panel in (row, *row.get("panels", ()))
        if panel["type"] == "timeseries"
    }
    flat = 0
    for state, name, panel in shown(drawn):
        if panel["type"] == "timeseries" and not panel["empty"]:
            most = sum(max(one["max"] or 0, 0) for one in panel["series"])
            flat += most == 0
            assert panel["axis"]["max"] <= max(soft.get(units[name, panel["title"]], 1), 2 * most), (state, name, panel)
    assert flat > len(STATES)  # the rate limit is not reached in most of them


@pytest.mark.parametrize(
    ("title", "says"),
    {
        "Requests": "No traffic",
        "5xx": "No traffic",
        "429": "No traffic",
        "p95": "No answer",
        "Availability budget": "No traffic yet",
        "Latency budget": "No traffic yet",
    }.items(),
)
def test_a_fresh_install_has_no_alarming_colour(drawn: Drawn, title: str, says: str) -> None:
    assert drawn("idle").panel("overview", title)["text"] == [title, says]
    assert colour(drawn("idle"), "overview", title) == NEUTRAL


@pytest.mark.parametrize("title", ["Waiting", "Oldest", "Processes", "Given up in this time range"])
def test_no_process_for_jobs_is_nothing_bad_where_none_is_wanted(drawn: Drawn, title: str) -> None:
    assert drawn("no-jobs").panel("jobs", title)["text"] == [title, "None there"]
    assert colour(drawn("no-jobs"), "jobs", title) == NEUTRAL


@pytest.mark.parametrize(
    ("dashboard", "title", "says"),
    [
        ("overview", "Ready", "No"),
        ("overview", "Replicas missing", "2"),
        ("overview", "Targets down", "2"),
        ("overview", "5xx", "100.00%"),
        ("overview", "Firing alerts", "5"),
        ("monitoring", "Targets down", "2"),
        ("telemetry", "Takes lines", "No: disk full"),
    ],
)
def test_an_outage_is_red(drawn: Drawn, dashboard: str, title: str, says: str) -> None:
    (panel,) = (
        one for one in drawn("down").reports[dashboard]["panels"] if (one["title"], one["type"]) == (title, "stat")
    )
    assert "".join(panel["text"][1:]) == says
    assert [hue(one["color"]) for one in panel["series"]] == ["red"]


@pytest.mark.parametrize(
    ("dashboard", "title"),
    [("overview", "Firing alerts"), ("overview", "Targets down"), ("monitoring", "Targets down")],
)
def test_what_nothing_is_known_of_is_not_green(drawn: Drawn, dashboard: str, title: str) -> None:
    panels = drawn("blind").reports[dashboard]["panels"]
    (panel,) = (one for one in panels if (one["title"], one["type"]) == (title, "stat"))
    assert panel["text"][1:] == ["No data"]
    assert {hue(one["color"]) for one in panel["series"]} == {NEUTRAL}


@pytest.mark.parametrize(
    ("state", "dashboard", "title", "says", "means"),
    [
        ("load", "monitoring", "Last backup", "0.4 times BACKUP_HOURS", "green"),
        ("load", "monitoring", "Last check of a backup", "0.4 times BACKUP_CHECK_DAYS", "green"),
        ("down", "monitoring", "Last backup", "2.5 times BACKUP_HOURS", "red"),
        ("down", "monitoring", "Last check of a backup", "2.5 times BACKUP_CHECK_DAYS", "red"),
        ("load", "edge", "Attempts at a certificate failed in a row", "Not by ACME", NEUTRAL),
        ("limited", "edge", "Attempts at a certificate failed in a row", "0", "green"),
        ("down", "edge", "Attempts at a certificate failed in a row", "5", "red"),
    ],
)
def test_what_is_late_or_fails_has_the_colour_of_it(
    drawn: Drawn, state: str, dashboard: str, title: str, says: str, means: str
) -> None:
    assert " ".join("".join(drawn(state).panel(dashboard, title)["text"][1:]).split()) == says
    assert colour(drawn(state), dashboard, title) == means


def test_a_slow_route_that_may_be_slow_is_not_red(drawn: Drawn) -> None:
    rows = drawn("load").panel("overview", "Routes")["rows"]
    unjudged = [row for row in rows if row["p95"]["text"] == "-"]
    assert {hue(row["p95"]["color"]) for row in unjudged} == {NEUTRAL}
    assert {row["Route"]["text"] for row in unjudged} == {
        "/api/v1/process", "/api/v1/jobs", "/api/v1/jobs/{job_id}/result",
    }  # fmt: skip


def test_a_number_is_one(drawn: Drawn) -> None:
    numbers = [(state, name, panel) for state, name, panel in shown(drawn) if panel["type"] == "stat"]
    assert [(state, name, panel["title"]) for state, name, panel in numbers if len(panel["series"]) > 1] == []


def test_refusals_are_no_fast_answers(drawn: Drawn) -> None:
    assert drawn("down").panel("overview", "p95")["text"] == ["p95", "No answer"]
    assert colour(drawn("down"), "overview", "p95") == NEUTRAL


@pytest.mark.parametrize(
    "title",
    [
        "Ready", "Firing alerts", "Replicas missing", "Targets down", "Processor", "Memory", "Event loop lag",
        "Most starts", "Least disk free", "Certificate",
    ],
)  # fmt: skip
@pytest.mark.parametrize("state", ["idle", "load", "no-jobs"])
def test_health_is_green(drawn: Drawn, state: str, title: str) -> None:
    panels = drawn(state).reports["overview"]["panels"]
    (panel,) = (one for one in panels if (one["title"], one["type"]) == (title, "stat"))
    assert [hue(one["color"]) for one in panel["series"]] == ["green"]


def test_alerts_are_named_in_full_and_lead_on(drawn: Drawn) -> None:
    panels = drawn("down").reports["overview"]["panels"]
    (table,) = (one for one in panels if (one["title"], one["type"]) == ("Firing alerts", "table"))
    columns = ["Alert", "Severity", "Objective", "Window", "Job", "Instance", "Shown on", "What to do"]
    assert table["text"][1:9] == columns
    assert len({tuple(cell["text"] for cell in row.values()) for row in table["rows"]}) == 5  # no two look the same
    expected = {"APIDown", "EdgeProbeFailing", "https://nginx:8443/ready", "availability", "edge", "runbook"}
    assert expected <= set(table["text"])
    assert "None" not in table["text"]
    links = list(map(unquote, table["links"]))
    assert 'http://127.0.0.1:9093/#/alerts?filter={alertname="APIDown"}' in links
    for board in ("edge", "overview", "runbook"):
        assert any(re.match(rf"/d/sightglass-{board}\?viewPanel=panel-\d+&from=\d+&to=\d+$", link) for link in links)


ROUTES = {
    ("overview", "Routes"): {"edge", "api"},
    ("edge", "Requests and errors in this time range"): {"api"},
    ("api", "Routes in this time range"): {"edge"},
}


@pytest.mark.parametrize(("dashboard", "title"), ROUTES)
def test_each_cell_of_a_route_leads_to_where_it_is_looked_into(drawn: Drawn, dashboard: str, title: str) -> None:
    rows = drawn("load").panel(dashboard, title)["rows"]
    assert "/api/v1/predict" in {row["Route"]["text"] for row in rows}
    for row in rows:
        for cell in row.values():
            assert {unquote(link).partition("&")[0] for link in cell["links"]} == {
                f"/d/sightglass-{board}?var-route={row['Route']['text']}" for board in ROUTES[dashboard, title]
            }
            assert all(re.search(r"&from=\d+&to=\d+$", link) for link in cell["links"])


def test_each_number_of_the_overview_leads_on(drawn: Drawn) -> None:
    numbers = [one for one in drawn("load").reports["overview"]["panels"] if one["type"] == "stat"]
    assert len(numbers) == 16
    boards = {path.stem for path in (ROOT / "grafana/dashboards").glob("*.json")} - {"overview"}
    for panel in numbers:
        (link,) = panel["links"]
        led = re.fullmatch(r"/d/sightglass-(\w+)\?from=\d+&to=\d+", link)
        assert led[1] in boards if led else link == "http://127.0.0.1:9093/#/alerts", panel["title"]


@pytest.mark.parametrize(
    ("state", "route", "column", "says"),
    [
        ("load", "/api/v1/predict", "5xx", {"green", "orange"}),
        ("load", "/api/v1/predict", "p95", {"green"}),
        ("load", "/api/v1/predict", "429", {"green"}),
        ("limited", "/api/v1/predict", "429", {"red"}),
        ("limited", "/api/v1/process", "429", {"green"}),
        ("down", "/api/v1/predict", "5xx", {"red"}),
    ],
)
def test_where_it_is_broken_has_the_colour_of_it(
    drawn: Drawn, state: str, route: str, column: str, says: set[str]
) -> None:
    rows = drawn(state).panel("overview", "Routes")["rows"]
    (row,) = (one for one in rows if one["Route"]["text"] == route)
    assert hue(row[column]["color"]) in says, row[column]


@pytest.mark.parametrize(
    ("dashboard", "title"), [("edge", "Requests and errors in this time range"), ("api", "Routes in this time range")]
)
def test_counts_are_written_out(drawn: Drawn, dashboard: str, title: str) -> None:
    words = drawn("load").panel(dashboard, title)["text"]
    assert any(re.fullmatch(r"\d\d,\d{3}", word) for word in words)
    assert not any(re.fullmatch(r"[\d.]+ [KM]", word) for word in words)


def test_a_deploy_is_marked_when_it_began_and_alerts_on_the_overview_alone(drawn: Drawn) -> None:
    deployed = (ENDS["load"] - LENGTH + BROKEN - 7) * 1000
    for name, report in drawn("load").reports.items():
        assert [mark["from"] for mark in report["marks"]] == [deployed], name
    for name, report in drawn("down").reports.items():
        assert bool(report["marks"]) == (name == "overview"), name


def test_a_day_shows_the_same_requests_and_the_deploy(drawn: Drawn, lived: str, tmp_path: Path) -> None:
    path = ROOT / "grafana/dashboards/overview.json"
    day = draw(lived, path, to=ENDS["load"], minutes=24 * 60, out=tmp_path)
    for title in ("Requests", "5xx", "p95"):
        assert day.panel("overview", title)["text"] == drawn("load").panel("overview", title)["text"]
    deployed = (ENDS["load"] - LENGTH + BROKEN - 7) * 1000
    assert deployed in [mark["from"] for mark in day.reports["overview"]["marks"]]


def test_the_requests_are_those_of_users(drawn: Drawn) -> None:
    assert drawn("idle").panel("overview", "Requests")["text"][1:] == ["No traffic"]  # not the prober's
    assert drawn("load").panel("overview", "Requests")["series"][0]["last"] == pytest.approx(13.7, abs=4)


def test_both_windows_that_page_are_drawn(drawn: Drawn) -> None:
    names = {one["name"] for one in drawn("down").panel("overview", "Burn rate")["series"]}
    assert names == {f"{slo} {window}" for slo in ("availability", "latency") for window in ("1h", "6h")}


def test_the_budget_is_one_number_wherever_it_is_shown(drawn: Drawn) -> None:
    line = drawn("down").panel("overview", "Error budget left")["series"]
    for slo in ("availability", "latency"):
        (last,) = (one["last"] for one in line if one["name"] == slo)
        assert drawn("down").panel("overview", f"{slo.title()} budget")["series"][0]["last"] == pytest.approx(last)


def test_what_is_not_allowed_to_be_crossed_is_beside_its_own_line(drawn: Drawn) -> None:
    """Each objective has a budget of its own: the other's line is crossed on an ordinary day."""
    series = {one["name"]: one for one in drawn("load").panel("overview", "Error ratio")["series"]}
    for slo in ("availability", "latency"):
        assert series[slo]["last"] < series[f"{slo} budget"]["last"]
        assert (series[slo]["dashed"], series[f"{slo} budget"]["dashed"]) == (False, True)
        assert hue(series[slo]["color"]) == hue(series[f"{slo} budget"]["color"])


def test_windows_of_one_colour_are_told_apart(drawn: Drawn) -> None:
    series = drawn("down").panel("overview", "Burn rate")["series"]
    assert {one["name"]: one["dashed"] for one in series} == {
        "availability 1h": False, "availability 6h": True, "latency 1h": False, "latency 6h": True,
    }  # fmt: skip


@pytest.mark.parametrize("board", ["edge", "api"])
def test_the_line_of_an_objective_is_not_drawn_over_what_it_does_not_count(board: str) -> None:
    panels = json.loads((ROOT / f"grafana/dashboards/{board}.json").read_text())["panels"]
    (quantiles,) = (panel for panel in panels if panel["title"] == "Quantiles")
    assert "thresholdsStyle" not in quantiles["fieldConfig"]["defaults"].get("custom", {})


@pytest.mark.parametrize(("state", "queue", "taken"), [("load", "green", "green"), ("down", "orange", "red")])
def test_lines_that_wait_are_seen(drawn: Drawn, state: str, queue: str, taken: str) -> None:
    assert colour(drawn(state), "telemetry", "Queue used") == queue
    assert colour(drawn(state), "telemetry", "Takes lines") == taken
    assert drawn(state).panel("telemetry", "Lost in this time range")["text"][1:] == ["0"]
    assert colour(drawn(state), "telemetry", "Lost in this time range") == "green"


def test_what_to_do_is_there_for_each_alert(drawn: Drawn) -> None:
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    shown_sections = {panel["title"]: panel["text"] for panel in drawn("load").reports["runbook"]["panels"]}
    assert len(sections) > 20
    assert [name for name in sections if len(shown_sections[name]) < 2] == []


def test_spans_that_are_lost_either_way_are_shown(drawn: Drawn) -> None:
    names = {one["name"] for one in drawn("load").panel("monitoring", "Lost")["series"]}
    assert {"spans not taken", "spans not held"} <= names


def test_a_budget_that_is_overspent_is_red_and_says_by_how_much(drawn: Drawn) -> None:
    assert drawn("down").panel("overview", "Availability budget")["series"][0]["last"] < -1
    assert colour(drawn("down"), "overview", "Availability budget") == "red"


def test_a_legend_has_names_and_values(drawn: Drawn) -> None:
    for state, name, panel in shown(drawn):
        if panel["type"] in {"timeseries", "state-timeline"}:
            assert [one["name"] for one in panel["series"] if re.search(r":\d", one["name"])] == [], (state, name)
        if panel["type"] == "timeseries" and not panel["empty"]:
            assert {"Name", "Last *", "Max"} <= set(panel["text"]), (state, name, panel["title"])


def test_what_is_there_is_drawn() -> None:
    assert MINUTES * 60 <= LENGTH
