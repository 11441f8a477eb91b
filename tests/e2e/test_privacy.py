"""Nothing a client sends shows up where it is not to, whatever fails; and with keys, jobs are their owner's alone."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_jobs import finish
from tests.stack import Stack, eventually

MARKERS = (f"marker{n}4711" for n in itertools.count())
ROUTES = ("/api/v1/predict", "/api/v1/process", "/api/v1/jobs")
TYPES = ("text/plain", "text/csv", "application/xml", "application/x-ndjson", "application/json", "multipart/form-data")
pytestmark = pytest.mark.timeout(1200)  # the first to use a stack also waits for its start
METRICS = ("http://api:9464/metrics", "http://jobs:9464/metrics", "http://127.0.0.1:9113/metrics")


def test_no_log_label_or_error_holds_what_a_client_sent(service: Stack) -> None:
    used = []

    def marker() -> str:
        used.append(next(MARKERS))
        return used[-1]

    with service.client() as client:
        for route, media_type in itertools.product(ROUTES, TYPES):
            body = {
                "text/csv": f'a,"{marker()}',
                "application/xml": f"<{marker()} mail='{marker()}@example.com'><!ENTITY",
                "application/x-ndjson": f'{{"{marker()}": "{marker()}@example.com"',
                "application/json": f'{{"text": 1, "{marker()}": "{marker()}@example.com", "language": "{marker()}"}}',
                "multipart/form-data": f'--x\r\nContent-Disposition: form-data; name="{marker()}"; '
                f'filename="{marker()}"\r\nContent-Type: {marker()}/x\r\n\r\n{marker()}\r\n--x--\r\n',
            }.get(media_type, f"{marker()} {marker()}@example.com\udcff".encode("utf-8", "surrogateescape"))
            headers = {
                "Content-Type": f"{media_type}; boundary=x",
                "User-Agent": marker(),
                "Referer": f"https://{marker()}/",
                "Cookie": f"a={marker()}",
                "Authorization": f"Bearer {marker()}",
                "X-Request-ID": f"{marker()} not allowed",
                "traceparent": marker(),
                "Idempotency-Key": marker(),
                "X-Forwarded-For": marker(),
            }
            answer = client.post(route, content=body, headers=headers, params={marker(): marker(), "min_confidence": 0})
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                assert_none_in(used, answer.text)
            if answer.status_code == 202:
                where = answer.headers["location"]
                job = finish(client, where)
                assert_none_in(used, str(job))
                client.delete(where)
    assert len(used) > 200
    for url in METRICS:
        assert_none_in(used, service.compose("exec", "-T", "nginx", "curl", "-fsS", url).stdout)
    last = "the-last-one"
    with service.client() as client:
        client.post(ROUTES[0], content="x", headers={"X-Request-ID": last})
    eventually(
        lambda: last in service.logs("nginx", tail=1000) and last in service.logs("api", tail=1000), lambda: "no log"
    )
    assert_none_in(used, service.compose("logs", "--no-color").stdout)


def assert_none_in(used: list[str], text: str) -> None:
    assert text
    assert [marker for marker in used if marker in text] == []


@pytest.fixture
def keys(service: Stack, tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "keys"
    file.write_text("anna:anna-key-0123456789\nbert:bert-key-0123456789\n")
    file.chmod(0o644)
    service.set(API_KEYS_FILE=str(file))
    yield file
    service.set(API_KEYS_FILE="")


def test_with_keys_a_job_is_its_owners_alone(service: Stack, keys: Path) -> None:
    def sent(key: str, method: str, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/plain"}
        with service.client(headers=headers) as client:
            return client.request(method, path, content=b"anna@example.com" if method == "POST" else None)

    with service.client() as client:
        refused = client.post("/api/v1/jobs", content="x", headers={"Content-Type": "text/plain"})
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/ready").status_code == 200
        assert client.get("/openapi.json").json()["components"]["securitySchemes"]
    where = sent("anna-key-0123456789", "POST", "/api/v1/jobs").headers["location"]
    with service.client(headers={"Authorization": "Bearer anna-key-0123456789"}) as client:
        assert finish(client, where)["status"] == "succeeded"
    for method, path in (("GET", where), ("GET", f"{where}/result"), ("DELETE", where)):
        assert sent("bert-key-0123456789", method, path).status_code == 404
        assert sent("no-key-at-all-0123", method, path).status_code == 401
    assert sent("bert-key-0123456789", "GET", "/api/v1/jobs").json() == {"jobs": [], "next": None}
    # Rotation, without a restart: the new key beside the old one, then alone.
    keys.write_text("anna:anna-key-0123456789\nanna:anna-new-0123456789\n")
    assert sent("anna-new-0123456789", "GET", f"{where}/result").text == "[EMAIL_ADDRESS]"
    assert sent("bert-key-0123456789", "GET", where).status_code == 401
    keys.write_text("anna:anna-new-0123456789\n")
    assert sent("anna-key-0123456789", "GET", where).status_code == 401
    assert sent("anna-new-0123456789", "DELETE", where).status_code == 204
    assert "-key-0123456789" not in service.compose("logs", "--no-color").stdout
