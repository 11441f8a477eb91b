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


def test_a_broken_file_changes_no_key_and_is_said_without_it(
    client: TestClient, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(keys, "a-lonely-secret-0123456789", mtime=2)
    assert client.get(JOBS, headers=bearer(ANNA)).status_code == 200
    assert "line 1 not allowed" in caplog.text
    assert "lonely" not in caplog.text


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
