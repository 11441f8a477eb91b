"""One image with all applications, one stack that serves one of them after the other."""

import subprocess
from collections.abc import Iterator
from hashlib import sha256

import pytest

from tests.stack import ROOT, Stack

# What an application's own variables may be called; the stack has some of these names, too.
OWN = {"PORT": "9000", "LOG_LEVEL": "chatty", "ENVIRONMENT": "local", "APP_NAME": "My App", "WEB_CONCURRENCY": "many"}


# What those from the registry are told.
THEIRS = {
    "ARA_BASE_DIR": "/code/ara", "ARA_SECRET_KEY": "for tests alone", "FAKELLM_CONFIG": "/code/answers.yaml",
    "RADICALE_CONFIG": "/code/radicale.conf",
}  # fmt: skip


class Unmodified(Stack):
    """A stack that knows what its tree was copied as."""

    as_copied: dict[str, bytes]

    def tracked(self) -> dict[str, bytes]:
        """Return each file of the repository in the copy, by its digest."""
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        files = ((name, self.directory / name) for name in listed.splitlines())
        return {name: sha256(file.read_bytes()).digest() for name, file in files if file.is_file()}


@pytest.fixture(scope="session")
def unmodified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unmodified]:
    """Applications in an image of their own, whose Dockerfile stays as it is."""
    stack = Unmodified(
        tmp_path_factory.mktemp("apps"), profiles=[], API_CONTEXT="./tests/apps", APP="fakellm.server:app",
        JOBS_REPLICAS="0", RATE_LIMIT="1000", RATE_BURST="1000",
    )  # fmt: skip
    stack.as_copied = stack.tracked()
    (stack.directory / "app.env").write_text("".join(f"{name}={value}\n" for name, value in (OWN | THEIRS).items()))
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
