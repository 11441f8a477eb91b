"""PostgreSQL as the profile `postgres` starts it, its container killed."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.stack import ROOT, docker, free_ports
from tests.support import servers
from tests.support.servers import Server
from tests.support.waiting import eventually

PASSWORD = "of-the-tests-own"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    tmp_path.chmod(0o755)
    (tmp_path / "jobs").write_text(PASSWORD)
    options = (
        "--user", "999:999", "--read-only", "--cap-drop", "ALL", "--entrypoint", "sh", "--restart", "unless-stopped",
        "--tmpfs", "/tmp:uid=999,gid=999,mode=0700", "--tmpfs", "/var/run/postgresql:uid=999,gid=999,mode=0755",
        "--volume", f"{ROOT}/docker:/etc/sightglass:ro", "--volume", f"{tmp_path}:/run/database:ro",
        "--volume", "/var/lib/postgresql", "--publish", f"127.0.0.1:{free_ports(1)[0]}:5432",
    )  # fmt: skip
    with servers.container(servers.postgresql_image(), 5432, options, ("/etc/sightglass/postgres/start.sh",)) as made:
        yield made


def rows(server: Server, statement: str) -> list[tuple[object, ...]] | None:
    """What the database answers, none where it cannot be reached."""
    url = f"postgresql://jobs:{PASSWORD}@127.0.0.1:{server.port}/jobs"
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []
    except psycopg.OperationalError:
        return None


def test_it_starts_again_with_its_data_when_it_was_killed(server: Server) -> None:
    eventually(lambda: rows(server, "CREATE TABLE kept AS SELECT 1 AS number") is not None, lambda: logs(server))
    for _ in range(2):
        server.kill()
        server.start()
        eventually(lambda: rows(server, "SELECT number FROM kept") == [(1,)], lambda: logs(server))


def logs(server: Server) -> str:
    return docker("logs", "--tail", "10", server.name)
