"""Five things of five kinds are broken in an application of somebody else's: the Overview says so, and where."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.monitoring.test_dashboards import DASHBOARDS as BOARDS
from tests.stack import ROOT, Stack, docker, eventually, say
from tests.support.drawing import Drawing, draw
from tests.support.hue import hue
from tests.support.somebodys import assert_every_panel_is_filled, somebodys

pytestmark = pytest.mark.timeout(1800)

PATIENCE = 300.0
"""Seconds; within 60 on a machine that has nothing else to do, which is said and not tested."""
OVERVIEW = ROOT / "grafana/dashboards/overview.json"
ROUTES = {  # path asked, times a second: route, column
    ("/notes/broken", 1): ("/notes/broken", "5xx"),
    ("/notes/slow", 1): ("/notes/slow", "p95"),
    ("/notes/files/a.txt", 40): ("/notes/files/{name}", "429"),
}
NUMBERS = {"Replicas missing": "workers", "Certificate": "edge", "5xx": "edge", "429": "edge"}
"""By the Overview's number: the dashboard that it leads to."""
EXPIRING = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 1 -subj /CN=localhost"
    " -addext subjectAltName=DNS:localhost -keyout /run/tls/new.key -out /run/tls/new.crt && chmod 644 /run/tls/new.key"
    " && mv /run/tls/new.key /run/tls/tls.key && mv /run/tls/new.crt /run/tls/tls.crt"
)


@pytest.fixture(scope="module")
def flask() -> Iterator[Stack]:
    with somebodys("notes:create_app", API_REPLICAS="2", TLS_CHECK_SECONDS="1") as stack:
        yield stack


def overview(stack: Stack, to: float, out: Path) -> Drawing:
    return draw(stack.prometheus_url, OVERVIEW, to=to, minutes=5, out=out)


def number(drawing: Drawing, title: str) -> dict[str, Any]:
    panels = drawing.reports["overview"]["panels"]
    (panel,) = (one for one in panels if (one["title"], one["type"]) == (title, "stat"))
    return dict(panel)


def cell(drawing: Drawing, route: str, column: str) -> dict[str, Any]:
    rows = drawing.panel("overview", "Routes")["rows"]
    return next((dict(row[column]) for row in rows if row["Route"]["text"] == route), {"color": "#ffffff", "links": []})


def red(drawing: Drawing) -> set[str]:
    """Return the routes' cells and the numbers that are red."""
    colours = {f"{route} {column}": cell(drawing, route, column)["color"] for route, column in ROUTES.values()}
    colours |= {title: number(drawing, title)["series"][0]["color"] for title in NUMBERS}
    return {name for name, colour in colours.items() if hue(colour) == "red"}


def test_every_panel_of_a_flask_application_is_filled(flask: Stack) -> None:
    assert_every_panel_is_filled(flask)


def test_nothing_is_red_while_nothing_is_broken(flask: Stack, tmp_path: Path) -> None:
    def seen() -> set[str]:
        return red(overview(flask, time.time(), tmp_path))

    eventually(lambda: seen() == set(), lambda: f"{seen()} is red", longest_pause=2)


@pytest.fixture(scope="module")
def broken(flask: Stack, tmp_path_factory: pytest.TempPathFactory) -> Drawing:
    """The Overview, once all of it shows; how long that took is said."""
    over = threading.Event()

    def keep_asking(path: str, rate: int) -> None:
        with flask.client(verify=False) as client:
            while not over.wait(1 / rate):
                client.get(path)

    askers = [threading.Thread(target=keep_asking, args=asked) for asked in ROUTES]
    docker("rm", "--force", "--volumes", flask.inspect("api")[0]["Id"])
    flask.compose("run", "--rm", "--no-deps", "-T", "setup", "sh", "-c", EXPIRING)
    since = time.time()
    for asker in askers:
        asker.start()
    out, drawn = tmp_path_factory.mktemp("broken"), list[Drawing]()
    wanted = {f"{route} {column}" for route, column in ROUTES.values()} | set(NUMBERS)

    def seen() -> bool:
        drawn[:] = [overview(flask, time.time(), out)]
        return red(drawn[0]) == wanted

    try:
        eventually(seen, lambda: f"{red(drawn[0])} is red", deadline=PATIENCE, longest_pause=2)
        say(f"all that is broken is red after {time.time() - since:.0f} s")
    finally:
        over.set()
        for asker in askers:
            asker.join()
    return drawn[0]


@pytest.mark.parametrize(("route", "column"), ROUTES.values())
def test_a_routes_cell_leads_to_that_route(
    flask: Stack, broken: Drawing, route: str, column: str, tmp_path: Path
) -> None:
    links = [urlsplit(link) for link in cell(broken, route, column)["links"]]
    assert [link.path for link in links] == ["/d/sightglass-edge", "/d/sightglass-api"]
    for link in links:
        board = link.path.rpartition("-")[2]
        given = parse_qs(link.query)
        assert given["var-route"] == [route]
        minutes = (int(given["to"][0]) - int(given["from"][0])) / 60_000
        await_route_alone(flask, board, route, minutes, tmp_path)


def await_route_alone(stack: Stack, board: str, route: str, minutes: float, out: Path) -> None:
    """Draw a dashboard with this route chosen until its requests are that route's.

    The range is "the last …": by the time of the click it has moved on, and its latest steps have two scrapes.
    """
    title = "Requests by route" if board == "edge" else "Requests"

    def shown() -> set[str]:
        drawing = draw(
            stack.prometheus_url, ROOT / f"grafana/dashboards/{board}.json", out=out, to=time.time(), minutes=minutes,
            options=("--var", f"route={route}"),
        )  # fmt: skip
        return {one["name"] for one in drawing.panel(board, title)["series"]}

    eventually(lambda: shown() == {route}, lambda: f"{board}, {title}: not {route} alone", longest_pause=2)


@pytest.mark.parametrize(("title", "board"), NUMBERS.items())
def test_a_number_leads_on(broken: Drawing, title: str, board: str) -> None:
    (link,) = number(broken, title)["links"]
    assert urlsplit(link).path == f"/d/{BOARDS[board]['uid']}"
