"""What the edge counts of the replica that a deploy judges, attempt by attempt, and where its verdict is told."""

import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from tests.edge.containers import Edge, Network, docker, eventually


def ask(edge: Edge, what: str, **arguments: str) -> str:
    url = f"http://127.0.0.1:9113/judging/{what}?{urlencode(arguments)}"
    asked = edge.exec("curl", "-fsS", url)
    assert asked.returncode == 0, asked.stderr
    return asked.stdout


def counted(edge: Edge) -> dict[str, int]:
    found: dict[str, int] = json.loads(ask(edge, "counted"))
    return found


def totals(edge: Edge) -> tuple[int, int, int, int]:
    told = counted(edge)
    return tuple(told.get(f"{side} {what}", 0) for side in ("new", "others") for what in ("number", "failed"))  # type: ignore[return-value]


def lines(edge: Edge) -> list[dict[str, object]]:
    return [line for line in edge.log() if line["logger"] == "deploy"]


@pytest.fixture(scope="module")
def judging(start_edge: Callable[..., Edge]) -> Edge:
    return start_edge(RATE_LIMIT="100000", RATE_BURST="100000", CONNECTION_LIMIT="1000", SLOW_ROUTES="/slow/{seconds}")


@pytest.fixture(scope="module")
def replicas(network: Network, api: str) -> tuple[str, str]:
    """The new one's address and the other's; one of them is not there any more."""
    gone = network.start_api("judged")
    address = network.address(gone)
    docker("stop", gone)
    return f"{address}:8000", f"{network.address(api)}:8000"


def test_between_deploys_nothing_is_counted(judging: Edge) -> None:
    with judging.client() as client:
        assert client.get("/status/500").status_code == 500
    assert counted(judging) == {}


def test_each_attempt_is_its_replica_s(judging: Edge, replicas: tuple[str, str]) -> None:
    gone, other = replicas
    judging.pin(gone, other)
    ask(judging, "start", new=gone)
    with judging.client() as client:
        for _ in range(20):  # what was refused there is answered here: nobody notices
            assert client.get("/echo").status_code == 200
        for _ in range(5):
            assert client.get("/status/500").status_code == 500
        for _ in range(3):
            assert client.get("/slow/0").status_code == 200
        assert client.get("/metrics").status_code == 404  # the edge's own
    eventually(lambda: totals(judging)[2:] == (28, 5), lambda: str(counted(judging)))
    number, failed, *_ = totals(judging)
    assert number == failed > 0
    told = counted(judging)
    # Durations are those of answers that are no failures, nor SLOW_ROUTES'.
    assert sum(n for key, n in told.items() if key.split()[-1].isdigit()) == 20

    ask(judging, "start", new=other)
    with judging.client() as client:
        assert client.get("/status/500").status_code == 500
        assert client.get("/echo").status_code == 200
    eventually(lambda: totals(judging)[:2] == (2, 1), lambda: str(counted(judging)))
    judging.pin()


def test_the_verdict_is_a_line_and_a_time(judging: Edge, replicas: tuple[str, str]) -> None:
    ask(judging, "start", new=replicas[0])
    message = 'A new replica was judged: worse: 5xx: 10 of 40 (25.0%), "quoted" & all'
    ask(judging, "end", verdict="worse", message=message)
    assert counted(judging) == {}
    eventually(lambda: len(lines(judging)) == 1, lambda: str(lines(judging)))
    (line,) = lines(judging)
    assert (line["level"], line["message"], line["verdict"]) == ("ERROR", message, "worse")
    at = judging.counts("sightglass_deploy_judged_timestamp_seconds", "verdict")
    assert set(at) == {("worse",)}
    assert judging.exec("curl", "-fsS", "http://127.0.0.1:9113/judging/end?verdict=else").returncode != 0


@pytest.mark.parametrize("what", ["start", "counted", "end", ""])
def test_nobody_else_is_heard(judging: Edge, network: Network, api: str, what: str) -> None:
    url = f"http://{network.address(judging.container)}:9113/judging/{what}"
    script = (
        f"import urllib.request, urllib.error\ntry: urllib.request.urlopen({url!r})\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    assert docker("exec", api, "python", "-c", script) == ("404" if not what else "403")
