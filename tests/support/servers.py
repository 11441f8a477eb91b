"""What keeps the state of many machines, real: PostgreSQL, and a server of S3's protocol."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import boto3  # type: ignore[import-untyped]
import psycopg
from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

from scripts import images
from tests.stack import ROOT, docker, free_ports
from tests.support.on_debian import image_of
from tests.support.waiting import eventually

HERE = Path(__file__).resolve().parent
BUCKET = "documents"
KEY, SECRET = "sightglass", "of-the-tests-own"
PG_START = (
    "export PGDATA=/tmp/data; [ -s $PGDATA/PG_VERSION ] || "
    "initdb --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null; "
    "grep -q 'all all all' /tmp/data/pg_hba.conf || echo 'host all all all trust' >>/tmp/data/pg_hba.conf; "
    "exec postgres -D /tmp/data -c listen_addresses='*' -c unix_socket_directories=/tmp"
)


class Server:
    """A container that can be killed and started again, and its port on 127.0.0.1."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self._inside = port
        self.port = self._published()

    def kill(self) -> None:
        docker("kill", self.name)

    def start(self) -> None:
        docker("start", self.name)
        assert self._published() == self.port

    def _published(self) -> int:
        return int(docker("port", self.name, f"{self._inside}/tcp").splitlines()[0].rpartition(":")[2])


def postgresql_image() -> str:
    """Make the server's image present; returns its name."""
    with tempfile.NamedTemporaryFile("r") as chosen:
        command = [sys.executable, "scripts/images.py", "--env-file", chosen.name, "postgres"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        lines = dict(line.split("=", 1) for line in Path(chosen.name).read_text().split())
    return lines.get("POSTGRES_IMAGE", "postgres:18.6")


@contextmanager
def postgresql() -> Iterator[Server]:
    """Run PostgreSQL; its one user, postgres, needs no password."""
    options = ("--user", "999:999", "--publish", f"127.0.0.1:{free_ports(1)[0]}:5432", "--entrypoint", "sh")
    with container(postgresql_image(), 5432, options, ("-c", PG_START)) as server:
        eventually(lambda: _connects(server), deadline=300)
        yield server


def _connects(server: Server) -> bool:
    try:
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{server.port}/postgres", connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def s3(*options: str) -> Iterator[Server]:
    """Run the server with one empty bucket."""
    chosen = options or ("--publish", f"127.0.0.1:{free_ports(1)[0]}:7070")
    credentials = ("--env", f"ROOT_ACCESS_KEY={KEY}", "--env", f"ROOT_SECRET_KEY={SECRET}")
    with container(s3_image(), 7070, (*chosen, *credentials), ()) as server:
        eventually(lambda: _has_bucket(server), deadline=300)
        yield server


def s3_image() -> str:
    """Make the server's image present; returns its name."""
    directory = HERE / "s3"
    recipe = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(directory.iterdir()))).hexdigest()[:12]
    return image_of(directory, "s3", recipe, *images.lent_to_go())


def environment(server: Server) -> dict[str, str]:
    """Return the variables by which a client finds the server and is let in."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _has_bucket(server: Server) -> bool:
    there = environment(server)
    client = boto3.client(
        "s3", "us-east-1", endpoint_url=there["AWS_ENDPOINT_URL"], aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
    try:
        client.create_bucket(Bucket=BUCKET)
    except BotoCoreError:
        return False
    return True


@contextmanager
def container(image: str, port: int, options: tuple[str, ...], command: tuple[str, ...]) -> Iterator[Server]:
    """Run a server, with these options of `docker run`, for the time of a `with` block."""
    name = f"sightglass-test-{os.getpid()}-{uuid4().hex[:8]}"
    docker("run", "--detach", "--name", name, *options, image, *command)
    try:
        yield Server(name, port)
    finally:
        docker("rm", "--force", "--volumes", name)
