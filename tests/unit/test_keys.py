import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.privacy.jobs.routes import PATH as JOBS
from api.privacy.keys import ApiKeys
from api.privacy.predict import PATH as PREDICT
from api.privacy.process import PATH as PROCESS
from sightglass.environment import SettingsError
from sightglass.problem import MEDIA_TYPE
from tests.support.service import StubModel, serving

ANNA, ANNA_NEW, BERT = "anna-key-0123456789", "anna-new-0123456789", "bert-key-0123456789"
PLAIN = {"Content-Type": "text/plain"}


def write(file: Path, *lines: str, mtime: int) -> None:
    file.write_text("\n".join(lines) + "\n")
    os.utime(file, (mtime, mtime))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    write(file, "# who may", f"anna:{ANNA}", f"bert:{BERT}", mtime=1)
    return file


@pytest.fixture
def client(keys: Path, tmp_path: Path) -> Iterator[TestClient]:
    with serving(lambda _: StubModel(), runs_dir=tmp_path / "runs", api_keys_file=keys) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {**PLAIN, "Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {ANNA}", f"Bearer {ANNA}x", "é"])
def test_without_a_key_nothing_is_done(client: TestClient, authorization: str | None) -> None:
    headers = PLAIN if authorization is None else {**PLAIN, "Authorization": authorization.encode("latin-1")}
    answers = [
        client.post(PREDICT, json={"text": "a"}, headers={**headers, "Content-Type": "application/json"}),
        client.post(PROCESS, content=b"a", headers=headers),
        client.post(JOBS, content=b"a", headers=headers),
        client.get(JOBS, headers=headers),
        client.get(f"{JOBS}/{'0' * 32}", headers=headers),
        client.get(f"{JOBS}/{'0' * 32}/result", headers=headers),
        client.delete(f"{JOBS}/{'0' * 32}", headers=headers),
    ]
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (401, MEDIA_TYPE)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert ANNA not in answer.text


def test_a_job_is_its_owners_only(client: TestClient) -> None:
    where = client.post(JOBS, content=b"a", headers=bearer(ANNA)).headers["location"]
    assert client.get(where, headers=bearer(ANNA)).status_code == 200
    assert len(client.get(JOBS, headers=bearer(ANNA)).json()["jobs"]) == 1
    assert client.get(JOBS, headers=bearer(BERT)).json()["jobs"] == []
    for method, path in [("GET", where), ("GET", f"{where}/result"), ("DELETE", where)]:
        assert client.request(method, path, headers=bearer(BERT)).status_code == 404
    assert client.get(where, headers=bearer(ANNA)).status_code == 200


def test_an_owner_keeps_what_is_its_own_while_keys_rotate(client: TestClient, keys: Path) -> None:
    where = client.post(JOBS, content=b"a", headers=bearer(ANNA)).headers["location"]
    write(keys, f"anna:{ANNA}", f"anna:{ANNA_NEW}", mtime=2)
    assert [client.get(where, headers=bearer(key)).status_code for key in (ANNA, ANNA_NEW)] == [200, 200]
    write(keys, f"anna:{ANNA_NEW}", mtime=3)
    assert [client.get(where, headers=bearer(key)).status_code for key in (ANNA, ANNA_NEW, BERT)] == [401, 200, 401]


WITHDRAWN = {
    "emptied": "",
    "commented out": f"# anna:{ANNA}\n#bert:{BERT}\n",
    "blank lines": "\n\n",
    "a typo in it": f"anna;{ANNA}\n",
    "indented": f" anna:{ANNA}\n",
    "a typo elsewhere": "short:key\n",
    "cut off": f"anna:{ANNA[:9]}",
    "not ASCII": f"anna:{ANNA}é\n",
    "bytes that are no text": b"\xff\xfe\0",
    "Windows' line ends and another's key": f"carl:{ANNA_NEW}\r\n",
}


