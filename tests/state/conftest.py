"""The service over PostgreSQL, with documents in files, and in S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.privacy.jobs import runner as running
from api.settings import Settings
from tests.support import servers
from tests.support.jobs import Jobs
from tests.support.servers import Server
from tests.support.service import StubModel, serving, words
from tests.unit.test_jobs_shared import ANNA, BERT, UNIT, Service


@pytest.fixture(scope="session")
def database() -> Iterator[Server]:
    with servers.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def bucket() -> Iterator[Server]:
    with servers.s3() as server:
        yield server


@pytest.fixture(params=["files", "s3"])
def kept(
    request: pytest.FixtureRequest, database: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Settings of a service whose jobs are its alone."""
    name = f"t{uuid4().hex}"
    url = f"postgresql://postgres@127.0.0.1:{database.port}/postgres"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    settings: dict[str, Any] = {"runs_dir": tmp_path, "database_url": f"{url}?options=-csearch_path%3D{name}"}
    if request.param == "s3":
        for variable, value in servers.environment(request.getfixturevalue("bucket")).items():
            monkeypatch.setenv(variable, value)
        settings["documents_url"] = f"s3://{servers.BUCKET}/{name}"
    return settings


@contextmanager
def _closed(*stores: Any) -> Iterator[None]:
    try:
        yield
    finally:
        for store in stores:
            store._rows.close()


@pytest.fixture
def jobs(kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setattr(running, "PROGRESS_INTERVAL_SECONDS", 0.0)
    settings = kept | {"job_attempts": 2}
    with serving(lambda _: StubModel(words("Zaphod")), **settings) as client:
        found = Jobs(client, Settings(**settings))
        with _closed(found.store, client.app.state.jobs):  # type: ignore[attr-defined]
            yield found


@pytest.fixture
def service(kept: dict[str, Any]) -> Iterator[Service]:
    settings = kept | {"job_retention_bytes": 50 * UNIT}
    with serving(lambda _: StubModel(), **settings) as client:
        found = Service(client, Settings(**settings))
        with _closed(found.store, client.app.state.jobs):  # type: ignore[attr-defined]
            yield found


@pytest.fixture
def owned(kept: dict[str, Any], tmp_path: Path) -> Iterator[TestClient]:
    keys = tmp_path / "keys"
    keys.write_text(f"anna:{ANNA}\nbert:{BERT}\n")
    with (
        serving(lambda _: StubModel(), **kept, api_keys_file=keys) as client,
        _closed(client.app.state.jobs),  # type: ignore[attr-defined]
    ):
        yield client
