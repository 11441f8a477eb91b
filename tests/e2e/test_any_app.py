"""An app nobody changed, in its own image or mounted, gets the edge, the metrics, the health checks and the logs."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.stack import ROOT, Stack, eventually
from tests.support.talking import talk
from tests.support.waiting import awaited

REQUESTS = 30


def counted(stack: Stack, **labels: str) -> float:
    """Sum the workers' counts of requests with these labels, none of which was late for the scrape."""

    def samples() -> list[Sample]:
        text = stack.compose("exec", "-T", "nginx", "curl", "-fsS", "http://api:9464/metrics").stdout
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def in_time(found: list[Sample]) -> bool:
        return all(sample.value for sample in found if sample.name == "sightglass_worker_up")

    return sum(
        sample.value
        for sample in awaited(samples, in_time)
        if sample.name == "http_requests_total" and labels.items() <= sample.labels.items()
    )


def wait_for_count(stack: Stack, expected: float, **labels: str) -> None:
    """Wait until that is their sum: an answer may be there before it is counted."""
    eventually(lambda: counted(stack, **labels) == expected, lambda: f"{counted(stack, **labels)}, not {expected}")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`examples/shop` in an image of its own, as docs/your-app.md says."""
    stack = Stack(
        tmp_path_factory.mktemp("shop"), profiles=[], APP="shop.main:app", API_CONTEXT="./examples/shop",
        RATE_LIMIT="1000", APP_NAME="shop", JOBS_REPLICAS="0",
    )  # fmt: skip
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def test_an_app_in_its_own_image_with_its_own_requirements(shop: Stack) -> None:
    with shop.client() as client:
        assert client.get("/prices/4", params={"locale": "en_US"}).json() == {"price": "€5.00"}
        for number in range(REQUESTS):
            client.get(f"/prices/{number}")
        assert client.get("/health").json()["status"] == "healthy"
        assert client.get("/ready").json() == {"ready": True}
        assert client.get("/metrics").status_code == 404
    wait_for_count(shop, REQUESTS + 1, route="/prices/{item_id}", status="200", method="GET")


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_pages_about_its_api_load_nothing_from_elsewhere(shop: Stack, page: str) -> None:
    with shop.client() as client:
        text = client.get(page).text
        urls = re.findall(r'(?:src|href)="([^"]+)"', text)
        assert len(urls) == (3 if page == "/docs" else 2)
        for url in urls:
            assert "//" not in url
            assert client.get(f"/{url}").status_code == 200


def test_the_image_is_lean(shop: Stack) -> None:
    runtime = shop.compose("exec", "-T", "api", "sh", "-c", "command -v pip gcc curl; ls /opt/sightglass").stdout
    assert runtime.split() == ["REVISION", "sightglass"]


def test_jobs_that_nothing_works_on_are_said_in_one_line(shop: Stack) -> None:
    result = shop.run("docker", "compose", "run", "--rm", "--no-deps", "-T", "jobs")
    assert result.returncode == 2
    assert "JOBS_REPLICAS: nothing in this image works on jobs for APP=shop.main:app; expected 0" in result.stderr


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The sample app, mounted into the image as it is."""
    code = tmp_path_factory.mktemp("code")
    shutil.copytree(ROOT / "tests" / "sample_app", code / "sample_app")
    stack = Stack(
        tmp_path_factory.mktemp("sample"), profiles=[], APP="sample_app.main:app", APP_DIR=str(code),
        RATE_LIMIT="1000", JOBS_REPLICAS="0",
    )  # fmt: skip
    # What a container's user may read is the host's affair.
    for path in (code, *code.rglob("*")):
        path.chmod(0o755)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


ROUTES = {
    "/": "/",
    "/api/v1/items/7": "/api/v1/items/{item_id}",
    "/api/v1/items/7/parts/a/b": "/api/v1/items/{item_id}/parts/{part}",
    "/admin/users/3": "/admin/users/{user_id}",
    "/stream/5": "/stream/{chunks}",
    "/events": "/events",
    "/nowhere/at/all": "(unmatched)",
}


@pytest.mark.parametrize(("path", "route"), ROUTES.items())
def test_each_request_is_counted_under_its_template(sample: Stack, path: str, route: str) -> None:
    before = counted(sample, route=route)
    for _ in range(REQUESTS):
        with sample.client() as client:
            client.get(path)
    wait_for_count(sample, before + REQUESTS, route=route)


def test_a_websocket_passes_the_edge_and_is_counted_once(sample: Stack) -> None:
    before = counted(sample, route="/ws/{room}", status="101")
    url = sample.https_url.replace("https", "wss")
    with talk(f"{url}/ws/lobby", sample.tls) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"
    wait_for_count(sample, before + 1, route="/ws/{room}", status="101")


def test_a_failing_handler_is_one_500_and_says_nothing_of_the_client(sample: Stack) -> None:
    before = counted(sample, route="/trouble/fail", status="500")
    with sample.client() as client:
        answer = client.get("/trouble/fail", params={"text": "marker-4711"}, headers={"x-request-id": "failing"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "failing"
    wait_for_count(sample, before + 1, route="/trouble/fail", status="500")

    def lines() -> list[str]:
        return sample.compose("logs", "--no-color", "--no-log-prefix", "api", "nginx").stdout.splitlines()

    # The edge, the API's request line and the exception tell of one request by one id; the edge's follows within 1 s.
    def loggers() -> set[str]:
        return {json.loads(line)["logger"] for line in lines() if '"request_id":"failing"' in line}

    eventually(lambda: {"nginx.access", "api.access", "api.error"} <= loggers(), lambda: str(loggers()))
    assert not [line for line in lines() if "marker-4711" in line]


def test_every_line_of_the_api_is_json(sample: Stack) -> None:
    lines = sample.compose("logs", "--no-color", "--no-log-prefix", "api").stdout.splitlines()
    assert lines
    for line in lines:
        assert {"timestamp", "level", "logger", "message"} <= set(json.loads(line))


def test_an_app_of_the_name_api_is_served(sample: Stack, tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "shop.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    check = "from sightglass.server.loading import load_app; print(load_app('api.shop:app').title)"
    result = sample.compose(
        "run", "--rm", "--no-deps", "-T", "-v", f"{tmp_path}:/srv/app:ro", "api", "python", "-c", check
    )
    assert result.stdout.strip() == "FastAPI"