@pytest.mark.parametrize("content", WITHDRAWN.values(), ids=WITHDRAWN)
def test_a_key_that_is_on_no_right_line_is_no_key(
    client: TestClient, keys: Path, content: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.get(JOBS, headers=bearer(ANNA)).status_code == 200
    keys.write_bytes(content.encode() if isinstance(content, str) else content)
    for _ in range(2):
        assert [client.get(JOBS, headers=bearer(key)).status_code for key in (ANNA, BERT)] == [401, 401]
    assert ANNA[:9] not in caplog.text


def test_a_file_that_is_gone_lets_nobody_in_and_says_so(
    client: TestClient, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ready = client.app.state.keys.check  # type: ignore[attr-defined]
    keys.rename(keys.with_name("away"))
    answer = client.get(JOBS, headers=bearer(ANNA))
    assert (answer.status_code, answer.headers["content-type"]) == (503, MEDIA_TYPE)
    assert int(answer.headers["retry-after"]) > 0
    assert ready() == "the API keys cannot be read"
    assert [record.levelname for record in caplog.records if "API_KEYS_FILE" in record.message] == ["ERROR"]
    keys.with_name("away").rename(keys)
    assert ready() is None  # with every replica out of service no request would ask
    assert client.get(JOBS, headers=bearer(ANNA)).status_code == 200


def test_a_wrong_line_costs_its_own_key_alone(client: TestClient, keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(keys, f"anna:{ANNA}", "a-lonely-secret-0123456789", mtime=2)
    assert [client.get(JOBS, headers=bearer(key)).status_code for key in (ANNA, BERT)] == [200, 401]
    assert "line 2 not allowed" in caplog.text
    assert "lonely" not in caplog.text


def test_a_change_that_leaves_size_and_time_alone_is_seen(client: TestClient, keys: Path) -> None:
    other = BERT.replace("0", "9")
    write(keys, f"bert:{BERT}", mtime=5)
    assert client.get(JOBS, headers=bearer(BERT)).status_code == 200
    write(keys, f"bert:{other}", mtime=5)
    assert [client.get(JOBS, headers=bearer(key)).status_code for key in (BERT, other)] == [401, 200]


BROKEN = {
    "no JSON": (PREDICT, b"{", "application/json"),
    "no UTF-8": (PREDICT, b"\xff", "application/json"),
    "wrong type": (PREDICT, b'{"text": 1}', "application/json"),
    "unknown field": (PREDICT, b'{"text": "a", "more": 1}', "application/json"),
    "no body": (PREDICT, b"", "application/json"),
    "no JSON's type": (PREDICT, b"a=b", "application/x-www-form-urlencoded"),
    "too large": (PREDICT, b" " * 1_300_000, "application/json"),
    "unknown document": (PROCESS, b"a", "application/pdf"),
    "unknown language": (f"{PROCESS}?language=xx", b"a", "text/plain"),
    "wrong query": (f"{PROCESS}?min_confidence=x", b"a", "text/plain"),
    "broken form": (JOBS, b"--x", "multipart/form-data; boundary=x"),
    "no boundary": (JOBS, b"--x", "multipart/form-data"),
    "broken gzip": (PROCESS, b"a", "text/plain; charset=nonsense"),
}


@pytest.mark.parametrize(("path", "body", "media_type"), BROKEN.values(), ids=BROKEN)
def test_without_a_key_nobody_learns_what_is_wrong_with_a_request(
    client: TestClient, path: str, body: bytes, media_type: str
) -> None:
    answer = client.post(path, content=body, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["status"]) == (401, 401)
    with_key = client.post(path, content=body, headers={**bearer(ANNA), "Content-Type": media_type})
    assert with_key.status_code in (400, 413, 415, 422)


@pytest.mark.parametrize("path", ["?limit=x", "?batch=no", "/no-id", "/no-id/result"])
def test_without_a_key_no_address_is_looked_at(client: TestClient, path: str) -> None:
    assert client.get(JOBS + path).status_code == 401
    assert client.get(JOBS + path, headers=bearer(ANNA)).status_code == 422


@pytest.mark.parametrize("content", ["", "# none\n", "short:key\n", "no owner\n", "é:0123456789abcdef0\n", None])
def test_a_wrong_file_stops_the_start_with_one_line(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match="API_KEYS_FILE=") as refused:
        ApiKeys(file)
    assert len(str(refused.value).splitlines()) == 1


def test_no_file_no_keys(tmp_path: Path) -> None:
    with serving(lambda _: StubModel(), runs_dir=tmp_path) as client:
        assert client.post(PREDICT, json={"text": "a"}).status_code == 200


def test_the_description_names_the_keys_where_they_are_needed(tmp_path: Path, client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    assert all(operation["security"] == [{"HTTPBearer": []}] for operation in operations)
    with serving(lambda _: StubModel(), runs_dir=tmp_path) as open_to_all:
        assert "securitySchemes" not in open_to_all.get("/openapi.json").json()["components"]
